"""What a plan says beside the choice: on which unproven facts and on which rules of the vendor it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence, Finding
from .candidates import python_tag
from .situation import python_of

if TYPE_CHECKING:
    from ..records import Build, GpuLeftOut, Machine
    from .candidates import Candidate
    from .situation import Situation


def notes_of(
    machine: Machine,
    situation: Situation,
    chosen: Candidate | None,
    build: Build | None,
    left_out: tuple[GpuLeftOut, ...] = (),
) -> tuple[Finding, ...]:
    """The notes of a resolution, the weightiest first."""
    notes = [_left_out(left_out), _kind(machine, situation), _other_gpus(machine), _forward(situation, chosen)]
    notes += [_split(machine, situation), _vgpu(machine, situation), _jetson(machine, situation, chosen)]
    if chosen and build:
        notes += [_doubtful(chosen), *_doubtful_gpus(situation), _arch(situation, chosen), _native(situation, chosen)]
        notes += [_free_threaded(situation, build), _label(chosen), _to_fetch(machine, situation, build)]
    return tuple(note for note in notes if note)


def _left_out(left_out: tuple[GpuLeftOut, ...]) -> Finding | None:
    if not left_out:
        return None
    names = ", ".join(f"GPU {out.index} ({out.name})" for out in left_out)
    happened = f"No build serves all GPUs of this box. The plan leaves out {names}; programs must not use them."
    return Finding(
        "gpus-left-out",
        "warn",
        happened,
        tuple(
            Evidence(f"GPU {out.index}", f"{out.rule}: {out.found}", None, out.source, out.needs) for out in left_out
        ),
        ("set CUDA_VISIBLE_DEVICES to the other GPUs; gpusetup accept does so itself",),
    )


def _forward(situation: Situation, chosen: Candidate | None) -> Finding | None:
    forward = situation.driver.forward
    if forward is None:
        return None
    evidence = Evidence(
        "CUDA of libcuda", str(forward.cuda), source="driver", needs=str(situation.driver.driver_version)
    )
    over = f"A compatibility package serves CUDA {forward.cuda} over kernel driver {situation.driver.driver_version}"
    if forward.refusal is not None:
        happened = f"{over}, and it does not work here: {forward.refusal}. CUDA starts only without it."
        safe = ("take its folder out of LD_LIBRARY_PATH and ld.so.conf.d",)
        return Finding("forward-compatibility-not-allowed", "warn", happened, (evidence,), safe)
    if chosen is None or chosen.cuda is None or chosen.cuda.major not in situation.driver.majors_out_of_reach:
        return None
    return Finding(
        "forward-compatibility", "pass", f"{over}; the plan holds as long as the loader finds it.", (evidence,)
    )


def _split(machine: Machine, situation: Situation) -> Finding | None:
    split = [] if situation.is_cpu else [gpu for gpu in machine.gpus if gpu.mig_mode == "enabled"]
    if not split:
        return None
    names = ", ".join(f"GPU {gpu.index}" for gpu in split)
    happened = f"{names} in MIG mode: a process sees one instance, without peer access between instances."
    evidence = tuple(Evidence(f"instances of GPU {gpu.index}", gpu.mig_instances) for gpu in split)
    return Finding("mig-enabled", "pass", happened, evidence)


def _vgpu(machine: Machine, situation: Situation) -> Finding | None:
    matrix = situation.catalogue.matrix
    guests = [] if situation.is_cpu else [gpu for gpu in machine.gpus if gpu.name and matrix.vgpu_runs_cuda(gpu.name)]
    if not guests:
        return None
    happened = "This is a guest with a vGPU: it needs the vGPU guest driver that matches its host, and a licence."
    evidence = tuple(Evidence(f"GPU {gpu.index}", gpu.name) for gpu in guests)
    return Finding("vgpu-guest", "pass", happened, evidence)


def _jetson(machine: Machine, situation: Situation, chosen: Candidate | None) -> Finding | None:
    """Where the general wheels have nothing for a Jetson, NVIDIA's own wheels of its JetPack."""
    if not situation.driver.is_tegra or chosen is not None:
        return None
    if not machine.host.l4t:
        happened = "The general wheels have no code for this board; NVIDIA builds torch for each JetPack."
        return Finding("jetson-wheels", "warn", happened, safe=("gpusetup plan --container",))
    known = situation.catalogue.matrix.containers
    jetpack = known.jetpack_of(machine.host.l4t)
    if jetpack is None:
        happened = f"The matrix does not know the JetPack of Jetson Linux {machine.host.l4t}."
        return Finding("jetson-wheels", "warn", happened, safe=("gpusetup plan --container",))
    happened = f"The general wheels have no code for this board under JetPack {jetpack.version} (CUDA {jetpack.cuda})."
    index = known.jetson_wheel_index(jetpack)
    wheels = f"NVIDIA's own torch {jetpack.wheels[-1]} for Python {jetpack.python}: {index}" if jetpack.wheels else None
    evidence = Evidence("Jetson Linux", machine.host.l4t, source="/etc/nv_tegra_release")
    return Finding(
        "jetson-wheels", "warn", happened, (evidence,), (*([wheels] if wheels else []), "gpusetup plan --container")
    )


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


def _doubtful_gpus(situation: Situation) -> list[Finding]:
    """GPUs of an architecture that is not certain, where every build only has code of an older one for them."""
    devices = () if situation.driver.is_tegra else situation.gpus.devices
    rows = {
        device.architecture: device.compute_capability
        for device in devices
        if device.architecture and device.architecture.doubtful and device.compute_capability
    }
    candidates = situation.catalogue.candidates(situation.platform, is_cpu=False)
    return [
        Finding(
            "row-doubtful",
            "warn",
            f"What the matrix says of {row.name} is not certain: {row.doubtful}.",
            (Evidence("row", f"matrix.yaml: architectures.{row.name}"),),
            ("gpusetup accept",),
        )
        for row, capability in rows.items()
        if not any(capability in (one.arch_list or ()) for one in candidates)
    ]


def _arch(situation: Situation, chosen: Candidate) -> Finding | None:
    if chosen.arch_list is not None or chosen.cuda is None:
        return None
    happened = "Nobody has read which GPUs the chosen wheel holds code for; no build that was read fits."
    evidence = Evidence("compute capability", ", ".join(map(str, situation.gpus.capabilities)), source=chosen.place)
    return Finding("arch-list-unknown", "unknown", happened, (evidence,), ("gpusetup accept",))


def _native(situation: Situation, chosen: Candidate) -> Finding | None:
    implemented = situation.driver.driver_cuda_version
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


def _to_fetch(machine: Machine, situation: Situation, build: Build) -> Finding | None:
    if build.python not in situation.pythons_to_fetch:
        return None
    there = tuple(dict.fromkeys(python_of(one) for one in (machine.python, *machine.interpreters) if one))
    happened = f"Python {build.python} is not on this machine; uv fetches it when the environment is made."
    evidence = Evidence("Pythons", there or None, source="machine", needs=build.python)
    return Finding("python-download", "pass", happened, (evidence,))
