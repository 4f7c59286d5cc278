"""Sick machines of the area variables: the environment, and what it puts before other libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.boxes.healthy import a100_mig, container, h100x8, l40s, rtx3090_p40, t4, v100

from . import Case

if TYPE_CHECKING:
    from tests.boxes import Box

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_INSTANCE = "MIG-00000000-0000-5000-8000-00000000000"
_TOOLKIT_FILE = '{"cuda": {"name": "CUDA SDK", "version": "12.8.1"}}'
_TOOLKIT = "/usr/local/cuda-12.1/lib64"


def _leads_to(box: Box, **paths: str) -> Box:
    """Variables that name paths, with what is there."""
    return box.answer("variables that name paths", paths)


def _first(box: Box, variable: str, *rows: tuple[str, str]) -> Box:
    """Libraries that a variable puts first: soname, and the file behind it."""
    found = [[variable, name, f"{_TOOLKIT}/{name}", real] for name, real in rows]
    box.answer("files that set variables", {variable: ["/etc/profile.d/cuda.sh"]})
    return box.answer("libraries before the loader's own", found)


def _no_environment(box: Box) -> Box:
    for name in ("env.path", "env.scan"):
        box.looks.pop(("answer", name), None)
    return box


def _old_kernel() -> Box:
    box = v100().variable("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True,max_split_size_mb:256")
    box.kernel = "4.18.0-553.el8_10.x86_64"
    return box.without("/boot", "/lib/modules")


CASES: tuple[Case, ...] = (
    # --- which GPUs
    Case(
        "no-gpu-visible",
        lambda: t4().variable(_VISIBLE, ""),
        "cuda.visible_devices",
        pitfall=("cuda-visible-devices-empty",),
        says=("set and empty",),
    ),
    Case("no-gpu-visible-minus-one", lambda: t4().variable(_VISIBLE, "-1"), "cuda.visible_devices", says=("-1",)),
    Case(
        "no-gpu-from-slurm",
        lambda: t4().variable(_VISIBLE, "NoDevFiles"),
        "cuda.visible_devices",
        says=("Slurm",),
    ),
    Case(
        "gpu-beyond-the-last",
        lambda: h100x8().variable(_VISIBLE, "0,1,9,2"),
        "cuda.visible_devices",
        pitfall=("invalid-device-ordinal",),
        says=("only 0, 1 stay visible",),
    ),
    Case(
        "gpu-named-twice",
        lambda: rtx3090_p40().variable(_VISIBLE, "1,1"),
        "cuda.visible_devices",
        says=("every GPU is hidden",),
    ),
    Case(
        "visible-devices-of-no-form",
        lambda: t4().variable(_VISIBLE, None),
        "cuda.visible_devices",
        says=("neither indexes nor UUIDs",),
    ),
    Case(
        "two-mig-instances",
        lambda: a100_mig().variable(_VISIBLE, f"{_INSTANCE}0,{_INSTANCE}1"),
        "cuda.visible_devices",
        status="warn",
        pitfall=("mig-one-instance-per-process",),
        says=("2 MIG instances",),
    ),
    Case(
        "unknown-mig-instance",
        lambda: a100_mig().variable(_VISIBLE, f"{_INSTANCE}9"),
        "cuda.visible_devices",
        says=("no MIG instance of this box",),
    ),
    Case(
        "cuda-disagrees-with-visible-devices",
        lambda: rtx3090_p40().variable(_VISIBLE, "0,1").nvml(**{"1.hidden": 1}),
        "cuda.visible_devices",
        status="warn",
        says=("names 2 devices, and CUDA shows 1",),
    ),
    # --- left from debugging
    Case(
        "launch-blocking",
        lambda: (
            t4()
            .variable("CUDA_LAUNCH_BLOCKING", "1")
            .answer("files that set variables", {"CUDA_LAUNCH_BLOCKING": ["/etc/profile.d/debug.sh"]})
        ),
        "cuda.env_debug",
        status="warn",
        says=("CUDA_LAUNCH_BLOCKING", "/etc/profile.d/debug.sh"),
    ),
    Case(
        "no-compiling-by-variable",
        lambda: t4().variable("CUDA_DISABLE_PTX_JIT", "1"),
        "cuda.env_debug",
        status="warn",
        pitfall=("ptx-jit-library-missing",),
        says=("223",),
    ),
    Case(
        "injected-tool-is-gone",
        lambda: _leads_to(t4(), CUDA_INJECTION64_PATH="missing"),
        "cuda.env_debug",
        status="warn",
        says=("does not exist",),
    ),
    Case(
        "extensions-for-other-gpus",
        lambda: l40s().variable("TORCH_CUDA_ARCH_LIST", "7.0;7.5"),
        "cuda.env_debug",
        status="warn",
        says=("8.9",),
    ),
    Case(
        "architectures-of-no-form",
        lambda: l40s().variable("TORCH_CUDA_ARCH_LIST", None),
        "cuda.env_debug",
        status="warn",
        pitfall=("unknown-cuda-arch",),
        says=("TORCH_CUDA_ARCH_LIST",),
    ),
    Case(
        "expandable-segments-on-an-old-kernel",
        _old_kernel,
        "cuda.env_debug",
        status="warn",
        pitfall=("expandable-segments-ipc",),
        says=("4.18",),
    ),
    Case(
        "nowhere-for-compiled-code",
        lambda: t4().answer(
            "cuda.jit_cache", {"place": "~/.nv/ComputeCache", "filesystem": "ext4", "is_writable": False}
        ),
        "cuda.jit_cache",
        status="warn",
        says=("~/.nv/ComputeCache",),
    ),
    Case(
        "toolkit-is-gone",
        lambda: _leads_to(t4(), CUDA_HOME="missing"),
        "cuda.toolkit",
        status="warn",
        pitfall=("cuda-home-unset",),
        says=("CUDA_HOME",),
    ),
    # --- other libraries first
    Case(
        "toolkit-before-the-wheels",
        lambda: _first(l40s(), "LD_LIBRARY_PATH", ("libnvJitLink.so.13", "libnvJitLink.so.13.0.39")),
        "cuda.ld_shadow",
        status="warn",
        pitfall=("ld-library-path-shadows",),
        says=("13.0.39", "13.0.88", "/etc/profile.d/cuda.sh"),
    ),
    Case(
        "other-cudnn-before-the-wheels",
        lambda: _first(_no_environment(t4()), "LD_LIBRARY_PATH", ("libcudnn.so.9", "libcudnn.so.9.1.0")),
        "cuda.ld_shadow",
        status="warn",
        pitfall=("cudnn-version-conflict",),
        says=("libcudnn.so.9",),
    ),
    Case(
        "preloaded-cublas",
        lambda: _first(_no_environment(container()), "LD_PRELOAD", ("libcublas.so.12", "libcublas.so.12.1.3.1")),
        "cuda.ld_shadow",
        status="warn",
        says=("LD_PRELOAD",),
    ),
    Case(
        "older-nccl-first",
        lambda: _first(l40s(), "LD_LIBRARY_PATH", ("libnccl.so.2", "libnccl.so.2.18.3")),
        "nccl.version",
        status="warn",
        leads="cuda.ld_shadow",
        says=("2.18.3",),
    ),
    Case(
        "newer-nccl-first",
        lambda: _first(l40s(), "LD_LIBRARY_PATH", ("libnccl.so.2", "libnccl.so.2.40.1")),
        "nccl.version",
        status="warn",
        says=("2.40.1",),
    ),
    Case(
        "toolkit-newer-than-the-driver",
        lambda: t4("535.183.01").file("/usr/local/cuda/version.json", _TOOLKIT_FILE),
        "cuda.minor_compat",
        status="warn",
        pitfall=("ptx-unsupported-toolchain", "call-needs-newer-driver"),
        says=("12.8", "12.2", "222"),
    ),
    # --- NCCL
    Case(
        "interface-is-not-there",
        lambda: t4().folder("/sys/class/net", "lo", "ens5").variable("NCCL_SOCKET_IFNAME", "eth0"),
        "nccl.env",
        pitfall=("nccl-wrong-interface",),
        says=("eth0", "ens5"),
    ),
    Case(
        "interface-of-gloo-by-its-beginning",
        lambda: t4().folder("/sys/class/net", "lo", "ens5").variable("GLOO_SOCKET_IFNAME", "ens"),
        "nccl.env",
        says=("GLOO_SOCKET_IFNAME names ens",),
    ),
    Case(
        "interface-is-a-bridge",
        lambda: t4().folder("/sys/class/net", "lo", "ens5", "docker0").variable("NCCL_SOCKET_IFNAME", "docker0"),
        "nccl.env",
        status="warn",
        pitfall=("nccl-wrong-interface",),
        says=("docker0",),
    ),
    Case(
        "p2p-switched-off",
        lambda: h100x8().variable("NCCL_P2P_DISABLE", "1"),
        "nccl.env",
        status="warn",
        says=("28 pairs",),
    ),
    Case(
        "shared-memory-switched-off-in-the-file",
        lambda: h100x8().file("/etc/nccl.conf", "# all jobs\nNCCL_SHM_DISABLE=1\n"),
        "nccl.env",
        status="warn",
        says=("nccl_conf.NCCL_SHM_DISABLE",),
    ),
    Case(
        "infiniband-switched-off",
        lambda: h100x8().folder("/sys/class/infiniband", "mlx5_0", "mlx5_1").variable("NCCL_IB_DISABLE", "1"),
        "nccl.env",
        status="warn",
        says=("adapter",),
    ),
    Case(
        "adapter-is-not-there",
        lambda: h100x8().folder("/sys/class/infiniband", "mlx5_0").variable("NCCL_IB_HCA", "=bnxt_re0"),
        "nccl.env",
        status="warn",
        says=("bnxt_re0",),
    ),
    Case(
        "topology-file-is-gone",
        lambda: _leads_to(h100x8(), NCCL_TOPO_FILE="missing"),
        "nccl.env",
        says=("NCCL_TOPO_FILE",),
    ),
    Case(
        "host-memory-of-nccl-in-a-container",
        lambda: (
            container()
            .file("/proc/self/status", "Name:\tpython3\nCapEff:\t00000000a80425fb\n")
            .variable("NCCL_CUMEM_HOST_ENABLE", "1")
        ),
        "nccl.env",
        status="warn",
        pitfall=("nccl-cumem-host",),
        says=("CAP_SYS_NICE",),
    ),
)
