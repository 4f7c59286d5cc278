"""Check cuda.visible_devices."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check, counted, from_a_warning_too

if TYPE_CHECKING:
    from ..records import Finding, Gpu
    from .base import Facts, Verdict

_NAME = "CUDA_VISIBLE_DEVICES"


@check("cuda.visible_devices", level="quick", leads=("cuda.init", "cuda.context"), explains=from_a_warning_too)
def visible_devices(facts: Facts, say: Verdict) -> Finding:
    """The variables that choose GPUs choose ones that exist.

    What it finds
        CUDA_VISIBLE_DEVICES or NVIDIA_VISIBLE_DEVICES empty, -1, out of range, repeated, or naming an unknown UUID, and
        Slurm's NoDevFiles. Also several MIG instances, of which a program gets one.

    Why it matters
        CUDA stops at the first entry that it does not know and hides that device and all after it, without a word:
        PyTorch then says that there is no GPU, or uses fewer.

    How it is decided
        Entries of CUDA_VISIBLE_DEVICES are compared with the indexes and UUIDs of the working GPUs and of their MIG
        instances. CUDA goes from left to right and stops at the first entry that it does not know; one that is repeated
        hides every GPU. More than one MIG instance warns, and so does a list that looks right of which CUDA itself,
        asked in a child process, shows another number of devices. NVIDIA_VISIBLE_DEVICES is looked at inside containers
        only, for `void` and `none`.

    What to do
        `unset CUDA_VISIBLE_DEVICES`, or set it to indexes that exist. Look for it in the shell's profile, in the
        scheduler's job, and in the service file.

    Sources
        CUDA C++ Programming Guide, environment variables; NVIDIA Multi-Instance GPU User Guide; PyTorch,
        torch/cuda/__init__.py, for repeated entries (read 2026-11).
    """
    working = tuple(gpu for gpu in facts.machine.gpus if gpu.in_nvml)
    if not working:
        return say.skipped("No usable GPU is listed, so there is nothing to choose from.")
    container_value = facts.value("environment.NVIDIA_VISIBLE_DEVICES")
    if facts.machine.host.container and container_value in {"void", "none"}:
        return say.warned(
            f"NVIDIA_VISIBLE_DEVICES is {container_value}: this container asked for no GPU, and some are visible.",
            *facts.evidence("environment.NVIDIA_VISIBLE_DEVICES"),
        )
    reading = facts.reading(f"environment.{_NAME}")
    if reading is None:
        return say.passed(f"{_NAME} is not set: all {counted(len(working), 'GPU')} can be used.")
    if reading.failure is not None or not isinstance(reading.value, str):
        return _complain(say, "is set to something that is neither indexes nor UUIDs", facts)
    return _resolve(say, reading.value, working, facts)


def _resolve(say: Verdict, value: str, working: tuple[Gpu, ...], facts: Facts) -> Finding:
    entries = [entry.strip() for entry in value.split(",")]
    if entries == [""]:
        return _complain(say, "is set and empty: it hides every GPU", facts)
    seen: list[str] = []
    for entry in entries:
        if entry in seen:
            return _complain(say, f"names {entry} twice: every GPU is hidden", facts)
        fault = _fault(entry, working, facts)
        if fault is not None:
            rest = "every GPU is hidden" if not seen else f"only {', '.join(seen)} stay visible"
            return _complain(say, f"holds {entry or 'an empty entry'!r}, which {fault}: {rest}", facts)
        seen.append(entry)
    return _visible(say, seen, working, facts)


def _visible(say: Verdict, seen: list[str], working: tuple[Gpu, ...], facts: Facts) -> Finding:
    """The verdict of a list whose entries all name a device."""
    evidence = facts.evidence(f"environment.{_NAME}", "cuda.count")
    instances = [entry for entry in seen if entry.startswith("MIG-")]
    if len(instances) > 1:
        return say.warned(
            f"{_NAME} names {len(instances)} MIG instances, and a program is given the first of them alone.",
            *evidence,
            safe=(f"start one process for each instance, with one of them in {_NAME}",),
        )
    shown = facts.number("cuda.count")
    if shown is not None and shown != len(seen) and not any(gpu.mig_mode == "enabled" for gpu in working):
        return say.warned(
            f"{_NAME} names {counted(len(seen), 'device')}, and CUDA shows {int(shown)}.",
            *evidence,
            safe=("nvidia-smi -L", f"name the GPUs in {_NAME} by their UUID"),
        )
    return say.passed(
        f"{_NAME} shows {counted(len(seen), 'device')} of {counted(len(working), 'GPU')}: {', '.join(seen)}.", *evidence
    )


def _fault(entry: str, working: tuple[Gpu, ...], facts: Facts) -> str | None:
    """What is wrong with one entry; None when it names a device."""
    if re.fullmatch(r"\d+", entry):
        return None if int(entry) < len(working) else f"is beyond the last GPU, {len(working) - 1}"
    if re.fullmatch(r"-\d+", entry):
        return "hides everything from there on"
    if entry == "NoDevFiles":
        return "is what Slurm writes for a job that was given no GPU"
    if entry.startswith("GPU-"):
        # CUDA takes any beginning of a UUID that fits one device only.
        fitting = [gpu for gpu in working if (gpu.gpu_uuid or "").lower().startswith(entry.lower())]
        return None if len(fitting) == 1 else "fits no GPU of this box" if not fitting else "fits several GPUs"
    if entry.startswith("MIG-"):
        return _fault_of_instance(entry, working, facts)
    return "names no device"


def _fault_of_instance(entry: str, working: tuple[Gpu, ...], facts: Facts) -> str | None:
    enabled = [gpu for gpu in working if gpu.mig_mode == "enabled"]
    if not enabled:
        return "names a MIG instance, and MIG is off"
    known = [uuid.lower() for gpu in enabled for uuid in facts.texts(f"gpu.{gpu.index}.mig_uuids") or ()]
    # Drivers before 470 wrote MIG-GPU-<uuid>/<gpu instance>/<compute instance>, and later ones take it too.
    if not known or entry.startswith("MIG-GPU-") or entry.lower() in known:
        return None
    return "is no MIG instance of this box"


def _complain(say: Verdict, what: str, facts: Facts) -> Finding:
    return say.failed(
        f"{_NAME} {what}.",
        *facts.evidence(f"environment.{_NAME}"),
        Evidence("gpus", len([gpu for gpu in facts.machine.gpus if gpu.in_nvml]), source="nvml"),
        safe=(f"unset {_NAME}", f"grep -rs {_NAME} ~/.bashrc ~/.profile /etc/environment /etc/profile.d"),
    )


CHECKS = (visible_devices,)
