"""Losses and gradient norms of every step, read back without making the device wait."""

from __future__ import annotations

import math
from typing import Any, Optional

import torch


class Tape:
    """Collects two numbers per step. On a GPU they are copied in the background and read when they have arrived."""

    def __init__(self, device: torch.device, *, norms_may_overflow: bool) -> None:
        self._is_cuda = device.type == "cuda"
        self._norms_may_overflow = norms_may_overflow
        self._pending: list[tuple[torch.Tensor, Any]] = []
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.first_non_finite_step: Optional[int] = None

    def push(self, loss: torch.Tensor, norm: torch.Tensor) -> None:
        """Notes one step's loss and its gradient norm before clipping."""
        both = torch.stack([loss.detach().float(), norm.detach().float()])
        if not self._is_cuda:
            self._take(both)
            return
        copied = torch.empty(2, pin_memory=True)
        copied.copy_(both, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        self._pending.append((copied, arrived))

    def poll(self) -> None:
        """Takes in what has arrived."""
        while self._pending and self._pending[0][1].query():
            self._take(self._pending.pop(0)[0])

    def finish(self) -> None:
        """Takes in the rest; only after a synchronisation."""
        for copied, _ in self._pending:
            self._take(copied)
        self._pending.clear()

    @property
    def skipped_updates(self) -> int:
        """Steps whose gradient overflowed though the loss was finite: the fp16 scaler leaves those updates out."""
        return sum(1 for loss, norm in zip(self.losses, self.norms) if math.isfinite(loss) and not math.isfinite(norm))

    def _take(self, both: torch.Tensor) -> None:
        loss, norm = both.tolist()
        is_bad = not math.isfinite(loss) or not (self._norms_may_overflow or math.isfinite(norm))
        if is_bad and self.first_non_finite_step is None:
            self.first_non_finite_step = len(self.losses)
        self.losses.append(loss)
        self.norms.append(norm)
