"""Checks of libcuda, of starting CUDA and of variables, at their edges."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from provision.checks import Facts
from provision.checks.cuda_build import ld_shadow, minor_compat
from provision.checks.cuda_library import api_version, compat_shadow, libcuda
from provision.checks.cuda_start import context, device_order, init
from provision.checks.cuda_variables import env_debug, is_built_for, jit_cache, toolkit
from provision.checks.cuda_visible_devices import visible_devices
from provision.checks.multi_gpu import nccl_env, p2p_status, topology
from provision.records import Reading
from provision.versions import ComputeCapability
from tests.boxes.healthy import a100_mig, container, h100x8, l40s, rtx3090_p40, rtx5090, t4, wsl

if shutil.which("gcc") is None:
    pytest.skip("the fake NVML needs gcc", allow_module_level=True)

COMPAT = "/usr/local/cuda-12.8/compat/libcuda.so.1"


def judged(check, box, level="quick"):
    found = check.evaluate(box.facts(level))
    return found.status, found.happened


def without(facts, *names):
    """Facts of which some were never read."""
    kept = tuple(one for one in facts.machine.readings if not one.name.startswith(names))
    return Facts(replace(facts.machine, readings=kept), facts.context)


def compat(box, release, **nvml):
    return box.library("libcuda.so.1", COMPAT, real=f"libcuda.so.{release}", source="LD_LIBRARY_PATH").nvml(**nvml)


# --- libcuda


@pytest.mark.parametrize(
    ("box", "level", "status", "said"),
    [
        (lambda: compat(t4("535.183.01"), "570.124.06"), "quick", "pass", "cuInit accepts it"),
        (lambda: compat(t4("535.183.01"), "570.124.06"), "instant", "pass", "can have"),
        (lambda: compat(t4("535.183.01"), "535.183.01"), "instant", "pass", "can have"),
        (lambda: compat(t4("535.183.01"), "535.183.00"), "instant", "fail", "older than the driver 535.183.01"),
        (lambda: compat(rtx5090(), "610.57.04"), "instant", "fail", "error 804"),
        (lambda: compat(rtx5090(), "610.57.04"), "quick", "pass", "cuInit accepts it"),
        (lambda: compat(t4("535.183.01"), "570.124.06", **{"err.cuInit": 803}), "quick", "fail", "error 803"),
        (t4, "instant", "pass", "not from a compatibility package"),
        (wsl, "instant", "skip", "WSL"),
    ],
)
def test_compatibility_packages(box, level, status, said):
    found = judged(compat_shadow, box(), level)
    assert found[0] == status
    assert said in found[1]


def test_a_compatibility_package_for_another_branch():
    # 12.6 is listed as refusing kernel drivers of branch 555; cuInit ended with a code that names no reason.
    box = compat(t4("535.183.01"), "560.35.05", **{"err.cuInit": 999, "cuda.version": 12060})
    box.file("/sys/module/nvidia/version", "555.42.06\n")
    assert judged(compat_shadow, box)[0] == "warn"


def test_a_compatibility_package_may_differ_from_nvml():
    box = compat(t4("535.183.01"), "570.124.06", **{"cuda.version": 12080})
    assert judged(api_version, box) == ("pass", "A compatibility package brings CUDA 12.8 to a driver for 12.2.")


@pytest.mark.parametrize(("code", "status"), [(None, "warn"), (803, "fail")])
def test_libcuda_of_another_release(code, status):
    box = t4("535.183.01").library(
        "libcuda.so.1", "/usr/lib/x86_64-linux-gnu/libcuda.so.1", real="libcuda.so.535.54.03"
    )
    if code:
        box.nvml(**{"err.cuInit": code})
    assert judged(libcuda, box)[0] == status


def test_libcuda_that_nobody_loaded():
    facts = without(t4("535.183.01").facts(), "cuda.")
    assert libcuda.evaluate(facts).status == "skip"
    assert init.evaluate(facts).status == "skip"
    assert api_version.evaluate(facts).status == "skip"
    assert context.evaluate(facts).status == "skip"
    assert device_order.evaluate(facts).status == "skip"


def test_cuda_is_not_started_beside_a_stuck_process():
    found = judged(init, t4("535.183.01").answer("driver.blocked_processes", ["nvidia-smi"]))
    assert found == ("unknown", "CUDA was not asked: a program of the driver is stuck in the kernel.")


def test_a_missing_library_is_told_once():
    box = t4("535.183.01").library("libcuda.so.1", None)
    assert judged(init, box) == ("skip", "libcuda could not be loaded; see cuda.libcuda.")


def test_a_code_that_nobody_has_written_up():
    found = judged(init, t4("535.183.01").nvml(**{"err.cuInit": 888}))
    assert found == ("fail", "CUDA does not start, cuInit ends with 888.")


# --- contexts


def slow(seconds):
    facts = t4("535.183.01").facts("standard")
    rest = tuple(one for one in facts.machine.readings if one.name != "cuda.device.0.context_s")
    more = Reading("cuda.device.0.context_s", "libcuda", seconds)
    return context.evaluate(Facts(replace(facts.machine, readings=(*rest, more)), facts.context)).status


def test_a_slow_context_warns():
    assert (slow(5.0), slow(5.1)) == ("pass", "warn")


def test_contexts_wait_for_their_level():
    assert judged(context, t4("535.183.01"))[0] == "skip"


# --- order and choice


def test_order_by_the_bus_is_the_same():
    box = rtx3090_p40().nvml(**{"cuda.order": "1,0"}).variable("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert judged(device_order, box)[0] == "pass"


@pytest.mark.parametrize(
    ("box", "value", "status", "said"),
    [
        (h100x8, "7,6,5,4", "pass", "4 devices"),
        (h100x8, "0,0", "fail", "names 0 twice"),
        (h100x8, "NoDevFiles", "fail", "Slurm"),
        (a100_mig, "MIG-00000000-0000-5000-8000-000000000003", "pass", "1 device"),
        (a100_mig, "MIG-GPU-00000000-0000-0000-0000-000000000000/1/0", "pass", "1 device"),
        (a100_mig, "MIG-00000000-0000-5000-8000-000000000004", "fail", "no MIG instance of this box"),
        (a100_mig, "0", "pass", "1 device"),
    ],
)
def test_visible_devices(box, value, status, said):
    found = judged(visible_devices, box().variable("CUDA_VISIBLE_DEVICES", value))
    assert found[0] == status
    assert said in found[1]


# --- variables


@pytest.mark.parametrize(
    ("architectures", "capability", "fits"),
    [
        ("8.0", "8.6", True),
        ("8.6", "8.0", False),
        ("8.0", "9.0", False),
        ("8.0+PTX", "9.0", True),
        ("9.0a", "9.0", True),
        ("9.0a+PTX", "10.0", False),
        ("7.0;7.5", "8.9", False),
        ("Ampere", "12.0", True),
        ("12.0", "12.1", True),
        ("", "8.0", False),
    ],
)
def test_architectures(architectures, capability, fits):
    assert is_built_for(architectures, ComputeCapability.parse(capability)) is fits


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("CUDA_LAUNCH_BLOCKING", "0", "pass"),
        ("CUDA_LAUNCH_BLOCKING", "1", "warn"),
        ("NVIDIA_TF32_OVERRIDE", "0", "warn"),
        ("CUDA_CACHE_DISABLE", "1", "pass"),  # NVIDIA's own images set it
        ("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True", "pass"),
        ("PYTORCH_CUDA_ALLOC_CONF", None, "pass"),
        ("TORCH_CUDA_ARCH_LIST", "7.5", "pass"),
        ("TORCH_CUDA_ARCH_LIST", None, "warn"),
    ],
)
def test_variables_for_debugging(name, value, status):
    assert judged(env_debug, t4("535.183.01").variable(name, value), "instant")[0] == status


def test_kernels_before_pidfd_getfd():
    for kernel, status in (("5.6.0", "pass"), ("5.5.19", "warn"), ("4.18.0-553.el8", "warn")):
        box = t4("535.183.01").variable("PYTORCH_ALLOC_CONF", "expandable_segments:True")
        box.kernel = kernel
        assert judged(env_debug, box, "instant")[0] == status


def test_variables_that_nobody_looked_at():
    facts = without(t4("535.183.01").facts("instant"), "environment.", "cuda.jit_cache")
    for check in (env_debug, toolkit, nccl_env, ld_shadow, jit_cache):
        assert check.evaluate(facts).status == "skip"


def test_a_home_that_nobody_knows():
    box = t4("535.183.01").answer("cuda.jit_cache", {"place": "~/.nv/ComputeCache"})
    assert judged(jit_cache, box, "instant")[0] == "unknown"


@pytest.mark.parametrize(
    ("box", "end", "status"),
    [(t4, "exists", "pass"), (t4, "no-compiler", "warn"), (container, "no-compiler", "pass"), (t4, "missing", "warn")],
)
def test_cuda_home(box, end, status):
    assert judged(toolkit, box().answer("variables that name paths", {"CUDA_HOME": end}), "instant")[0] == status


# --- libraries beside a build


@pytest.mark.parametrize(
    ("name", "real", "status"),
    [
        ("libnvJitLink.so.13", "libnvJitLink.so.13.0.88", "pass"),
        ("libnvJitLink.so.13", "libnvJitLink.so.13.0.87", "warn"),
        ("libnvJitLink.so.13", "libnvJitLink.so.13.1.80", "pass"),
        ("libnvJitLink.so.12", "libnvJitLink.so.12.1.105", "pass"),
        ("libnvJitLink.so.13", "libnvJitLink.so.13", "pass"),
    ],
)
def test_a_library_before_that_of_the_build(name, real, status):
    found = [["LD_LIBRARY_PATH", name, f"/usr/local/cuda/lib64/{name}", real]]
    assert judged(ld_shadow, l40s().answer("libraries before the loader's own", found))[0] == status


def test_a_toolkit_in_an_image_is_not_suspected():
    found = [["LD_LIBRARY_PATH", "libcudnn.so.9", "/usr/local/cuda/lib64/libcudnn.so.9", "libcudnn.so.9.1.0"]]
    for box, status in ((container(), "pass"), (t4("535.183.01"), "warn")):
        facts = without(box.answer("libraries before the loader's own", found).facts(), "env.")
        assert ld_shadow.evaluate(facts).status == status


@pytest.mark.parametrize(
    ("version", "status", "said"),
    [
        ("12.2.2", "pass", "runs on a driver for 12.2"),
        ("12.3.0", "warn", "error 222"),
        ("13.0.0", "warn", "can't run"),
        ("11.8.0", "pass", "runs on a driver for 12.2"),
    ],
)
def test_a_toolkit_beside_the_driver(version, status, said):
    text = json.dumps({"cuda": {"name": "CUDA SDK", "version": version}})
    found = judged(minor_compat, t4("535.183.01").file("/usr/local/cuda/version.json", text))
    assert found[0] == status
    assert said in found[1]


# --- several GPUs


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("NCCL_SOCKET_IFNAME", "eth", "pass"),
        ("NCCL_SOCKET_IFNAME", "=eth", "fail"),
        ("NCCL_SOCKET_IFNAME", "=eth0", "pass"),
        ("NCCL_SOCKET_IFNAME", "^eth", "pass"),
        ("NCCL_SOCKET_IFNAME", "bond0,eth0", "pass"),
        ("NCCL_SOCKET_IFNAME", "lo", "pass"),
        ("GLOO_SOCKET_IFNAME", "eth", "fail"),
        ("NCCL_DEBUG", "INFO", "pass"),
        ("NCCL_DEBUG", "TRACE", "warn"),
        ("NCCL_P2P_DISABLE", "0", "pass"),
        ("NCCL_SHM_DISABLE", "1", "warn"),
        ("NCCL_IB_DISABLE", "1", "pass"),
    ],
)
def test_nccl_variables(name, value, status):
    box = h100x8().without("/sys/class/infiniband").variable(name, value)
    assert judged(nccl_env, box)[0] == status


def test_p2p_off_where_there_is_none():
    assert judged(nccl_env, rtx3090_p40().variable("NCCL_P2P_DISABLE", "1"))[0] == "pass"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ({"p2p.0": 1}, "pass"),  # no peer access by chipset
        ({"p2p.0": 3}, "pass"),  # far from each other
        ({"p2p.0": 3, "topology": 20}, "warn"),  # behind common switches
        ({"p2p.0": 2, "topology": 20}, "pass"),  # GeForce
        ({"p2p.0": 4}, "warn"),  # forbidden by an option
    ],
)
def test_peer_access(lines, status):
    assert judged(p2p_status, l40s().nvml(**lines))[0] == status


def test_one_gpu_has_no_peers():
    assert judged(topology, t4("535.183.01"))[0] == "skip"
    assert judged(p2p_status, t4("535.183.01"))[0] == "skip"
