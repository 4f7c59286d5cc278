"""Sick machines of the area python_packages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.boxes.environments import Env, with_torch
from tests.boxes.healthy import BOXES, gh200, h100x8, l40s, rtx3090_p40, rtx5090, t4, v100, wsl

from . import Case

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tests.boxes import Box

assert BOXES
FLASH = "2.7.4.post1+cu12torch2.6cxx11abiFALSE"
RECEIPT = {"torch": "2.13.0+cu126", "torchvision": "0.28.0", "numpy": "2.3.4", "triton": "3.7.1"}
CONDA = '{"channel": "https://conda.example/conda-forge/linux-64", "name": "pytorch"}'


def on(machine: Callable[[], Box], env: Env | Callable[[], Env], **changes: Any) -> Callable[[], Box]:
    """A healthy machine with another environment; `changes` of what the scan found."""

    def make() -> Box:
        found = (env() if callable(env) else env).scan()
        return machine().answer("env.scan", {**found, **changes})

    return make


def imported(machine: Callable[[], Box], env: Callable[[], Env], **told: Any) -> Callable[[], Box]:
    """A machine whose child that imports torch said this."""
    return lambda: on(machine, env)().command("env.import", f"{json.dumps(told)}\n")


def _torch(version: str = "2.13.0", variant: str = "cu126", **more: Any) -> Callable[[], Env]:
    return lambda: with_torch(version, variant, **more)


def _beside(name: str, version: str, base: Callable[[], Env] | None = None, **more: Any) -> Callable[[], Env]:
    return lambda: (base or _torch())().without(name).dist(name, version, **more)


def _server_wheel_on_orin() -> Box:
    box = gh200()
    box.file("/etc/nv_tegra_release", "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n")
    box.file("/proc/device-tree/compatible", "nvidia,p3737-0000+p3701-0000\0nvidia,tegra234\0")
    box.answer("env.scan", with_torch("2.9.1", "cu130", arch="aarch64").scan())
    return box.nvml(**{"0.cc": 8.7, "0.name": "Orin (nvgpu)"})


def _started(env: Env, python: str | None) -> dict[str, Any]:
    """The scan of an environment whose bin/python3 leads elsewhere; None: nowhere."""
    found = env.scan()
    return {**found, "python": {**found["python"], "can_run": python is not None, "started": python}}


_PRESENT = (
    Case(
        "env-python-is-gone",
        lambda: t4().answer("env.scan", _started(_torch()(), None)),
        "wheel.torch_present",
        says=("leads to a program that is gone",),
    ),
    Case(
        "env-python-was-upgraded",
        lambda: t4().answer("env.scan", _started(_torch()(), "3.13")),
        "wheel.python_abi",
        says=("3.12.3", "3.13"),
    ),
    Case(
        "env-is-no-environment",
        lambda: t4().answer("env.scan", {"failure": "/opt/x is not there"}),
        "wheel.torch_present",
        says=("/opt/x is not there",),
    ),
    Case(
        "env-without-torch",
        on(t4, lambda: Env().dist("numpy", "2.3.4")),
        "wheel.torch_present",
        says=("no usable torch",),
    ),
    Case(
        "env-torch-files-gone",
        on(t4, lambda: _torch()().remove("torch/")),
        "wheel.torch_present",
        says=("its files are not",),
    ),
    Case(
        "env-torch-twice",
        on(t4, lambda: _torch()().dist("torch", "2.9.1+cu126")),
        "wheel.torch_present",
        says=("2 times",),
    ),
    Case(
        "env-torch-mixed",
        on(
            t4,
            lambda: _torch()().file(
                "lib/python3.12/site-packages/torch/version.py", "__version__ = '2.9.1+cu126'\ncuda = '12.6'\n"
            ),
        ),
        "wheel.torch_present",
        says=("2.13.0+cu126", "2.9.1+cu126"),
    ),
    Case(
        "env-torch-library-gone",
        on(t4, lambda: _torch()().remove("torch/lib/libc10.so")),
        "wheel.torch_present",
        says=("libc10.so",),
    ),
    Case(
        "env-too-new-python",
        on(t4, lambda: Env("3.17.0").dist("numpy", "2.3.4")),
        "wheel.python_abi",
        says=("cp317",),
        pitfall=("python-unsupported",),
    ),
    Case(
        "env-other-python",
        on(t4, lambda: _retagged("cp311-cp311-manylinux_2_28_x86_64")),
        "wheel.python_abi",
        says=("cp311", "cp312"),
    ),
    Case(
        "env-dynamo-python",
        on(t4, _torch("2.3.1", "cu121")),
        "wheel.python_abi",
        status="warn",
        says=("torch.compile",),
        pitfall=("dynamo-python-unsupported",),
    ),
)


def _retagged(tag: str) -> Env:
    env = with_torch("2.13.0", "cu126")
    path = next(path for path in env.files if path.endswith("torch-2.13.0+cu126.dist-info/WHEEL"))
    return env.file(path, f"Tag: {tag}\n")


def _old_system() -> Box:
    box = t4()
    box.libc = "glibc 2.17"
    return box


_BUILD = (
    Case(
        "cpu-build-beside-gpus",
        on(h100x8, _torch("2.13.0", "cpu")),
        "wheel.cuda_build",
        says=("CPU build", "H100"),
        pitfall=("cpu-wheel-installed", "pip-extra-index-picks-pypi"),
    ),
    Case(
        "cpu-build-and-a-broken-driver",
        lambda: on(t4, _torch("2.13.0", "cpu"))().nvml(**{"err.nvmlInit": 9}),
        "wheel.cuda_build",
        leads="driver.nvml_init",
    ),
    Case("cpu-build-on-grace", on(gh200, _torch("2.9.1", "cpu", arch="aarch64")), "wheel.cuda_build"),
    Case(
        "rocm-build",
        on(
            l40s,
            lambda: _torch("2.13.0", "cpu")().file(
                "lib/python3.12/site-packages/torch/version.py",
                "__version__ = '2.13.0+rocm6.4'\ncuda = None\nhip = '6.4.1'\n",
            ),
        ),
        "wheel.cuda_build",
        says=("AMD",),
    ),
    Case(
        "cuda-library-removed",
        on(t4, _torch(), torch={**_torch()().scan()["torch"], "cuda_library": False}),
        "wheel.cuda_build",
        says=("libtorch_cuda.so",),
    ),
    Case(
        "blackwell-on-cuda-12.6",
        on(rtx5090, _torch("2.9.1", "cu126")),
        "wheel.arch_list",
        says=("12.0", "RTX 5090"),
        pitfall=("no-kernel-image",),
    ),
    Case(
        "volta-on-cuda-13",
        on(v100, _torch("2.13.0", "cu130")),
        "wheel.arch_list",
        says=("V100",),
        pitfall=("uv-torch-backend-auto-driver-only",),
    ),
    Case("one-of-two-gpus", on(rtx3090_p40, _torch("2.9.1", "cu128")), "wheel.arch_list", says=("P40",)),
    Case(
        "old-gpu-on-aarch64",
        lambda: on(gh200, _torch("2.13.0", "cu130", arch="aarch64"))().nvml(**{"0.cc": 7.5, "0.name": "Tesla T4"}),
        "wheel.arch_list",
        says=("7.5",),
        pitfall=("aarch64-no-arch",),
    ),
    Case(
        "build-with-ptx-alone",
        imported(rtx5090, _torch("2.9.1", "cu128"), seconds=2.0, arch=["sm_80", "sm_90", "compute_90"]),
        "wheel.arch_list",
        status="warn",
        level="standard",
        says=("PTX",),
    ),
    Case(
        "own-build-for-another-gpu",
        imported(rtx5090, _torch("2.13.0", "cu130"), seconds=2.0, arch=["sm_90a"]),
        "wheel.arch_list",
        level="standard",
        says=("sm_90a",),
    ),
    Case(
        "cuda-13-on-570",
        on(h100x8, _torch("2.13.0", "cu130")),
        "wheel.driver_floor",
        says=("580",),
        pitfall=("driver-too-old-for-torch",),
    ),
    Case("glibc-before-2.28", _old_system, "wheel.glibc", says=("2.28", "2.17"), pitfall=("glibc-too-old",)),
    Case(
        "env-from-another-processor",
        on(t4, _torch("2.13.0", "cu130", arch="aarch64")),
        "wheel.cpu_arch",
        says=("x86_64",),
    ),
)


_PACKAGES = (
    Case(
        "cuda-libraries-not-installed",
        on(l40s, lambda: _torch("2.9.1", "cu128")().without("nvidia-cuda-runtime-cu12")),
        "wheel.nvidia_deps",
        says=("nvidia-cuda-runtime-cu12",),
        pitfall=("libcudart-missing",),
    ),
    Case(
        "extra-of-toolkit-not-installed",
        on(l40s, lambda: _torch("2.13.0", "cu130")().without("nvidia-cublas")),
        "wheel.nvidia_deps",
        says=("nvidia-cublas",),
    ),
    Case(
        "cudnn-removed-with-its-twin",
        on(l40s, lambda: _torch("2.9.1", "cu128")().remove("nvidia/cudnn/lib")),
        "wheel.nvidia_deps",
        says=("libcudnn.so.9",),
    ),
    Case(
        "two-nccl-in-one-folder",
        on(
            l40s,
            lambda: _torch("2.9.1", "cu128")().dist(
                "nvidia-nccl-cu13", "2.29.7", files={"nvidia/nccl/lib/libnccl.so.9": ""}
            ),
        ),
        "wheel.nvidia_deps",
        says=("nvidia-nccl-cu12", "nvidia-nccl-cu13"),
        pitfall=("nvidia-packages-shared-dir-clobber",),
    ),
    Case(
        "two-cuda-majors",
        on(
            l40s,
            lambda: _torch("2.9.1", "cu128")().dist(
                "nvidia-cublas", "13.1.0.3", files={"nvidia/cu13/lib/libcublas.so.13": ""}
            ),
        ),
        "wheel.nvidia_deps",
        status="warn",
        says=("nvidia-cublas-cu12",),
        pitfall=("cu12-cu13-mixed",),
    ),
    Case(
        "older-cudnn",
        on(l40s, _beside("nvidia-cudnn-cu12", "8.9.2.26", _torch("2.9.1", "cu128"))),
        "wheel.nvidia_deps",
        says=("8.9.2.26", "9.10.2.21"),
        pitfall=("cudnn-version-conflict",),
    ),
    Case(
        "newer-nccl",
        on(l40s, _beside("nvidia-nccl-cu12", "2.28.3", _torch("2.9.1", "cu128"))),
        "wheel.nvidia_deps",
        status="warn",
    ),
    Case(
        "numpy-2-with-old-torch",
        on(l40s, _beside("numpy", "2.0.1", _torch("2.2.2", "cu121", python="3.11.7"))),
        "wheel.ecosystem",
        says=("numpy", "<2"),
        pitfall=("numpy2-abi",),
    ),
    Case(
        "transformers-hides-torch",
        on(l40s, _beside("transformers", "5.1.0", _torch("2.3.1", "cu121", python="3.11.7"))),
        "wheel.ecosystem",
        says=("torch 2.4",),
        pitfall=("transformers-torch-floor",),
    ),
    Case(
        "transformers-never-ran-with-it",
        on(l40s, _beside("transformers", "4.30.2")),
        "wheel.ecosystem",
        status="warn",
    ),
    Case(
        "torchvision-of-another-torch",
        on(l40s, _beside("torchvision", "0.24.1", requires=("torch==2.9.1",))),
        "wheel.ecosystem",
        says=("==2.9.1",),
    ),
    Case(
        "torchvision-for-the-cpu",
        on(l40s, _beside("torchvision", "0.28.0+cpu", requires=("torch==2.13.0",))),
        "wheel.ecosystem",
        says=("cu126",),
    ),
    Case("torchaudio-of-another-minor", on(l40s, _beside("torchaudio", "2.8.0")), "wheel.ecosystem", status="warn"),
    Case(
        "flash-attention-of-another-torch",
        on(l40s, _beside("flash-attn", FLASH)),
        "wheel.ecosystem",
        says=("torch 2.13",),
        pitfall=("flash-attn-abi",),
    ),
    Case(
        "flash-attention-of-another-abi",
        on(
            l40s,
            lambda: _beside("flash-attn", FLASH, _torch("2.6.0", "cu126", python="3.11.7"))().file(
                "lib/python3.11/site-packages/torch/share/cmake/Torch/TorchConfig.cmake",
                'set(TORCH_CXX_FLAGS "-D_GLIBCXX_USE_CXX11_ABI=1")\n',
            ),
        ),
        "wheel.ecosystem",
        says=("cxx11abiTRUE",),
    ),
    Case(
        "setuptools-without-pkg-resources",
        on(l40s, _beside("setuptools", "82.0.0", _torch("2.1.2", "cu121", python="3.11.7"))),
        "wheel.ecosystem",
        status="warn",
        leads="wheel.ecosystem",
        pitfall=("setuptools-pkg-resources",),
    ),
)
_RECORD = (
    Case(
        "torch-overwritten",
        on(
            l40s,
            lambda: _torch()().file(
                "lib/python3.12/site-packages/torch/version.py", "__version__ = '2.13.0+cu126'\ncuda = '12.6'\n"
            ),
        ),
        "wheel.provenance",
        says=("hash",),
    ),
    Case(
        "torch-without-installer",
        on(l40s, lambda: _without_installer(_torch()())),
        "wheel.provenance",
        status="warn",
        leads="wheel.provenance",
    ),
    Case(
        "pip-torch-over-conda",
        on(l40s, lambda: _torch(kind="conda")().file("conda-meta/pytorch-2.12.0-cuda126_py312h1_0.json", CONDA)),
        "wheel.provenance",
        status="warn",
        says=("conda",),
        pitfall=("conda-pip-mix",),
    ),
    Case(
        "torch-put-back-by-a-sync",
        on(l40s, lambda: _torch()().receipt("2.12.1", "cu126", {**RECEIPT, "torch": "2.12.1+cu126"})),
        "wheel.lock_drift",
        says=("2.12.1+cu126",),
        pitfall=("uv-run-resync-reverts",),
    ),
    Case(
        "receipt-and-another-cuda-library",
        on(l40s, lambda: _torch()().dist("nvidia-cuda-runtime", "13.0.96").receipt("2.13.0", "cu126", RECEIPT)),
        "wheel.lock_drift",
        status="warn",
        says=("nvidia-cuda-runtime",),
    ),
    Case(
        "deprecated-pynvml", on(l40s, lambda: _torch()().dist("pynvml", "11.5.0")), "wheel.pynvml_dist", status="warn"
    ),
    Case(
        "torch-load-weakness",
        on(l40s, _torch("2.5.1", "cu124", python="3.11.7")),
        "wheel.vuln_or_yanked",
        status="warn",
        says=("CVE-2025-32434",),
        pitfall=("transformers-torch-load-gate",),
    ),
)


def _without_installer(env: Env) -> Env:
    path = next(path for path in env.files if path.endswith("torch-2.13.0+cu126.dist-info/INSTALLER"))
    env.files.pop(path)
    return env


_USE = (
    Case(
        "no-c-compiler",
        lambda: l40s().program("cc", None),
        "wheel.triton_toolchain",
        status="warn",
        says=("C compiler",),
        pitfall=("triton-no-compiler",),
    ),
    Case(
        "no-python-headers",
        on(l40s, lambda: _headless(_torch()())),
        "wheel.triton_toolchain",
        status="warn",
        says=("Python.h",),
        pitfall=("triton-no-python-headers",),
    ),
    Case(
        "no-ptxas",
        on(l40s, lambda: _torch()().remove("triton/backends")),
        "wheel.triton_toolchain",
        status="warn",
        says=("ptxas",),
    ),
    Case(
        "import-fails",
        imported(
            l40s,
            _torch(),
            failure="OSError: libcudart.so.12: cannot open shared object file: No such file or directory",
        ),
        "wheel.import_time",
        level="standard",
        says=("libcudart.so.12",),
    ),
    Case(
        "import-meets-an-old-libstdcxx",
        imported(l40s, _torch(), failure="ImportError: libstdc++.so.6: version `GLIBCXX_3.4.30' not found"),
        "wheel.import_time",
        level="standard",
        pitfall=("glibcxx-too-old",),
    ),
    Case(
        "import-meets-another-cudnn",
        imported(
            l40s,
            _torch(),
            seconds=2.0,
            arch=["sm_80", "sm_90"],
            cudnn_failure="RuntimeError: cuDNN version incompatibility: PyTorch was compiled against (9, 10, 2)",
        ),
        "wheel.import_time",
        level="standard",
        says=("cuDNN",),
    ),
    Case(
        "import-is-slow",
        imported(l40s, _torch(), seconds=48.0, arch=["sm_80", "sm_90"]),
        "wheel.import_time",
        status="warn",
        level="standard",
        says=("48",),
    ),
    Case(
        "import-hangs",
        lambda: on(l40s, _torch())().command("env.import", timed_out=True),
        "wheel.import_time",
        status="timed-out",
        level="standard",
    ),
    Case(
        "fp8-on-ampere", lambda: v100().variable("ACCELERATE_MIXED_PRECISION", "fp8"), "wheel.precision", says=("V100",)
    ),
    Case(
        "bf16-on-turing", lambda: t4().variable("ACCELERATE_MIXED_PRECISION", "bf16"), "wheel.precision", status="warn"
    ),
    Case("server-build-on-orin", _server_wheel_on_orin, "wheel.cpu_arch", says=("Jetson",)),
    Case(
        "cuda-13-under-wsl",
        lambda: wsl().nvml(driver="576.02", nvml="576.02", cuda=12090),
        "wheel.driver_floor",
        says=("576.02",),
    ),
)


def _headless(env: Env) -> Env:
    env.files.pop("base/include/python3.12/Python.h")
    return env


CASES: tuple[Case, ...] = (*_PRESENT, *_BUILD, *_PACKAGES, *_RECORD, *_USE)
