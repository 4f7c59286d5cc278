"""Training and evaluation: one readable loop each. What is measured is counted here and computed in `measure`."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Iterator, Optional, Sequence

import torch

from .contract import Counts, HostLoad, Throughput
from .measure import warmup_steps
from .model import decay_groups
from .schedule import batches, learning_rate_factor
from .tape import Tape
from .tokenizer import PAD
from .window import Window

if TYPE_CHECKING:
    from .presets import Preset

PROGRESS_EVERY_S = 0.5

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


@dataclass(frozen=True)
class Course:
    """How to train: everything but the model and the data."""

    preset: Preset
    device: torch.device
    precision: str
    """fp32, bf16 or fp16."""
    seed: int
    """Of the order of the samples."""
    deadline_s: Optional[float]
    emit: Emit
    hooks: Hooks = Hooks()

    def is_late(self, seconds: float) -> bool:
        """Whether the training has used up its time."""
        return self.deadline_s is not None and seconds > self.deadline_s


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
    ids, mask, labels = (part.to(device, non_blocking=True) for part in (ids, mask, labels))
    return Batch(ids, mask, labels, tokens=sum(len(row) for row in rows))


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


def train(run: Run, model: Any, samples: Samples, course: Course) -> None:
    """Trains in place and fills `run`. Ends early on a number that is not finite or when the deadline has passed."""
    preset, device, steps = course.preset, course.device, run.planned_steps
    groups = decay_groups(model, preset.weight_decay)
    trained = [parameter for group in groups for parameter in group["params"]]
    optimizer = torch.optim.AdamW(groups, lr=preset.learning_rate, betas=preset.betas)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, steps, preset.warmup_share)
    )
    scaler = build_scaler(course.precision)
    order = batches([len(row) for row in samples.encoded], preset.batch, course.seed)
    tape = Tape(device, norms_may_overflow=course.precision == "fp16")
    run.losses = tape.losses
    model.train()
    window = Window(run, warmup_steps(steps), device)
    started = told = time.perf_counter()
    while run.executed_steps < steps and tape.first_non_finite_step is None and not run.is_past_deadline:
        asked = time.perf_counter()
        batch = course.hooks.change_batch(collate(samples, next(order), device))
        window.data_wait(time.perf_counter() - asked)

        with autocast(device, course.precision):
            loss = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels).loss
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(trained, preset.clip_norm)
        scaler.step(optimizer)
        scaler.update()
        schedule.step()

        tape.push(loss, norm)
        tape.poll()
        _count(run, batch)
        window.step_done()
        now = time.perf_counter()
        if now - told >= PROGRESS_EVERY_S and tape.losses:
            course.emit({"event": "step", "step": run.executed_steps, "steps": steps, "loss": finite(tape.losses[-1])})
            told = now
        run.is_past_deadline = course.is_late(now - started) and run.executed_steps < steps
    run.throughput, run.host_load = window.close(_incomparable(preset))
    tape.finish()
    _take_tape(run, tape)


def _incomparable(preset: Preset) -> Optional[str]:
    return None if preset.is_comparable else f"the preset {preset.name} is too small to load a device"


def _count(run: Run, batch: Batch) -> None:
    run.executed_steps += 1
    run.samples += batch.input_ids.shape[0]
    run.tokens += batch.tokens
    run.padded_tokens += batch.input_ids.numel()
    run.batch_devices.add(batch.input_ids.device.type)


def _take_tape(run: Run, tape: Tape) -> None:
    run.max_norm = max((norm for norm in tape.norms if math.isfinite(norm)), default=None)
    run.skipped_updates = tape.skipped_updates
    run.first_non_finite_step = tape.first_non_finite_step


def evaluate(model: Any, samples: Samples, batch: int, course: Course) -> tuple[list[int], float]:
    """Predicted label of every sample, in order, and the mean loss."""
    predicted = [0] * len(samples.labels)
    total = 0.0
    model.eval()
    with torch.no_grad(), autocast(course.device, course.precision):
        for chosen in _by_length(samples, batch):
            part = course.hooks.change_batch(collate(samples, chosen, course.device))
            output = model(input_ids=part.input_ids, attention_mask=part.attention_mask, labels=part.labels)
            total += float(output.loss) * len(chosen)
            for number, guess in zip(chosen, output.logits.argmax(-1).tolist()):
                predicted[number] = guess
    return predicted, total / len(predicted)


def finite(number: float) -> Optional[float]:
    """The number, or None where it is not one that JSON can hold."""
    return number if math.isfinite(number) else None


def _by_length(samples: Samples, batch: int) -> Iterator[list[int]]:
    order = sorted(range(len(samples.labels)), key=lambda number: len(samples.encoded[number]))
    for start in range(0, len(order), batch):
        yield order[start : start + batch]
