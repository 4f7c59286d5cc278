"""The interval that rates are taken from: opened once after the warm-up, closed once at the end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

import torch

from .contract import HostLoad, Throughput
from .cores import read_cpu_ticks
from .device import StepClock, synchronize
from .measure import Interval, host_load, throughput

if TYPE_CHECKING:
    from .train import Run

TICKS_PER_S = 100
"""USER_HZ, which /proc/stat counts in on every Linux (proc(5))."""


@dataclass(frozen=True)
class _Opening:
    """The state of everything that is counted, at the moment when the window opened."""

    at: float
    samples: int
    tokens: int
    cpu_ticks: Optional[list[int]]
    own_cpu_s: float


class Window:
    """Opens itself after `warmup` executed steps; the device is synchronised at both edges and nowhere between."""

    def __init__(self, run: Run, warmup: int, device: torch.device) -> None:
        self._run, self._warmup, self._device = run, warmup, device
        self._clock = StepClock(device)
        self._wait_s = 0.0
        self._opening: Optional[_Opening] = None
        if warmup == 0:
            self._open()

    def data_wait(self, seconds: float) -> None:
        """Notes the time that one step waited for its batch."""
        if self._opening is not None:
            self._wait_s += seconds

    def step_done(self) -> None:
        """Notes the end of a step that the run has counted."""
        if self._opening is not None:
            self._clock.mark()
        elif self._run.executed_steps == self._warmup:
            self._open()

    def close(self, incomparable: Optional[str]) -> tuple[Throughput, HostLoad]:
        """The rates and the load of others. `incomparable` says why the rate means nothing on other machines."""
        synchronize(self._device)
        ended, run, opening = time.perf_counter(), self._run, self._opening
        interval = Interval(0.0, 0, 0, (), 0.0)
        load = HostLoad()
        if opening is not None:
            interval = Interval(
                seconds=ended - opening.at,
                samples=run.samples - opening.samples,
                tokens=run.tokens - opening.tokens,
                step_times_s=tuple(self._clock.seconds()),
                data_wait_s=self._wait_s,
            )
            own_s = time.process_time() - opening.own_cpu_s
            load = host_load(opening.cpu_ticks, read_cpu_ticks(), own_s, TICKS_PER_S, torch.get_num_threads())
        rates = throughput(
            interval,
            planned_steps=run.planned_steps,
            executed_steps=run.executed_steps,
            warmup=self._warmup,
            incomparable=incomparable,
        )
        return rates, load

    def _open(self) -> None:
        synchronize(self._device)
        self._opening = _Opening(
            samples=self._run.samples,
            tokens=self._run.tokens,
            cpu_ticks=read_cpu_ticks(),
            own_cpu_s=time.process_time(),
            at=time.perf_counter(),
        )
        self._clock.mark()
