"""One job from beginning to end: what is asked, in which order, and what goes into the report."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from contextlib import contextmanager
from typing import Any, Iterator, Optional

import torch

from .contract import Job, Numerics, Phase, Placement, Report, Workload
from .cores import usable_cores
from .corpus import VERSION, Corpus, Message, build_corpus
from .device import (
    KERNEL_BAR,
    DeviceUnavailableError,
    capability,
    choose_device,
    choose_precision,
    cpu_features,
    describe,
    kernel_error,
    other_devices,
    peak_memory,
)
from .environment import explain_gaps, read_software
from .measure import quality
from .model import build_model
from .phrases import INTENTS
from .presets import PRESETS, Preset
from .save import is_free, save_model
from .tokenizer import Tokenizer, build_tokenizer
from .train import Course, Emit, Hooks, Run, Samples, evaluate, finite, train

EVALUATION_BATCH = 64


def _require_exact(device: torch.device, error: float) -> None:
    if not error <= KERNEL_BAR:  # not-a-number is not below the bar either
        raise DeviceUnavailableError(f"a matrix product on {device} is off by {error:.3g} of its largest element")


class JobRunner:
    """Runs one job and keeps a report that is true at every moment."""

    def __init__(self, job: Job, emit: Emit, hooks: Optional[Hooks] = None) -> None:
        self.job = job
        self.report = Report(status="failed", job=job)
        self._emit, self._hooks = emit, hooks or Hooks()
        self._state: Optional[Run] = None

    def run(self) -> Report:
        """The report of the job. Lets everything through that is not about the device or the numbers."""
        try:
            self._go()
        except DeviceUnavailableError as err:
            self._learn(status="device-unavailable", reason=str(err))
        return self.report

    def interrupted(self, reason: str) -> Report:
        """The report when the run was told to end."""
        self._stopped(reason)
        return self.report

    def failed(self, reason: str) -> Report:
        """The report when something else went wrong."""
        self._take_run()
        self._learn(status="failed", reason=reason)
        return self.report

    def _go(self) -> None:
        job, preset = self.job, _preset(self.job)
        if job.output is not None and not is_free(job.output):
            raise ValueError(f"the output folder {job.output} is not empty")
        torch.set_num_threads(job.threads or min(usable_cores(), preset.most_threads))
        with self._phase("software"):
            software = read_software()
            self._learn(software=software)
        with self._phase("device"):
            device = self._device()
            self._learn(notes=(*self.report.notes, *explain_gaps(software, device.type)))
        precision = job.precision or choose_precision(device.type, capability(device), cpu_features())
        course = Course(preset, device, precision, job.seed, job.deadline_s, self._emit, self._hooks)
        with self._phase("data"):
            corpus = build_corpus()
            tokenizer = build_tokenizer(message.text for message in corpus.train)
            learned = self._hooks.change_samples(_encode(corpus.train, tokenizer, preset))
            held_out = _encode(corpus.held_out, tokenizer, preset)
        with self._phase("model"):
            model = self._hooks.change_model(build_model(preset, len(tokenizer.tokens), corpus.labels, job.seed))
            model.to(device)
            self._learn(workload=describe_workload(job, preset, corpus, model, precision))
        with self._phase("train"):
            run = self._state = Run(planned_steps=job.steps or preset.steps)
            train(run, model, learned, course)
        self._place(model)
        self._take_run()
        self._learn(memory=peak_memory(device))
        if self._ended_early(run):
            return
        self._score(run, model, held_out, course)
        if job.output is not None:
            with self._phase("save"):
                save_model(job.output, model, tokenizer)
        self._learn(status="completed")

    def _score(self, run: Run, model: Any, held_out: Samples, course: Course) -> None:
        with self._phase("evaluate"):
            predicted, loss = evaluate(model, held_out, EVALUATION_BATCH, course)
        score = quality(predicted, held_out.labels, len(INTENTS), run.losses, loss)
        self._learn(quality=score)
        self._emit({"event": "eval", "accuracy": score.accuracy, "samples": score.samples})

    def _device(self) -> torch.device:
        self._learn(placement=Placement(self.job.device, kernel_bar=KERNEL_BAR))
        device = choose_device(self.job.device)
        error = kernel_error(device)
        self._learn(
            devices=(describe(device),),
            placement=Placement(self.job.device, kernel_error=finite(error), kernel_bar=KERNEL_BAR),
        )
        _require_exact(device, error)
        others = other_devices(device)
        for other in others:
            _require_exact(other, kernel_error(other))
        if others:
            note = f"The training ran on {device} alone; each of the {len(others)} other GPUs ran one checked kernel."
            self._learn(notes=(*self.report.notes, note))
        return device

    def _ended_early(self, run: Run) -> bool:
        if run.first_non_finite_step is not None:
            step = run.first_non_finite_step
            self._learn(status="not-finite", reason=f"loss or gradient norm of step {step} is not a finite number")
        elif run.is_past_deadline:
            self._stopped(f"the deadline of {self.job.deadline_s:g} s passed after {run.executed_steps} steps")
        else:
            return False
        return True

    def _stopped(self, reason: str) -> None:
        self._take_run()
        self._learn(status="interrupted", reason=reason)

    def _place(self, model: Any) -> None:
        placement = self.report.placement
        assert placement is not None and self._state is not None  # noqa: S101, PT018 - both are set before training
        kinds = {parameter.device.type for parameter in model.parameters()}
        self._learn(
            placement=dataclasses.replace(
                placement, parameters="+".join(sorted(kinds)), batches="+".join(sorted(self._state.batch_devices))
            )
        )

    def _take_run(self) -> None:
        run = self._state
        if run is None:
            return
        self._learn(
            counts=run.counts(),
            throughput=run.throughput,
            host_load=run.host_load,
            numerics=Numerics(run.first_non_finite_step is None, run.first_non_finite_step, run.max_norm),
            losses=tuple(finite(loss) for loss in run.losses),
        )

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self._emit({"event": "phase", "name": name})
        began = time.perf_counter()
        yield
        self._learn(phases=(*self.report.phases, Phase(name, time.perf_counter() - began)))

    def _learn(self, **facts: Any) -> None:
        self.report = dataclasses.replace(self.report, **facts)


def describe_workload(job: Job, preset: Preset, corpus: Corpus, model: Any, precision: str) -> Workload:
    """Identity of the work that the job and the preset define."""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    steps = job.steps or preset.steps
    identity = {
        "preset": dataclasses.asdict(preset),
        "vocabulary": model.config.vocab_size,
        "data": corpus.digest,
        "precision": precision,
        "steps": steps,
        "seed": job.seed,
        "order": "mirror pairs, windows sorted by length, version 1",
    }
    text = json.dumps(identity, sort_keys=True)
    return Workload(
        id=f"bert-intents-{preset.name}-v{VERSION}",
        digest=hashlib.sha256(text.encode()).hexdigest(),
        data_digest=corpus.digest,
        preset=preset.name,
        task=f"which of two named needs the customer wants (English and Chinese, {len(INTENTS)} intents)",
        model=f"BertForSequenceClassification, {preset.layers} layers, hidden {preset.hidden}, from scratch",
        parameters=parameters,
        sequence=preset.longest,
        batch=preset.batch,
        precision=precision,
        steps=steps,
        seed=job.seed,
    )


def _preset(job: Job) -> Preset:
    if job.preset not in PRESETS:
        raise ValueError(f"there is no preset {job.preset!r}, only {', '.join(PRESETS)}")
    return PRESETS[job.preset]


def _encode(messages: tuple[Message, ...], tokenizer: Tokenizer, preset: Preset) -> Samples:
    return Samples(
        tuple(tokenizer.encode(message.text, preset.longest) for message in messages),
        tuple(message.label for message in messages),
    )
