"""Checks of the packages that torch works with: the CUDA libraries, and what is installed beside it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check
from .environment import ANEW, PIP_CHECK, installed, rows, torch_build, why_no_cuda_build, why_no_torch

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.version import Version

    from ..records import Finding
    from .base import Check, Facts, Verdict
    from .environment import Installed, TorchBuild

_SUFFIX = re.compile(r"-cu(\d{2})$")
_BESIDE = ("torchvision", "torchaudio", "triton", "transformers", "numpy")
_LIBRARIES = ("nvidia-", "cuda-toolkit", "cuda-bindings")
_FLASH = re.compile(r"\+cu(\d{2})\d*torch(\d+\.\d+)(?:\.\d+)?cxx11abi(TRUE|FALSE)", re.IGNORECASE)
_NAMED = 4
"""How many names a sentence takes."""
_MIXED = "one CUDA major per environment: gpusetup install --env NEW_FOLDER makes a new one"


# --- what torch asks for --------------------------------------------------------------------------


def _parsed(text: str) -> Version | None:
    from packaging.version import InvalidVersion, Version  # a tenth of a cold plan, which needs none of it

    try:
        return Version(text)
    except InvalidVersion:
        return None


def _asked_by(facts: Facts, name: str, extras: frozenset[str] = frozenset()) -> list[Requirement]:
    """Requirements of an installed distribution that hold on this machine, those of its extras too."""
    from packaging.requirements import InvalidRequirement, Requirement

    short = ".".join((facts.text("env.python_version") or "3.12").split(".")[:2])
    base = {
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
        "platform_machine": facts.machine.host.arch or "x86_64",
        "python_version": short,
        "python_full_version": facts.text("env.python_version") or f"{short}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    found = []
    for owner, line in rows(facts, "env.requires"):
        if owner != name:
            continue
        try:
            asked = Requirement(line)
            marker = asked.marker
            if marker is None or any(marker.evaluate({**base, "extra": extra}) for extra in ("", *extras)):
                found.append(asked)
        except InvalidRequirement:
            continue
    return found


def _libraries_of_torch(facts: Facts) -> list[Requirement]:
    """nvidia-* and cuda-* requirements of torch, those of the meta package cuda-toolkit in place of its extras."""
    found: dict[str, Requirement] = {}
    for asked in _asked_by(facts, "torch"):
        if asked.name.startswith(_LIBRARIES):
            found[str(asked)] = asked
            # Several extras ask for one library.
            for one in _asked_by(facts, asked.name, frozenset(asked.extras)) if asked.extras else ():
                found[f"{one.name}{one.specifier}"] = one
    return list(found.values())


@check("wheel.nvidia_deps", level="quick", needs=("env",), leads=("wheel.import_time",))
def nvidia_deps(facts: Facts, say: Verdict) -> Finding:
    """The CUDA libraries that the build asks for are there, whole, and of one CUDA.

    What it finds
        nvidia-* packages that are missing or of another release than torch was linked with, sets for CUDA 12 and 13
        side by side, and libraries that one of them overwrote or took away when it was removed.

    Why it matters
        `import torch` ends with "libcudart.so.12: cannot open shared object file", or CUDA calls fail with
        CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH. The cu12 and cu13 wheels of cuDNN, NCCL and NVSHMEM install the same
        paths: the later one overwrites the earlier, and removing either deletes the files of both.

    How it is decided
        The requirements in the metadata of torch, on this platform, are compared with what is installed; the RECORD of
        every nvidia-* package names the libraries that must exist. A missing package, a missing library, another major
        or an older release fail. A newer release of the same major warns: NCCL and cuDNN are often raised on purpose.
        One package of two CUDA majors fails where both own the same file, and warns elsewhere. Builds that bring their
        libraries themselves, and those of conda, ask for nothing and pass.

    What to do
        Reinstall torch with its dependencies, best in a new environment.

    Sources
        File lists of nvidia-cudnn, nvidia-nccl and nvidia-nvshmem for cu12 and cu13; torch/__init__.py.
    """
    if (skip := why_no_cuda_build(facts, say)) is not None:
        return skip
    if (finding := _overwritten(facts, say)) is not None:
        return finding
    held, build = installed(facts), torch_build(facts)
    version = build.version if build else ""
    asked = _libraries_of_torch(facts)
    missing = [one.name for one in asked if one.name not in held]
    if missing:
        named = ", ".join(missing[:_NAMED]) + (" and others" if len(missing) > _NAMED else "")
        return say.failed(
            f"Missing beside torch {version}, which asks for it: {named}.",
            *(Evidence(name, "not installed", source="dist-info", needs="installed") for name in missing),
            safe=(PIP_CHECK,),
            risky=(_again(facts),),
        )
    other = [one for one in asked if not one.specifier.contains(held[one.name].public, prereleases=True)]
    wrong = [_shown(one, held) for one in other if not _is_newer(one, held[one.name])]
    newer = [_shown(one, held) for one in other if _is_newer(one, held[one.name])]
    if wrong:
        return say.failed(
            f"{wrong[0].name} {wrong[0].value} is not the {wrong[0].needs} that torch {version} was built with.",
            *wrong,
            safe=(PIP_CHECK,),
            risky=(_again(facts),),
        )
    if mixed := _mixed_majors(held):
        return say.warned(
            f"CUDA libraries of two majors are installed side by side: {', '.join(mixed[:_NAMED])}.",
            *(Evidence(name, held[name].version, source="dist-info") for name in mixed),
            safe=(PIP_CHECK, _MIXED),
        )
    if newer:
        return say.warned(
            f"{newer[0].name} {newer[0].value} is newer than the {newer[0].needs} that torch {version} asks for.",
            *newer,
            safe=(PIP_CHECK,),
            risky=(_again(facts),),
        )
    if not asked:
        return say.passed(f"torch {version} asks for no CUDA libraries: it brings its own, or conda does.")
    return say.passed(f"The {len(asked)} CUDA packages that torch {version} asks for are there and whole.")


def _again(facts: Facts) -> str:
    build = torch_build(facts)
    release = build.public if build else "X.Y.Z"
    return f"python -m pip install --force-reinstall 'torch=={release}'    (with its dependencies)"


def _shown(asked: Requirement, held: dict[str, Installed]) -> Evidence:
    return Evidence(asked.name, held[asked.name].version, source="dist-info", needs=str(asked.specifier))


def _overwritten(facts: Facts, say: Verdict) -> Finding | None:
    """Libraries that are gone from the disk, or that two packages own."""
    if lost := [row for row in rows(facts, "env.missing") if row[0].startswith(_LIBRARIES)]:
        return say.failed(
            f"Libraries of {', '.join(row[0] for row in lost)} are gone from the disk, such as {lost[0][2]}.",
            *facts.evidence("env.missing", "env.shared"),
            safe=(PIP_CHECK, _MIXED),
            risky=(_again(facts),),
        )
    if both := [row for row in rows(facts, "env.shared") if row[0].startswith("nvidia-")]:
        first, second, _, path = both[0][:4]
        return say.failed(
            f"{first} and {second} own the same files, such as {path}: one has overwritten the other.",
            *facts.evidence("env.shared"),
            safe=(_MIXED,),
            risky=(f"python -m pip uninstall {first} {second}, then reinstall the one that torch asks for",),
        )
    return None


def _is_newer(asked: Requirement, found: Installed) -> bool:
    """Whether it is a newer release of the major that a pin names."""
    pinned = next((one.version for one in asked.specifier if one.operator == "=="), None)
    want, have = _parsed((pinned or "").removesuffix(".*")) if pinned else None, _parsed(found.public)
    return bool(want and have and have > want and have.major == want.major)


def _mixed_majors(held: dict[str, Installed]) -> list[str]:
    """Packages of which two CUDA majors are there; since CUDA 13 some carry no suffix."""
    groups: dict[str, list[str]] = {}
    for name in held:
        if name.startswith("nvidia-"):
            groups.setdefault(_SUFFIX.sub("", name), []).append(name)
    return sorted(name for names in groups.values() if len(names) > 1 for name in names)


# --- beside torch ---------------------------------------------------------------------------------


@check("wheel.ecosystem", level="quick", needs=("env",))
def ecosystem(facts: Facts, say: Verdict) -> Finding:
    """What is installed beside torch fits it: torchvision, triton, transformers, numpy, extensions.

    What it finds
        Companions of another torch or of another CUDA, a transformers that hides torch because it is too old, numpy 2
        with a torch that was compiled against numpy 1, and a flash-attn for another torch, CUDA or C++ ABI.

    Why it matters
        "operator torchvision::nms does not exist", "undefined symbol", "Numpy is not available", "Disabling PyTorch
        because PyTorch >= 2.4 is required": all of them name something else than the cause.

    How it is decided
        What installed packages themselves ask of torch, and the companions that the matrix names for the release. An
        unmet requirement on torch by exact version, a CUDA label other than torch's, a torch below the floor of
        transformers, numpy outside of the release's range, and a flash-attn with other words in its version fail. A
        companion that merely differs from the one the matrix pairs, transformers outside of the range that was run,
        setuptools and safetensors outside of theirs, and a triton that is not torch's warn.

    What to do
        Reinstall the set together: `gpusetup plan` names the versions.

    Sources
        Metadata of the installed packages; matrix.yaml, companions and transformers; wheel names of flash-attention.
    """
    if (skip := why_no_torch(facts, say)) is not None:
        return skip
    held, build = installed(facts), torch_build(facts)
    if build is None:
        return say.unknown("The version of torch is not known.")
    set_again = ("gpusetup plan    (names the set)", ANEW)
    broken = [*_other_cuda(held, build), *_unmet(facts, held, build), *_below_floor(facts, held, build)]
    broken += [*_out_of_range(held, build, "numpy"), *_flash_attention(facts, held, build)]
    if broken:
        words = f"{broken[0].name} {broken[0].value} does not fit torch {build.version}: it needs {broken[0].needs}."
        return say.failed(words, *broken, safe=set_again)
    odd = [*_pairing(facts, held, build), *_out_of_range(held, build, "setuptools")]
    odd += [*_out_of_range(held, build, "safetensors"), *_transformers_range(held, build)]
    if odd:
        words = f"{odd[0].name} {odd[0].value} is not what belongs to torch {build.version}: {odd[0].needs}."
        return say.warned(words, *odd, safe=set_again)
    beside = [
        f"{name} {held[name].version}"
        for name in ("torchvision", "torchaudio", "triton", "transformers", "numpy")
        if name in held
    ]
    return say.passed(
        f"What is beside torch {build.version} fits it: {', '.join(beside) or 'nothing that depends on it'}."
    )


def _other_cuda(held: dict[str, Installed], build: TorchBuild) -> list[Evidence]:
    """Companions whose label names another build. Wheels of the general index carry no label and tell nothing."""
    found = []
    for name in ("torchvision", "torchaudio"):
        own = held.get(name)
        if own and own.label and build.variant_name and own.label != build.variant_name:
            found.append(Evidence(name, own.version, source="dist-info", needs=f"a build for {build.variant_name}"))
    return found


def _unmet(facts: Facts, held: dict[str, Installed], build: TorchBuild) -> list[Evidence]:
    """Installed packages whose own metadata asks for another torch."""
    found = []
    for name, own in held.items():
        # A preview of NVIDIA's images, 2.6.0a0, stands for the release that it precedes.
        found += [
            Evidence(name, own.version, source="dist-info", needs=f"torch {asked.specifier}")
            for asked in _asked_by(facts, name)
            if asked.name == "torch" and not asked.specifier.contains(build.public, prereleases=True)
        ]
    return found


def _below_floor(facts: Facts, held: dict[str, Installed], build: TorchBuild) -> list[Evidence]:
    """A transformers that finds torch too old and hides every class that needs it."""
    own, matrix = held.get("transformers"), facts.matrix
    version = _parsed(own.public) if own else None
    if own is None or version is None or matrix is None or build.release is None:
        return []
    for row in matrix.transformers:
        if row.first[:2] == version.release[:2] and row.torch and build.release.key < row.torch:
            needs = f"torch {'.'.join(map(str, row.torch))} or newer, else it hides torch"
            return [Evidence("transformers", own.version, source="dist-info", needs=needs)]
    return []


def _out_of_range(held: dict[str, Installed], build: TorchBuild, name: str) -> list[Evidence]:
    """A package outside of the range that the matrix names for the release."""
    from packaging.specifiers import SpecifierSet

    own = held.get(name)
    text = getattr(build.release.companions, name) if build.release else None
    if own is None or text is None or SpecifierSet(text).contains(own.public, prereleases=True):
        return []
    return [Evidence(name, own.version, source="dist-info", needs=f"{name}{text}")]


def _flash_attention(facts: Facts, held: dict[str, Installed], build: TorchBuild) -> list[Evidence]:
    """2.7.4.post1+cu12torch2.6cxx11abiFALSE names the torch, the CUDA and the C++ ABI that it was compiled for."""
    own = held.get("flash-attn")
    match = _FLASH.search(own.version) if own else None
    if own is None or match is None:
        return []
    abi = facts.flag("env.torch_cxx11_abi")
    needs = []
    if match[2] != ".".join(build.public.split(".")[:2]):
        needs.append(f"a build for torch {'.'.join(build.public.split('.')[:2])}")
    if build.cuda and int(match[1]) != build.cuda.major:
        needs.append(f"a build for CUDA {build.cuda.major}")
    if abi is not None and (match[3].upper() == "TRUE") is not abi:
        needs.append(f"cxx11abi{'TRUE' if abi else 'FALSE'}")
    return [Evidence("flash-attn", own.version, source="dist-info", needs=", ".join(needs))] if needs else []


def _pairing(facts: Facts, held: dict[str, Installed], build: TorchBuild) -> list[Evidence]:
    """Torchvision and torchaudio against the matrix, triton against what torch asks for."""
    found = []
    if build.release:
        own = build.release.companions
        for name, wanted in (("torchvision", own.torchvision), ("torchaudio", own.torchaudio)):
            # Patches of one minor go together; the pair is that of the minor.
            if name in held and held[name].public.split(".")[:2] != wanted.split(".")[:2]:
                found.append(Evidence(name, held[name].version, source="dist-info", needs=f"{name} {wanted}"))
    for asked in _asked_by(facts, "torch"):
        one = held.get(asked.name) if asked.name in ("triton", "pytorch-triton") else None
        if one and not asked.specifier.contains(one.public, prereleases=True):
            found.append(Evidence(one.name, one.version, source="dist-info", needs=str(asked.specifier)))
    return found


def _transformers_range(held: dict[str, Installed], build: TorchBuild) -> list[Evidence]:
    own = held.get("transformers")
    version = _parsed(own.public) if own else None
    if own is None or version is None or build.release is None or version.is_prerelease:
        return []
    ran = build.release.companions.transformers
    if ran.holds(version.release):
        return []
    return [Evidence("transformers", own.version, source="dist-info", needs=f"transformers {ran}")]


CHECKS: tuple[Check, ...] = (nvidia_deps, ecosystem)
