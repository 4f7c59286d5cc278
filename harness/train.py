"""Training and evaluation: one readable loop each. What is measured is counted here and computed in `measure`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, Optional, Sequence

import torch

from .contract import Counts, HostLoad, Throughput
from .cores import read_cpu_ticks
from .device import StepClock, synchronize
from .measure import host_load, throughput, warmup_steps
from .model import decay_groups
from .presets import Preset
from .schedule import batches, learning_rate_factor
from .tape import Tape
from .tokenizer import PAD

PROGRESS_EVERY_S = 0.5
TICKS_PER_S = 100
"""USER_HZ, which /proc/stat counts in on every Linux (proc(5))."""

Emit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Batch:
    """What one step consumes."""

    input_ids: torch.Tensor
    """int64 [batch, longest of the batch]."""
    attention_mask: torch.Tensor
    """int64 [batch, longest of the batch]; 1 for a token, 0 for padding."""
    labels: torch.Tensor
    """int64 [batch]."""
    tokens: int
    """Tokens without padding."""


@dataclass(frozen=True)
class Samples:
    """Encoded messages with their labels."""

    encoded: tuple[list[int], ...]
    labels: tuple[int, ...]


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Hooks:
    """Where tests reach in to break the run on purpose; the job cannot ask for them."""

    change_samples: Callable[[Samples], Samples] = _same
    """Applied to the training split."""
    change_model: Callable[[Any], Any] = _same
    change_batch: Callable[[Batch], Batch] = _same
    """Applied to every batch, in training and in evaluation."""


@dataclass
class Run:
    """What has happened so far; stays readable when the loop is left early."""

    planned_steps: int
    executed_steps: int = 0
    samples: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    batch_devices: set[str] = field(default_factory=set)
    losses: list[float] = field(default_factory=list)
    max_norm: Optional[float] = None
    skipped_updates: int = 0
    first_non_finite_step: Optional[int] = None
    throughput: Optional[Throughput] = None
    host_load: Optional[HostLoad] = None
    is_past_deadline: bool = False

    def counts(self) -> Counts:
        """The counters as a record."""
        return Counts(
            self.planned_steps, self.executed_steps, self.samples, self.tokens, self.padded_tokens, self.skipped_updates
        )


def collate(samples: Samples, chosen: Sequence[int], device: torch.device) -> Batch:
    """The chosen samples as one batch on the device, padded to its longest."""
    rows = [samples.encoded[number] for number in chosen]
    longest = max(len(row) for row in rows)
    ids = torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    labels = torch.tensor([samples.labels[number] for number in chosen])
    moved = (part.to(device, non_blocking=True) for part in (ids, mask, labels))
    return Batch(*moved, tokens=sum(len(row) for row in rows))


def autocast(device: torch.device, precision: str) -> Any:
    """The context in which the forward pass runs."""
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.bfloat16)
    return torch.autocast(device.type, dtype=kind, enabled=precision != "fp32")


def build_scaler(precision: str) -> Any:
    """The loss scaler: active for fp16 alone."""
    # torch.cuda.amp.GradScaler warns from 2.4 on; torch.amp.GradScaler takes a device from 2.3 on.
    enabled = precision == "fp16"
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler("cuda", enabled=enabled)
    return torch.cuda.amp.GradScaler(enabled=enabled)


def train(
    run: Run,
    model: Any,
    samples: Samples,
    preset: Preset,
    *,
    device: torch.device,
    precision: str,
    seed: int,
    deadline_s: Optional[float],
    emit: Emit,
    hooks: Hooks,
) -> None:
    """Trains in place and fills `run`. Ends early on a number that is not finite or when the deadline has passed."""
    optimizer = torch.optim.AdamW(decay_groups(model, preset.weight_decay), lr=preset.learning_rate)
    steps, scaler = run.planned_steps, build_scaler(precision)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, steps, preset.warmup_share)
    )
    order = batches([len(row) for row in samples.encoded], preset.batch, seed)
    tape = Tape(device, norms_may_overflow=precision == "fp16")
    window = Window(run, warmup_steps(steps), device, preset)
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    model.train()
    started = last_emit = time.perf_counter()
    while run.executed_steps < steps:
        asked = time.perf_counter()
        batch = hooks.change_batch(collate(samples, next(order), device))
        window.data_wait(time.perf_counter() - asked)

        with autocast(device, precision):
            loss = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels).loss
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(trained, preset.clip_norm)
        scaler.step(optimizer)
        scaler.update()
        _advance(schedule)

        tape.push(loss, norm)
        tape.poll()
        _count(run, batch)
        window.step_done()
        now = time.perf_counter()
        if now - last_emit >= PROGRESS_EVERY_S and tape.losses:
            emit({"event": "step", "step": run.executed_steps, "steps": steps, "loss": tape.losses[-1]})
            last_emit = now
        if tape.first_non_finite_step is not None:
            break
        if deadline_s is not None and now - started > deadline_s:
            run.is_past_deadline = run.executed_steps < steps
            break
        run.losses = tape.losses
    synchronize(device)
    tape.finish()
    _take_tape(run, tape)
    window.close()


def _advance(schedule: Any) -> None:
    """One step of the schedule, also after an update that the scaler skipped (torch warns about the order then)."""
    schedule.step()


def _count(run: Run, batch: Batch) -> None:
    run.executed_steps += 1
    run.samples += batch.input_ids.shape[0]
    run.tokens += batch.tokens
    run.padded_tokens += batch.input_ids.numel()
    run.batch_devices.add(batch.input_ids.device.type)


def _take_tape(run: Run, tape: Tape) -> None:
    run.losses = tape.losses
    run.max_norm = max((norm for norm in tape.norms if norm < float("inf")), default=None)
    run.skipped_updates = tape.skipped_updates
    run.first_non_finite_step = tape.first_non_finite_step


class Window:
    """The interval that rates are taken from: opened once after the warm-up, closed once at the end."""

    def __init__(self, run: Run, warmup: int, device: torch.device, preset: Preset) -> None:
        self._run, self._warmup, self._device, self._preset = run, warmup, device, preset
        self._clock = StepClock(device)
        self._wait_s = 0.0
        self._began: Optional[float] = None
        if warmup == 0:
            self._open()

    def data_wait(self, seconds: float) -> None:
        """Notes the time that one step waited for its batch."""
        self._wait_s += seconds if self._began is not None else 0.0

    def step_done(self) -> None:
        """Notes the end of a step."""
        if self._began is not None:
            self._clock.mark()
        elif self._run.executed_steps == self._warmup:
            self._open()

    def close(self) -> None:
        """Computes the rates; the device must be synchronised."""
        ended = time.perf_counter()
        run = self._run
        if self._began is None:
            self._began, self._samples, self._tokens, self._ticks, self._own = ended, run.samples, run.tokens, None, 0.0
        run.throughput = throughput(
            planned_steps=run.planned_steps,
            executed_steps=run.executed_steps,
            warmup=self._warmup,
            window_s=ended - self._began,
            samples=run.samples - self._samples,
            tokens=run.tokens - self._tokens,
            step_times_s=self._clock.seconds(),
            data_wait_s=self._wait_s,
            incomparable=None if self._preset.is_comparable else f"{self._preset.name} is too small to load a device",
        )
        own_s = time.process_time() - self._own
        run.host_load = host_load(self._ticks, read_cpu_ticks(), own_s, TICKS_PER_S, torch.get_num_threads())

    def _open(self) -> None:
        synchronize(self._device)
        self._samples, self._tokens = self._run.samples, self._run.tokens
        self._ticks, self._own = read_cpu_ticks(), time.process_time()
        self._began = time.perf_counter()
        self._clock.mark()


def evaluate(
    model: Any, samples: Samples, batch: int, *, device: torch.device, precision: str, hooks: Hooks
) -> tuple[list[int], float]:
    """Predicted label of every sample, in order, and the mean loss."""
    predicted = [0] * len(samples.labels)
    total = 0.0
    model.eval()
    with torch.no_grad(), autocast(device, precision):
        for chosen in _by_length(samples, batch):
            part = hooks.change_batch(collate(samples, chosen, device))
            output = model(input_ids=part.input_ids, attention_mask=part.attention_mask, labels=part.labels)
            total += float(output.loss) * len(chosen)
            for number, guess in zip(chosen, output.logits.argmax(-1).tolist()):
                predicted[number] = guess
    return predicted, total / len(predicted)


def _by_length(samples: Samples, batch: int) -> Iterator[list[int]]:
    order = sorted(range(len(samples.labels)), key=lambda number: len(samples.encoded[number]))
    for start in range(0, len(order), batch):
        yield order[start : start + batch]
