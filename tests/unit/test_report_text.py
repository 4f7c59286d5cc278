"""What a person reads of a plan, a machine and a report."""

from provision.acceptance import Acceptance, AcceptedDevice, Criterion, Quality, Throughput, Workload
from provision.documents.check import CheckData, CheckSummary
from provision.documents.plan import plan_data, plan_digest, plan_from_data
from provision.documents.receipt import EnvironmentData, ReceiptData
from provision.documents.report_data import ReportData
from provision.records import (
    Build,
    Distribution,
    Gpu,
    GpuState,
    Host,
    Interpreter,
    Machine,
    MatrixIdentity,
    Plan,
    Rejection,
    Request,
    Resolution,
    Source,
)
from provision.report.machine import render_machine
from provision.report.plan import render_plan
from provision.report.style import Style
from provision.report.summary import render_report
from provision.versions import CudaVersion, Glibc

BUILD = Build(
    torch="2.9.1",
    variant="cu128",
    cuda_runtime_version=CudaVersion(12, 8),
    python="3.12",
    wheel_tag="cp312-cp312-manylinux_2_28_x86_64",
    requirements=("torch==2.9.1", "transformers>=4.48,<6"),
    index="https://download.pytorch.org/whl/cu128",
)
REJECTIONS = tuple(
    Rejection(torch, variant, "driver-too-old", "535.104.05", "580.65.06 or newer", "matrix.yaml")
    for torch in ("2.10.0", "2.9.1")
    for variant in ("cu130", "cu132")
)
PLAN = Plan(
    build=BUILD,
    resolution=Resolution((BUILD,), (*REJECTIONS, Rejection("2.8.0", "cu126", "x", "y", "z"))),
    matrix=MatrixIdentity("2026.11.23", "2026-11-23"),
    request=Request(),
)


def test_a_plan_says_its_choice_and_merges_what_fails_alike():
    assert render_plan(PLAN, Style()) == (
        "choice   torch 2.9.1+cu128  CUDA 12.8  Python 3.12\n"
        "wheel    cp312-cp312-manylinux_2_28_x86_64\n"
        "with     transformers>=4.48,<6\n"
        "passed   torch 2.9.1 to 2.10.0 cu130, cu132: driver-too-old: found 535.104.05,\n"
        "         needs 580.65.06 or newer\n"
        "ok       1 build chosen, 4 passed over; no source asked (--check-sources asks)"
    )


def test_a_plan_survives_its_document():
    again = plan_from_data(plan_data(PLAN))
    assert again.build == PLAN.build
    assert again.resolution.candidates == PLAN.resolution.candidates
    assert plan_digest(again, sources=()) == plan_digest(PLAN, sources=())


def test_the_digest_changes_with_what_would_be_installed_and_from_where():
    assert plan_digest(PLAN, sources=()) != plan_digest(PLAN, sources=(Source("flat", "file:///w"),))


def test_a_machine_as_lines():
    machine = Machine(
        host=Host(system="linux", os="ubuntu", os_version="22.04", arch="x86_64", glibc=Glibc(2, 35), is_wsl=True),
        python=Interpreter("3.11.7"),
        gpus=(Gpu(0, name="Tesla T4", memory_bytes=15 * 2**30, in_nvml=False),),
        gpu_state=GpuState.UNUSABLE,
    )
    assert render_machine(machine, Style()).splitlines() == [
        "host     Ubuntu 22.04  x86_64  glibc 2.35  Python 3.11.7  in WSL",
        "gpu 0    Tesla T4  capability not known  15.0 GiB  not in NVML",
        "state    unusable: a GPU is there and cannot be used (gpusetup check)",
    ]


def report(verdict="accepted", acceptance=True):
    done = Acceptance(
        verdict=verdict,
        device_class="cpu",
        criteria=(Criterion("acc.quality", 0.99, None, 0.95, "benchmarks", passed=True),),
        workload=Workload("id", "digest", "smoke", "intents", "bert", 452_000, 64, 16, "fp32", 1100, 1),
        throughput=Throughput(comparable=False, samples_per_s=1284.4, tokens_per_s=41000.0, cv=0.012, warmup_steps=50),
        quality=Quality(0.9935, 0.99, 0.02, 1.8, 0.014, 0.1667, 0.1667, 600),
        device=(AcceptedDevice("cpu", 0, name="CPU", threads=2, peak_rss_bytes=431 * 2**20),),
    )
    return ReportData(
        machine=Machine(),
        check=CheckData("quick", CheckSummary(pass_=2, skip=3), (), None),
        plan=plan_data(PLAN),
        receipt=ReceiptData(
            environment=EnvironmentData("/srv/env", "3.12.1"),
            distributions=(Distribution("torch", "2.9.1+cu128", "0" * 64, None),),
            verified=(),
            seconds={"install": 3.0},
            backend="uv",
            plan_digest="",
            build=BUILD,
            reused=False,
        ),
        acceptance=done if acceptance else None,
        seconds={"accept": 41.2},
    )


def test_the_verdict_is_the_last_line_and_a_cpu_verdict_says_so():
    text = render_report(report(), Style())
    assert text.splitlines()[-1] == "verdict  accepted (cpu)"
    assert "speed    1,284 samples/s  41,000 tokens/s  (not comparable between machines)" in text
    assert "ok       acc.quality     0.99  (bar 0.95)" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_report_that_stopped_early_says_where():
    assert render_report(report(acceptance=False), Style()).splitlines()[-1] == "verdict  none: stopped before accept"
    assert render_report(ReportData(), Style()) == "verdict  none: stopped before detect"
