"""Sick machines of the area cuda: libcuda, starting CUDA, the first context."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.boxes.healthy import a100_mig, add_driver, container, h100x8, l40s, pci, rtx3090_p40, t4

from . import Case

if TYPE_CHECKING:
    from tests.boxes import Box

_MPS = "/tmp/nvidia-mps"  # noqa: S108 -- where MPS has its pipes
_STUB = "/usr/local/cuda/lib64/stubs/libcuda.so.1"
_COMPAT = "/usr/local/cuda-12.8/compat/libcuda.so.1"


def _stub_from_cache() -> Box:
    box = t4().library("libcuda.so.1", _STUB, real="libcuda.so").nvml(**{"err.cuInit": 34})
    box.file("/etc/ld.so.conf.d/cuda-build.conf", "/usr/local/cuda/lib64/stubs\n")
    return box.file("/etc/ld.so.conf.d/x86_64-linux-gnu.conf", "/usr/lib/x86_64-linux-gnu\n")


def _compat(box: Box, release: str, code: int) -> Box:
    box.library("libcuda.so.1", _COMPAT, real=f"libcuda.so.{release}", source="LD_LIBRARY_PATH")
    return box.nvml(**{"err.cuInit": code})


def _hanging(line: str, call: str) -> Box:
    """A child that did not come back from one call."""
    lines = ({"at": "dlopen"}, {"fact": "library", "value": "/usr/lib/x86_64-linux-gnu/libcuda.so.1"}, {"at": call})
    return t4().command(line, "".join(json.dumps(one) + "\n" for one in lines), timed_out=True)


def _ten() -> Box:
    """Ten GPUs behind PCIe switches, and no NVSwitch."""
    box = l40s()
    buses = [f"0000:{bus:02x}:00.0" for bus in range(0x40, 0x4A)]
    box.without("/sys/bus/pci/devices")
    for bus_id in buses:
        pci(box, bus_id, "26b9", driver="nvidia")
    add_driver(box, "580.82.07", "open", len(buses))
    for index, bus_id in enumerate(buses):
        lines = {"name": "NVIDIA L40S", "uuid": f"GPU-{index:08x}-0000-0000-0000-000000000000", "pci": bus_id[:-2]}
        lines |= {"pci_device_id": "0x26B910DE", "cc": "8.9", "mem_total": 48305799168}
        box.nvml(**{f"{index}.{key}": value for key, value in lines.items()})
    return box.nvml(count=len(buses), **{"p2p.0": 0, "p2p.1": 0, "p2p.2": 5})


CASES: tuple[Case, ...] = (
    # --- which libcuda
    Case(
        "libcuda-is-a-stub",
        lambda: (
            t4().library("libcuda.so.1", _STUB, real="libcuda.so", source="LD_LIBRARY_PATH").nvml(**{"err.cuInit": 34})
        ),
        "cuda.libcuda",
        pitfall=("libcuda-stub-used",),
        says=("stub",),
    ),
    Case("libcuda-is-a-stub-of-the-cache", _stub_from_cache, "cuda.libcuda", says=("cuda-build.conf",)),
    Case("no-libcuda", lambda: t4().library("libcuda.so.1", None), "cuda.libcuda", says=("can't be found",)),
    Case(
        "no-libcuda-in-a-container",
        lambda: container().library("libcuda.so.1", None),
        "cuda.libcuda",
        says=("cannot open shared object file",),
    ),
    Case(
        "libcuda-of-another-release",
        lambda: (
            t4("535.183.01")
            .library("libcuda.so.1", "/usr/lib/x86_64-linux-gnu/libcuda.so.1", real="libcuda.so.535.54.03")
            .nvml(**{"err.cuInit": 803})
        ),
        "cuda.libcuda",
        pitfall=("error-803-driver-mismatch",),
        says=("535.54.03", "535.183.01"),
    ),
    Case(
        "libcuda-outside-of-the-cache",
        lambda: t4().library(
            "libcuda.so.1",
            "/usr/lib/x86_64-linux-gnu/libcuda.so.1",
            real="libcuda.so.580.82.07",
            source="default folder",
        ),
        "cuda.libcuda",
        status="warn",
        pitfall=("triton-libcuda-not-found",),
        says=("Triton",),
    ),
    Case(
        "no-compiler-for-ptx",
        lambda: t4().library("libnvidia-ptxjitcompiler.so.1", None),
        "cuda.libcuda",
        status="warn",
        pitfall=("ptx-jit-library-missing",),
        says=("221",),
    ),
    Case(
        "compat-older-than-the-driver",
        lambda: _compat(l40s(), "570.124.06", 803),
        "cuda.compat_shadow",
        pitfall=("error-803-driver-mismatch",),
        says=("803",),
    ),
    Case(
        "compat-on-geforce",
        lambda: _compat(rtx3090_p40(), "580.65.06", 804),
        "cuda.compat_shadow",
        pitfall=("error-804-forward-compat-geforce",),
        says=("804",),
    ),
    Case(
        "cuda-of-another-version",
        lambda: t4().nvml(**{"cuda.version": 12010}),
        "cuda.api_version",
        says=("12.1", "13.0"),
    ),
    # --- cuInit
    Case(
        "fabric-not-set-up",
        lambda: h100x8().nvml(**{"err.cuInit": 802}),
        "cuda.init",
        says=("802", "NVSwitch"),
    ),
    Case(
        "uvm-missing-and-cuda-999",
        lambda: t4().without("/dev/nvidia-uvm").nvml(**{"err.cuInit": 999}),
        "cuda.init",
        leads="driver.uvm",
        pitfall=("cuda-visible-devices-changed-late",),
        says=("999",),
    ),
    Case("cuda-unknown-error", lambda: t4().nvml(**{"err.cuInit": 999}), "cuda.init", says=("999",)),
    Case(
        "mig-empty-and-no-device",
        lambda: a100_mig().nvml(**{"0.mig_instances": 0}),
        "cuda.init",
        leads="gpu.mig_state",
        says=("100",),
    ),
    Case(
        "mps-does-not-answer",
        lambda: t4().folder(_MPS, "control", "log").nvml(**{"err.cuInit": 805}),
        "cuda.init",
        pitfall=("mps-daemon-broken",),
        says=("805", "mps_folder True"),
    ),
    Case("cuda-hangs", lambda: _hanging("cuda", "cuInit"), "cuda.init", status="timed-out", says=("cuInit",)),
    Case("cuda-crashes", lambda: t4().nvml(**{"crash.cuDeviceGetCount": 1}), "cuda.init", says=("signal 6",)),
    Case(
        "cuda-shows-fewer",
        lambda: rtx3090_p40().nvml(**{"1.hidden": 1}),
        "cuda.init",
        says=("1 device of 2 GPUs", "0000:02:00.0"),
    ),
    Case(
        "fastest-first",
        lambda: rtx3090_p40().nvml(**{"cuda.order": "1,0"}),
        "cuda.device_order",
        status="warn",
        pitfall=("device-order-differs",),
        says=("Device 0 of CUDA is GPU 1",),
    ),
    # --- a context
    Case(
        "gpu-closed-by-its-mode",
        lambda: t4().nvml(**{"0.compute_mode": 2}),
        "cuda.context",
        leads="gpu.compute_mode",
        level="standard",
        says=("46",),
    ),
    Case(
        "gpu-taken-by-another-program",
        lambda: t4().nvml(**{"0.compute_mode": 3, "0.err.cuDevicePrimaryCtxRetain": 46}),
        "cuda.context",
        leads="gpu.compute_mode",
        level="standard",
        pitfall=("exclusive-process-mode",),
        says=("46",),
    ),
    Case(
        "context-without-memory",
        lambda: h100x8().nvml(**{"3.err.cuMemAlloc_v2": 2}),
        "cuda.context",
        level="standard",
        says=("Device 3", "taking 1 MiB", "OUT_OF_MEMORY"),
    ),
    Case(
        "memory-gives-back-other-bytes",
        lambda: t4().nvml(**{"0.corrupt": 1}),
        "cuda.context",
        level="standard",
        says=("other bytes",),
    ),
    Case(
        "context-hangs",
        lambda: _hanging("cuda context 0", "cuDevicePrimaryCtxRetain"),
        "cuda.context",
        status="timed-out",
        level="standard",
        says=("cuDevicePrimaryCtxRetain",),
    ),
    # --- GPUs together
    Case(
        "ten-gpus-over-pcie",
        _ten,
        "mgpu.topology",
        status="warn",
        pitfall=("peer-mapping-exhausted",),
        says=("9 others", "8"),
    ),
    Case(
        "nvlink-without-peer-access",
        lambda: h100x8().nvml(**{"p2p.0.1.0": 4}),
        "mgpu.p2p_status",
        status="warn",
        says=("GPU 0 and GPU 1",),
    ),
)
