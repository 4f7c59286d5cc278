"""Sick machines of the area gpu."""

from __future__ import annotations

import json

from provision.checks.facts import Rate
from tests.boxes import NOW, Box
from tests.boxes.healthy import a100_mig, container, h100x8, l40s, rtx5090, t4, v100
from tests.boxes.layers.kernel_log import journal

from . import Case

_GIB = 2**30
_NVIDIA_SMI_PIDS = "nvidia-smi --query-compute-apps=pid --format=csv,noheader,nounits"


def _sram(*, flag: int = 0, parity: int = 0, secded: int = 0, parity_ever: int = 0, secded_ever: int = 0) -> str:
    return f"{flag},{parity},{secded},0,{parity_ever},{secded_ever},0,0,0,0,0,0"


def _double_bit(count: int, *, days_ago: float) -> dict[str, object]:
    return {"0.retired.1": count, "0.retired_time.1": int((NOW - days_ago * 86400) * 10**6)}


def dcgm(*results: dict[str, object], test: str = "memory", category: str = "Hardware") -> str:
    """What dcgmi writes of one test."""
    tests = [{"name": test, "results": list(results), "test_summary": {"status": results[0]["status"]}}]
    return json.dumps({"DCGM Diagnostic": {"test_categories": [{"category": category, "tests": tests}]}})


def on_gpu(index: int, status: str, *, severity: int = 2, warning: str = "") -> dict[str, object]:
    """One result of DCGM 4."""
    warnings = (
        [{"error_category": 8, "error_id": 29, "error_severity": severity, "warning": warning}] if warning else []
    )
    return {
        "entity_group": "GPU",
        "entity_group_id": 1,
        "entity_id": index,
        "status": status,
        **({"warnings": warnings} if warnings else {}),
    }


def _ghost() -> Box:
    box = l40s().nvml(**{"1.procs": 1, "1.pid.0": 4242, "1.mem_used": 40 * _GIB})
    return box.answer("gpu.pids_gone", [4242]).command(_NVIDIA_SMI_PIDS, "4242\n")


_VGPU = {"0.virtualization": 2, "0.licence_product": "NVIDIA Virtual Compute Server", "0.ecc": None}

