"""Real runs of a few steps on the CPU."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from benchmarks.smoke_seeds.sabotage import freeze_encoder, shuffle_labels, zero_mask  # noqa: E402
from harness import run as run_module  # noqa: E402
from harness.contract import Job, Report, dump, parse_report  # noqa: E402
from harness.presets import PRESETS, SMOKE  # noqa: E402
from harness.run import JobRunner  # noqa: E402
from harness.train import Hooks, Samples, collate  # noqa: E402

ROOT = Path(__file__).parents[3]
SHORT = Job(device="cpu", seed=4, steps=12, threads=1, precision="fp32")


def quiet(_: dict) -> None:
    return None


@pytest.fixture(autouse=True)
def small_held_out(monkeypatch):
    """Evaluation is not what these tests are about."""
    whole = run_module.build_corpus
    monkeypatch.setattr(run_module, "build_corpus", lambda: whole(train_pairs=400, held_out_pairs=40))


def run(job: Job = SHORT, hooks: Hooks | None = None) -> Report:
    return JobRunner(job, quiet, hooks).run()


def test_short_run_fills_the_report():
    events: list[dict] = []
    report = JobRunner(SHORT, events.append).run()
    assert report.status == "completed"
    assert parse_report(dump(report)) == report
    assert report.counts.executed_steps == report.counts.planned_steps == len(report.losses) == 12
    assert report.counts.samples == 12 * SMOKE.batch
    assert report.counts.tokens < report.counts.padded_tokens
    assert (report.placement.parameters, report.placement.batches) == ("cpu", "cpu")
    assert report.throughput.samples_per_s > 0
    assert report.throughput.warmup_steps == 5
    assert report.numerics.finite
    assert report.memory.peak_rss_bytes > 10**8
    assert report.devices[0].threads == 1
    assert report.workload.precision == "fp32"
    assert report.software.torch == torch.__version__
    names = [event["name"] for event in events if event["event"] == "phase"]
    assert names == ["software", "device", "data", "model", "train", "evaluate"]
    assert [phase.name for phase in report.phases] == names
    assert events[-1]["event"] == "eval"


def test_same_seed_gives_the_same_losses_and_another_seed_others():
    first, second, other = run(), run(), run(dataclasses.replace(SHORT, seed=5))
    assert first.losses == second.losses
    assert first.workload.digest == second.workload.digest
    assert first.losses != other.losses
    assert first.workload.digest != other.workload.digest


def test_steps_change_the_identity_of_the_work():
    assert run().workload.digest != run(dataclasses.replace(SHORT, steps=13)).workload.digest


def test_loss_begins_near_chance():
    assert abs(run().losses[0] - math.log(6)) < 0.6


def test_every_sabotage_changes_what_is_trained():
    healthy = run()
    for hooks in (
        Hooks(change_samples=shuffle_labels),
        Hooks(change_model=freeze_encoder),
        Hooks(change_batch=zero_mask),
    ):
        assert run(hooks=hooks).losses != healthy.losses


def test_not_a_number_ends_the_run():
    def poison(batch):
        poison.calls += 1
        if poison.calls == 4:
            with torch.no_grad():
                poison.model.classifier.weight[0, 0] = float("nan")
        return batch

    def remember(model):
        poison.model = model
        return model

    poison.calls = 0
    report = run(hooks=Hooks(change_model=remember, change_batch=poison))
    assert report.status == "not-finite"
    assert report.numerics.first_non_finite_step == 3
    assert report.reason == "loss or gradient norm of step 3 is not a finite number"
    assert report.losses[3] is None
    assert report.quality is None
    assert report.throughput.samples_per_s is None
    assert parse_report(dump(report)) == report


def test_deadline_ends_the_run_with_a_reason():
    report = run(dataclasses.replace(SHORT, steps=5000, deadline_s=0.2))
    assert report.status == "interrupted"
    assert 0 < report.counts.executed_steps < 5000
    assert report.throughput.samples_per_s is None
    assert "deadline of 0.2 s" in report.reason


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_demanded_cuda_never_falls_back():
    report = run(Job(device="cuda", steps=2))
    assert report.status == "device-unavailable"
    assert report.counts is None
    assert report.losses == ()
    assert "CUDA" in report.reason


def test_wrong_kernel_is_no_device(monkeypatch):
    monkeypatch.setattr(run_module, "kernel_error", lambda _: float("nan"))
    report = run()
    assert report.status == "device-unavailable"
    assert report.losses == ()


def test_unknown_preset_is_named():
    with pytest.raises(ValueError, match="no preset 'large', only smoke"):
        run(Job(preset="large", device="cpu"))


def test_model_is_saved_and_read_back(tmp_path):
    from transformers import BertForSequenceClassification

    place = tmp_path / "deep" / "model"
    report = run(dataclasses.replace(SHORT, output=str(place)))
    assert report.status == "completed"
    assert sorted(path.name for path in place.iterdir()) == [
        "config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt",
    ]  # fmt: skip
    model = BertForSequenceClassification.from_pretrained(str(place), local_files_only=True)
    assert sum(parameter.numel() for parameter in model.parameters()) == report.workload.parameters
    assert model.config.id2label[0] == "refund"
    assert list(tmp_path.joinpath("deep").iterdir()) == [place]


def test_model_is_not_saved_over_something(tmp_path):
    (tmp_path / "precious").touch()
    with pytest.raises(ValueError, match="is not empty"):
        run(dataclasses.replace(SHORT, output=str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_padding_is_masked():
    batch = collate(Samples(([2, 5, 3], [2, 5, 6, 7, 3]), (0, 1)), [0, 1], torch.device("cpu"))
    assert batch.input_ids.tolist() == [[2, 5, 3, 0, 0], [2, 5, 6, 7, 3]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert (batch.labels.tolist(), batch.tokens) == ([0, 1], 8)


def test_presets_fit_together():
    for name, preset in PRESETS.items():
        assert preset.name == name
        assert preset.batch % 2 == 0
        assert preset.hidden % preset.heads == 0


def argv_in(place: Path) -> list[str]:
    return [sys.executable, "-m", "harness", "--job", str(place / "job.json"), "--report", str(place / "report.json")]


def start(tmp_path: Path, job: Job) -> subprocess.Popen[str]:
    (tmp_path / "job.json").write_text(dump(job))
    return subprocess.Popen(
        argv_in(tmp_path), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.e2e
def test_signal_ends_the_run_with_a_whole_report(tmp_path, number):
    child = start(tmp_path, dataclasses.replace(SHORT, steps=100_000))
    assert child.stdout is not None
    for line in child.stdout:
        if json.loads(line)["event"] == "step":
            break
    child.send_signal(number)
    child.communicate(timeout=20)
    assert child.returncode == 128 + number
    report = parse_report((tmp_path / "report.json").read_text())
    assert report.status == "interrupted"
    assert report.reason == f"ended by signal {int(number)}"
    assert 0 < report.counts.executed_steps < 100_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job.json", "report.json"]


def test_broken_job_is_refused_in_words(tmp_path):
    (tmp_path / "job.json").write_text("{}")
    done = subprocess.run(argv_in(tmp_path), cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "job.schema: found null, expected 'gpusetup.harness-job/1'\n"
    assert not (tmp_path / "report.json").exists()
