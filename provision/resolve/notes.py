"""What a plan says beside the choice: on which unproven facts and on which rules of the vendor it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence, Finding
from .candidates import python_tag

if TYPE_CHECKING:
    from ..records import Build, Machine
    from .candidates import Candidate
    from .situation import Situation


def notes_of(
    machine: Machine, situation: Situation, chosen: Candidate | None, build: Build | None
) -> tuple[Finding, ...]:
    """The notes of a resolution, the weightiest first."""
    notes = [_kind(machine, situation), _other_gpus(machine)]
    if chosen and build:
        notes += [_doubtful(chosen), _arch(situation, chosen), _native(situation, chosen)]
        notes += [_free_threaded(situation, build), _label(chosen)]
    return tuple(note for note in notes if note)


def _kind(machine: Machine, situation: Situation) -> Finding | None:
    if not situation.is_cpu:
        return None
    has_gpu = machine.gpu_state.value != "none"
    happened = (
        "A CPU build was asked for; the GPU is left unused." if has_gpu else "No NVIDIA GPU is there: CPU builds only."
    )
    return Finding("cpu-plan", "pass", happened, (Evidence("gpu_state", machine.gpu_state.value, source="machine"),))


def _other_gpus(machine: Machine) -> Finding | None:
    if not machine.other_gpus:
        return None
    names = ", ".join(f"{gpu.vendor} {gpu.pci_device_id}" for gpu in machine.other_gpus)
    return Finding("gpu-vendor-not-supported", "warn", f"Not supported, only NVIDIA GPUs are: {names}.")


def _doubtful(chosen: Candidate) -> Finding | None:
    if not chosen.variant.doubtful:
        return None
    happened = f"The row of the chosen build is not certain: {chosen.variant.doubtful}."
    return Finding(
        "row-doubtful",
        "warn",
        happened,
        (Evidence("row", chosen.place),),
        (f"gpusetup matrix show --torch {chosen.release.version}",),
    )


def _arch(situation: Situation, chosen: Candidate) -> Finding | None:
    if chosen.arch_list is not None or chosen.cuda is None:
        return None
    happened = "Nobody has read which GPUs the chosen wheel holds code for; no build that was read fits."
    evidence = Evidence("compute capability", ", ".join(map(str, situation.capabilities)), source=chosen.place)
    return Finding("arch-list-unknown", "unknown", happened, (evidence,), ("gpusetup accept",))


def _native(situation: Situation, chosen: Candidate) -> Finding | None:
    implemented = situation.driver_cuda_version
    if chosen.cuda is None or implemented is None or implemented >= chosen.cuda:
        return None
    relies = f"CUDA {chosen.cuda} of the wheel relies on minor version compatibility"
    happened = f"The driver implements CUDA {implemented}; {relies}."
    evidence = Evidence("driver CUDA version", str(implemented), needs=str(chosen.cuda))
    return Finding("minor-version-compatibility", "pass", happened, (evidence,))


def _free_threaded(situation: Situation, build: Build) -> Finding | None:
    if not build.python.endswith("t"):
        return None
    tag = python_tag(build.python)
    missing = [name for name, tags in situation.catalogue.matrix.free_threaded if tag not in tags]
    if not missing:
        return None
    names = " and ".join(missing)
    happened = f"No wheel of {names} for {tag} was seen: built from source, which needs a Rust compiler."
    return Finding(
        "companion-wheel-missing",
        "warn",
        happened,
        (Evidence("Python tag", tag),),
        ("take the default build of Python",),
    )


def _label(chosen: Candidate) -> Finding | None:
    if chosen.platform not in chosen.variant.unlabelled_on:
        return None
    happened = f"Wheels of this build carry no local label: torch.__version__ prints {chosen.release.version} alone."
    return Finding("local-label-missing", "pass", happened, (Evidence("row", chosen.place),))