CASES: tuple[Case, ...] = (
    # memory errors
    Case(
        "ecc-pending",
        lambda: t4().nvml(**{"0.ecc_pending": 0}),
        fires="gpu.ecc_mode",
        status="warn",
        pitfall=("ecc-mode-pending",),
        says=("waits for a reset", "0000:00:1e.0"),
    ),
    Case(
        "ecc-off-on-a-server-board",
        lambda: h100x8().nvml(**{"*.ecc": 0}),
        fires="gpu.ecc_mode",
        status="warn",
        says=("GPUs 0-7",),
    ),
    Case(
        "double-bit-errors",
        lambda: t4().nvml(**{"0.mem_err.1.0.2": 2, "0.ecc_err.1.0": 2, "0.ecc_err.1.1": 2, "0.retired_pending": 1}),
        fires="gpu.ecc_unc_volatile",
        pitfall=("xid-48-dbe",),
        says=("2 memory errors",),
    ),
    Case(
        "double-bit-errors-on-eight",
        lambda: h100x8().nvml(**{"*.ecc_err.1.0": 3}),
        fires="gpu.ecc_unc_volatile",
        says=("24 memory errors", "GPUs 0-7"),
    ),
    Case(
        "double-bit-errors-of-long-ago",
        lambda: t4().nvml(**{"0.ecc_err.1.1": 1}),
        fires="gpu.ecc_unc_aggregate",
        status="warn",
    ),
    Case(
        "double-bit-errors-that-go-on",
        lambda: (
            t4()
            .nvml(**{"0.ecc_err.1.1": 5})
            .given(rates={"gpu.0.ecc_uncorrected_aggregate": Rate(delta=2.0, seconds=3600.0)})
        ),
        fires="gpu.ecc_unc_aggregate",
        says=("2 uncorrectable memory errors came",),
    ),
    Case(
        "corrected-errors-in-millions",
        lambda: h100x8().nvml(**{"3.mem_err.0.0.2": 20_000_001}),
        fires="gpu.ecc_corr_rate",
        status="warn",
        says=("GPU 3",),
    ),
    Case(
        "corrected-errors-pour-in",
        lambda: journal(
            t4()
            .nvml(**{"0.ecc_err.0.0": 60_000})
            .given(rates={"gpu.0.ecc_corrected_volatile": Rate(delta=30_000.0, seconds=3600.0)}),
            "NVRM: Xid (PCI:0000:00:1e): 92, pid='<unknown>', name=<unknown>, High single-bit ECC error rate",
        ),
        fires="gpu.ecc_corr_rate",
        status="warn",
        pitfall=("xid-92-sbe-rate",),
        says=("30,000 an hour",),
    ),
    Case("sram-limit", lambda: l40s().nvml(**{"1.sram": _sram(flag=1, secded_ever=9)}), fires="gpu.sram_ecc"),
    Case(
        "sram-error-since-start",
        lambda: h100x8().nvml(**{"5.sram": _sram(parity=1, parity_ever=1), "5.ecc_err.1.0": 1}),
        fires="gpu.sram_ecc",
        says=("GPU 5",),
    ),
    Case(
        "sram-worn",
        lambda: l40s().nvml(**{"0.sram": _sram(secded_ever=5)}),
        fires="gpu.sram_ecc",
        status="warn",
    ),
    # repairs
    Case(
        "remap-pending",
        lambda: h100x8().nvml(**{"2.remap": "0,1,1,0"}),
        fires="gpu.remap_pending",
        pitfall=("xid-63-row-remap-pending",),
        says=("GPU 2 (0000:52:00.0)",),
    ),
    Case(
        "remap-pending-on-eight",
        lambda: h100x8().nvml(**{"*.remap": "0,1,1,0"}),
        fires="gpu.remap_pending",
        says=("GPUs 0-7",),
    ),
    Case(
        "remap-failed",
        lambda: h100x8().nvml(**{"7.remap": "3,9,1,1", "7.ecc_err.1.0": 4, "7.remap_banks": "2559,0,0,0,1"}),
        fires="gpu.remap_failed",
        pitfall=("xid-64-row-remap-failure",),
    ),
    Case(
        "remap-some",
        lambda: l40s().nvml(**{"0.remap": "0,2,0,0"}),
        fires="gpu.remap_uncorrectable",
        status="warn",
        says=("2 rows of memory were swapped",),
    ),
    Case("remap-limit", lambda: l40s().nvml(**{"0.remap": "0,512,0,0"}), fires="gpu.remap_uncorrectable"),
    Case(
        "remap-no-spares",
        lambda: l40s().nvml(**{"0.remap_banks": "190,0,0,0,2"}),
        fires="gpu.remap_spares",
        status="warn",
        says=("2 memory banks with no spare row left",),
    ),
    Case(
        "remap-few-spares",
        lambda: l40s().nvml(**{"0.remap_banks": "191,0,0,1,0"}),
        fires="gpu.remap_spares",
        status="warn",
    ),
    Case(
        "retired-limit",
        lambda: v100().nvml(**{"0.retired.0": 60, "0.retired.1": 3}),
        fires="gpu.retired_pages",
        pitfall=("retired-pages-limit",),
    ),
    Case("retired-recently", lambda: v100().nvml(**_double_bit(16, days_ago=2)), fires="gpu.retired_pages"),
    Case(
        "retired-long-ago",
        lambda: v100().nvml(**_double_bit(16, days_ago=300)),
        fires="gpu.retired_pages",
        status="warn",
    ),
    Case("retired-pending", lambda: t4().nvml(**{"0.retired_pending": 1}), fires="gpu.retired_pages"),
    # heat, clocks, power
    Case(
        "hot-by-hardware",
        lambda: t4().nvml(**{"0.throttle": 0x48, "0.temp_c": 94, "0.pstate": 0, "0.util": 100}),
        fires="gpu.throttle_now",
        pitfall=("hw-thermal-slowdown",),
        says=("hot, by hardware",),
    ),
    Case(
        "warm-by-software",
        lambda: h100x8().nvml(**{"*.throttle": 0x20}),
        fires="gpu.throttle_now",
        status="warn",
        says=("GPUs 0-7",),
    ),
    Case(
        "power-brake",
        lambda: h100x8().nvml(**{"*.throttle": 0x88, "*.util": 100}),
        fires="gpu.throttle_now",
        pitfall=("hw-power-brake",),
        says=("power brake", "GPUs 0-7"),
    ),
    Case(
        "slowed-since-the-last-look",
        lambda: l40s().given(rates={"gpu.1.violation_thermal_ns": Rate(delta=400e9, seconds=3600.0)}),
        fires="gpu.throttle_time",
        status="warn",
        says=("11%", "GPU 1"),
    ),
    Case("near-the-slowdown", lambda: t4().nvml(**{"0.temp_c": 89}), fires="gpu.temp_core", status="warn"),
    Case("small-margin", lambda: h100x8().nvml(**{"4.temp_margin": 3}), fires="gpu.temp_core", status="warn"),
    Case("hot-geforce", lambda: rtx5090().nvml(**{"0.temp_margin": -2}), fires="gpu.temp_core", status="warn"),
    Case(
        "hot-memory",
        lambda: a100_mig().nvml(**{"0.field.82": 91}),
        fires="gpu.temp_memory",
        status="warn",
        says=("4 °C below it",),
    ),
    Case(
        "lowered-power-limit",
        lambda: rtx5090().nvml(**{"0.power_limit_mw": 400000}),
        fires="gpu.power_limit",
        status="warn",
    ),
    Case(
        "power-limit-unlike-its-peers",
        lambda: h100x8().nvml(**{"6.power_limit_mw": 300000}),
        fires="gpu.power_limit",
        says=("GPU 6",),
    ),
    Case(
        "power-unreadable",
        lambda: t4().nvml(**{"0.err.nvmlDeviceGetPowerUsage": 999}),
        fires="gpu.power_readable",
        status="warn",
    ),
    Case(
        "application-clocks-low",
        lambda: h100x8().nvml(**{"*.appclock.0": 1200}),
        fires="gpu.clock_locked",
        status="warn",
        pitfall=("app-clocks-locked",),
    ),
    Case(
        "clocks-locked-low",
        lambda: rtx5090().nvml(**{"0.throttle": 0x2, "0.util": 99, "0.clock.0": 1200}),
        fires="gpu.clock_locked",
        status="warn",
    ),
    # who uses the memory
    Case(
        "memory-without-process",
        lambda: h100x8().nvml(**{"1.mem_used": 60 * _GIB}),
        fires="gpu.idle_memory",
        status="warn",
        pitfall=("zombie-gpu-memory",),
        says=("60.0 GiB", "GPU 1"),
    ),
    Case(
        "memory-full",
        lambda: l40s().nvml(**{"0.procs": 2, "0.mem_used": 44 * _GIB}),
        fires="gpu.foreign_procs",
        status="warn",
        pitfall=("cuda-oom",),
        says=("1000 and 1001",),
    ),
    Case(
        "memory-full-in-a-container",
        lambda: container().nvml(**{"0.mem_used": 44 * _GIB}),
        fires="gpu.foreign_procs",
        status="warn",
        says=("can't be seen from here",),
    ),
    Case("dead-process", _ghost, fires="gpu.ghost_pids", says=("Process 4242 has ended", "GPU 1")),
    # modes
    Case(
        "exclusive-process",
        lambda: t4().nvml(**{"0.compute_mode": 3}),
        fires="gpu.compute_mode",
        status="warn",
        pitfall=("exclusive-process-mode",),
    ),
    Case("prohibited-on-eight", lambda: h100x8().nvml(**{"*.compute_mode": 2}), fires="gpu.compute_mode"),
    Case(
        "mig-without-instance",
        lambda: a100_mig().nvml(**{"0.mig_instances": 0}),
        fires="gpu.mig_state",
        pitfall=("mig-enabled-no-instances",),
    ),
    Case(
        "mig-change-waits",
        lambda: h100x8().nvml(**{"*.mig_pending": 1}),
        fires="gpu.mig_state",
        pitfall=("mig-change-pending",),
        says=("GPUs 0-7",),
    ),
    Case(
        "vgpu-without-licence",
        lambda: t4().nvml(**_VGPU, **{"0.licence": "1,1,0,0,0,0,0"}),
        fires="gpu.vgpu_guest",
        pitfall=("grid-license",),
    ),
    Case(
        "confidential-not-ready",
        lambda: h100x8().nvml(conf_compute="2,1,0", conf_compute_ready=0),
        fires="gpu.conf_compute",
        pitfall=("confidential-compute-not-ready",),
    ),
    # NVIDIA's own diagnosis
    Case(
        "dcgm-finds-bad-memory",
        lambda: l40s().command(
            "dcgmi diag -j -r 2",
            dcgm(on_gpu(0, "Pass"), on_gpu(1, "Fail", warning="Found 3 faulty memory elements on GPU 1")),
            returncode=226,
        ),
        fires="gpu.dcgm_diag",
        level="deep",
        pitfall=("silent-data-corruption",),
        says=("memory (GPU 1)", "faulty memory elements"),
    ),
    Case(
        "dcgm-dislikes-a-setting",
        lambda: h100x8().command(
            "dcgmi diag -j -r 2",
            dcgm(
                *(on_gpu(gpu, "Fail", severity=5, warning="Persistence Mode: disabled.") for gpu in range(8)),
                test="software",
                category="Deployment",
            ),
            returncode=226,
        ),
        fires="gpu.dcgm_diag",
        status="warn",
        level="deep",
        says=("software (GPUs 0-7)",),
    ),
)
