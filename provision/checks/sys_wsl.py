"""Check sys.wsl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import check

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_FOLDER = "/usr/lib/wsl/"
_REMOVE = "sudo apt-get purge 'libnvidia-compute-*' 'nvidia-driver-*' 'nvidia-utils-*' libcuda1"


@check("sys.wsl", level="instant", leads=("driver.nvml_init", "pci.count_vs_nvml"))
def wsl(facts: Facts, say: Verdict) -> Finding:
    """Under WSL, the GPU is reached through Windows and nothing stands in the way.

    What it finds
        WSL 1, a missing /dev/dxg, Linux driver libraries and packages installed inside WSL that hide those of Windows,
        and a Windows that keeps WSL from its GPU.

    Why it matters
        WSL 2 uses the driver of Windows: its libraries are mounted at /usr/lib/wsl/lib. A Linux driver package inside
        WSL replaces libcuda by one that can't reach the GPU.

    How it is decided
        A WSL kernel with the Windows libraries there: /dev/dxg must exist, and the loader must find libnvidia-ml.so.1
        and libcuda.so.1 in /usr/lib/wsl/lib first. Packages of a Linux driver that hide nothing fail where the GPU
        can't be asked, and are told where it works. NVML's error 17 fails: Windows blocks the GPU, mostly since its
        driver was updated under a running WSL. Without the Windows libraries there is no NVIDIA driver to reach: it
        skips. That libcuda.so.1 there is no symbolic link, about which ldconfig complains, is harmless and not looked
        at.

    What to do
        Remove the Linux driver packages inside WSL, or convert the distribution to WSL 2 and update (`wsl --update`
        in Windows).

    Sources
        NVIDIA, CUDA on WSL User Guide; issues #9938, #7056 and #5548 of microsoft/WSL (read 2026-11).
    """
    if not facts.machine.host.is_wsl:
        return say.skipped("This is not WSL.")
    if not facts.value("wsl.library_folder"):
        return say.skipped(
            "Windows provides no NVIDIA driver to this WSL.", *facts.evidence("wsl.library_folder", "wsl.dxg")
        )
    if not facts.value("wsl.dxg"):
        return say.failed(
            "Windows has an NVIDIA driver and /dev/dxg is missing: this is WSL 1, or its GPU support is off.",
            *facts.evidence("wsl.dxg", "host.kernel"),
            safe=("in Windows: wsl --list --verbose; wsl --update",),
            risky=("in Windows: wsl --set-version <distribution> 2",),
        )
    shadows = [
        path
        for name in ("driver.nvml_library", "driver.cuda_library")
        if isinstance(path := facts.value(name), str) and not path.startswith(_FOLDER)
    ]
    if shadows and not any(gpu.in_nvml for gpu in facts.machine.gpus):
        return say.failed(
            f"Linux driver libraries inside WSL hide those of Windows: {', '.join(shadows)}.",
            *facts.evidence("driver.nvml_library", "driver.cuda_library"),
            safe=("ldconfig -p | grep -E 'libcuda|libnvidia-ml'",),
            risky=(_REMOVE,),
        )
    if shadows:
        return say.warned(
            f"Libraries outside /usr/lib/wsl come first on the loader's path: {', '.join(shadows)}.",
            *facts.evidence("driver.nvml_library", "driver.cuda_library"),
            safe=("ldconfig -p | grep -E 'libcuda|libnvidia-ml'",),
        )
    if "(NVML code 17)" in (facts.failure("nvml.init") or ""):
        return say.failed(
            "Windows keeps this WSL from its GPU.",
            *facts.evidence("nvml.init", "host.kernel"),
            safe=("in Windows: wsl --shutdown, then start it again", "in Windows: wsl --update"),
            risky=("update the NVIDIA driver of Windows",),
        )
    packages = facts.texts("wsl.driver_packages") or ()
    if packages and facts.nvml_outcome not in {None, "answered", "not-asked"}:
        return say.failed(
            f"The GPU can't be asked, and packages of a Linux driver are inside WSL: {', '.join(packages)}.",
            *facts.evidence("wsl.driver_packages", "driver.cuda_library"),
            safe=("ldconfig -p | grep -E 'libcuda|libnvidia-ml'",),
            risky=(_REMOVE,),
        )
    beside = f"; packages of a Linux driver lie beside it and do no harm now: {', '.join(packages)}" if packages else ""
    return say.passed(f"WSL reaches the driver of Windows{beside}.", *facts.evidence("driver.nvml_library"))


CHECKS = (wsl,)
