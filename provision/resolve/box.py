"""What speaks against a box whatever is put on it: said alike of wheels and of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .situation import Situation


class Objection(NamedTuple):
    """A reason that no candidate can make up for, in the words of a rejection."""

    rule: str
    found: str
    needs: str
    source: str | None


def unknown_capability(situation: Situation) -> Objection | None:
    """A GPU whose compute capability nobody knows, or no GPU at all where CUDA is wanted."""
    unknown = situation.gpus.unknown
    if situation.is_cpu or (situation.gpus.devices and not unknown):
        return None
    found = f"unknown for {', '.join(device.label for device in unknown)}" if unknown else "no GPU is listed"
    return Objection("compute-capability-unknown", found, "the compute capability of every GPU", "machine")


def has_unknown_driver(situation: Situation) -> bool:
    """Whether nothing says which CUDA the driver implements; a number of no known branch still has a floor to pass."""
    driver = situation.driver
    return not situation.is_cpu and driver.driver_cuda_version is None and driver.comparable is None


def dropped_gpu(situation: Situation) -> Objection | None:
    """A GPU that the driver branch no longer serves."""
    if not situation.gpus.dropped:
        return None
    device, row = situation.gpus.dropped[0]
    found = f"{device.label} ({row.name}) on driver {situation.driver.driver_version}"
    needs, source = f"driver branch {row.last_branch} or older", f"matrix.yaml: architectures.{row.name}"
    return Objection("gpu-dropped-by-driver-branch", found, needs, source)


def unserved_gpu(situation: Situation) -> Objection | None:
    """A GPU that the driver does not serve yet."""
    if not situation.gpus.unserved:
        return None
    device, row = situation.gpus.unserved[0]
    found = f"{device.label} ({row.name}) on driver {situation.driver.driver_version}"
    oldest = row.oldest_driver(device.compute_capability, is_windows=situation.driver.is_windows)
    return Objection(
        "driver-too-old-for-gpu", found, f"driver {oldest} or newer", f"matrix.yaml: architectures.{row.name}"
    )


def wrong_module(situation: Situation) -> Objection | None:
    """A GPU that needs the other flavour of the kernel module than the loaded one, or than a GPU beside it."""
    if not situation.gpus.wrong_module:
        return None
    rule, device, loaded = "kernel-module-unsuitable", situation.gpus.wrong_module[0], situation.driver.kernel_module
    source = f"matrix.yaml: architectures.{device.architecture.name}" if device.architecture else None
    mine = f"the {device.kernel_module} kernel module"
    if loaded:
        return Objection(rule, f"the {loaded} kernel module with {device.label}", mine, source)
    kinds = (None, "either", device.kernel_module)
    other = next(device for device in situation.gpus.devices if device.kernel_module not in kinds)
    found = f"{device.label} needs {mine}, {other.label} the {other.kernel_module} one"
    return Objection(rule, found, "GPUs that one kernel module serves", source)


def missing_instance(situation: Situation) -> Objection | None:
    """A GPU in MIG mode without an instance."""
    if not situation.gpus.split_to_nothing:
        return None
    found = f"{situation.gpus.split_to_nothing[0].label} in MIG mode with no instance"
    return Objection("mig-without-instance", found, "at least one compute instance, or MIG off", "machine")


def vgpu_of_other_series(situation: Situation) -> Objection | None:
    """A vGPU on which CUDA does not run."""
    if not situation.gpus.vgpus_without_cuda:
        return None
    found = situation.gpus.vgpus_without_cuda[0].label
    return Objection("vgpu-without-cuda", found, "a vGPU of series C or Q", "matrix.yaml: vgpu.series")
