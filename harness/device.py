"""The device: choosing it, proving that a kernel runs on it, the precision that it has, its clock and its memory."""

from __future__ import annotations

import resource
import time
from typing import Any, Optional

import torch

from .contract import Device, Memory

KERNEL_BAR = 2e-3
"""Largest relative error of an fp32 product of 256 x 256; TF32 stays below it, a broken kernel does not."""


class DeviceUnavailableError(Exception):
    """The device that the job demands cannot be used; the text is torch's own."""


def choose_device(kind: str) -> torch.device:
    """The device of that kind, after a first allocation on it. Never another kind. Raises DeviceUnavailableError."""
    if kind == "cpu":
        return torch.device("cpu")
    try:
        torch.zeros(1, device="cuda")
        torch.cuda.synchronize()
    except (RuntimeError, AssertionError, torch.cuda.DeferredCudaCallError) as err:
        raise DeviceUnavailableError(f"{type(err).__name__}: {err}") from err
    return torch.device("cuda", torch.cuda.current_device())


def other_devices(device: torch.device) -> list[torch.device]:
    """The other GPUs that this process may use; none for the CPU."""
    if device.type != "cuda":
        return []
    return [torch.device("cuda", index) for index in range(torch.cuda.device_count()) if index != device.index]


def kernel_error(device: torch.device) -> float:
    """Largest error of a matrix product on the device, relative to the largest element of the same in fp64 on the CPU.

    Raises DeviceUnavailableError when no kernel of this build runs there.
    """
    source = torch.Generator().manual_seed(7)
    left, right = (torch.randn(256, 256, generator=source) for _ in range(2))
    exact = left.double() @ right.double()
    try:
        found = (left.to(device) @ right.to(device)).cpu().double()
    except RuntimeError as err:
        raise DeviceUnavailableError(f"{type(err).__name__}: {err}") from err
    return float((found - exact).abs().max() / exact.abs().max())


FAST_BF16 = frozenset(("amx_bf16", "avx512_bf16"))
"""CPU features with which bf16 products are computed; without one they are emulated, three times slower than fp32.

With avx512_bf16 the smoke preset runs 683 samples/s in bf16 against 572 in fp32 (one thread of an EPYC, torch 2.13).
"""


def choose_precision(kind: str, compute_capability: Optional[tuple[int, int]], cpu_features: frozenset[str]) -> str:
    """bf16 where the device computes it (capability 8.0, a CPU feature), fp16 from capability 7.0, else fp32."""
    if kind == "cpu":
        return "bf16" if cpu_features & FAST_BF16 else "fp32"
    # Two borders of the CUDA architecture, not facts of a release: the harness travels without the matrix.
    if compute_capability is None or compute_capability < (7, 0):
        return "fp32"
    return "bf16" if compute_capability >= (8, 0) else "fp16"


def cpu_features() -> frozenset[str]:
    """Feature flags of the CPU as the kernel states them; empty on aarch64, which spells them otherwise."""
    # flags		: fpu vme ... avx512_bf16 clzero ...
    return frozenset((_cpu_line("flags") or "").split())


def capability(device: torch.device) -> Optional[tuple[int, int]]:
    """Compute capability of a CUDA device; None for the CPU."""
    if device.type != "cuda":
        return None
    major, minor = torch.cuda.get_device_capability(device)
    return major, minor


def describe(device: torch.device) -> Device:
    """Facts of the device as torch states them."""
    if device.type == "cpu":
        return Device("cpu", 0, name=_cpu_line("model name"), threads=torch.get_num_threads())
    properties = torch.cuda.get_device_properties(device)
    return Device(
        "cuda",
        device.index or 0,
        name=properties.name,
        compute_capability=f"{properties.major}.{properties.minor}",
        memory_bytes=int(properties.total_memory),
    )


def _cpu_line(name: str) -> Optional[str]:
    # model name	: AMD EPYC
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            named = (line.partition(":")[2].strip() for line in stream if line.partition(":")[0].strip() == name)
            return next(named, None)
    except OSError:
        return None


def synchronize(device: torch.device) -> None:
    """Waits until the device has done everything that was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class StepClock:
    """Times of the ends of steps: CUDA events on a GPU, so that nothing waits; perf_counter on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._marks: list[Any] = []

    def mark(self) -> None:
        """Notes the end of a step (or the start of the first)."""
        if self._is_cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """Seconds between neighbouring marks; on a GPU only after a synchronisation."""
        pairs = zip(self._marks, self._marks[1:])
        if self._is_cuda:
            return [early.elapsed_time(late) / 1e3 for early, late in pairs]
        return [late - early for early, late in pairs]


def peak_memory(device: torch.device) -> Memory:
    """Peak memory since the start of the process (GPU: of torch's allocator)."""
    # ru_maxrss is in KiB on Linux (getrusage(2)).
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device.type == "cpu":
        return Memory("rss", peak_rss_bytes=rss)
    return Memory(
        "cuda",
        peak_allocated_bytes=int(torch.cuda.max_memory_allocated(device)),
        peak_reserved_bytes=int(torch.cuda.max_memory_reserved(device)),
        peak_rss_bytes=rss,
    )
