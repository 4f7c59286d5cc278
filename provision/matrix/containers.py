"""Container images, Jetson releases and systems of the matrix: their records, their reading and the questions to them.

They stand at the end of matrix.yaml and are read when somebody asks for an image: a plan of wheels never loads this
module.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from . import fields
from .model import PLATFORMS, GpuClass, Numbers, numbers
from .places import PlaceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..versions import ComputeCapability, CudaVersion, Glibc

TABLES: Final = ("containers", "jetson", "systems")
"""The tables of this module, the last ones of the file."""

FLAVOURS: Final = ("runtime", "devel")
"""Flavours of pytorch/pytorch tags, the preferred first: devel brings a compiler that a training job seldom needs."""


@dataclass(frozen=True, slots=True, eq=False)
class NgcImage:
    """One monthly tag of NVIDIA's PyTorch image."""

    tag: str
    torch: str
    """NVIDIA's own build: 2.14.0a0+b2c75dd062."""
    toolkit: str | None
    cuda: CudaVersion | None
    python: str | None
    ubuntu: str | None
    least_capability: ComputeCapability | None
    """Lowest compute capability that the release notes print."""
    runs_on: tuple[ComputeCapability, ...]
    """Capabilities that somebody ran it on."""
    branch: int | None
    """Driver branch of its CUDA."""
    on: tuple[str, ...]
    """Platforms that the tag was seen for; nobody has seen the others."""
    jetpack: str | None
    """JetPack release that NVIDIA pairs it with."""
    digest: str | None
    unverified: tuple[str, ...]
    """Fields that no text prints for this tag."""
    note: str | None
    doubtful: str | None
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class HubRelease:
    """The pytorch/pytorch tags of one torch release."""

    torch: str
    cudnn: str
    seen: tuple[CudaVersion, ...]
    """CUDA of tags that are in use somewhere."""
    derived: tuple[CudaVersion, ...]
    """CUDA of tags that the release build matrix makes and nobody has seen."""


@dataclass(frozen=True, slots=True, eq=False)
class CudaBase:
    """The nvidia/cuda tags of one toolkit."""

    toolkit: str
    cudnn: str
    """How the tag spells cuDNN: cudnn8, cudnn9 or cudnn."""
    os: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class JetPack:
    """One JetPack release."""

    version: str
    l4t: tuple[str, ...]
    """Jetson Linux releases that it consists of: 36.4.3."""
    cuda: CudaVersion
    ubuntu: str
    glibc: Glibc
    python: str
    capabilities: tuple[ComputeCapability, ...]
    """Modules that it serves: 8.7 is Orin, 11.0 is Thor."""
    folder: str | None
    """Folder of its torch wheels under the index."""
    wheels: tuple[str, ...] | None
    """NVIDIA's own torch wheels, oldest first; empty when NVIDIA names none."""
    doubtful: str | None


@dataclass(frozen=True, slots=True, eq=False)
class BoardSystem:
    """A whole machine that comes with a system of its own."""

    name: str
    gpu: str
    """Row of its GPU."""
    platform: str
    os: str
    ubuntu: str
    glibc: Glibc
    branch: int
    """Oldest driver branch that its system ships."""
    first_cuda: CudaVersion
    """Least CUDA toolkit that NVIDIA supports there."""
    first_image: str
    """Least NGC tag that NVIDIA supports there."""
    note: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Containers:
    """Everything that the matrix knows about images and about boards whose system decides."""

    run_flags: tuple[str, ...] = ()
    """Flags of `docker run` that an image with torch needs."""
    ngc_reference: str = ""
    igpu_reference: str = ""
    ngc: tuple[NgcImage, ...] = ()
    """Oldest first."""
    hub_reference: str = ""
    hub_on: tuple[str, ...] = ()
    """Platforms that pytorch/pytorch tags are published for, and no others."""
    hub: tuple[HubRelease, ...] = ()
    """Oldest first."""
    hub_cuda_below: Numbers = ()
    """devel tags of torch below this stand on nvidia/cuda; all others, and every runtime tag, on plain Ubuntu."""
    base_reference: str = ""
    base_flavours: tuple[str, ...] = ()
    base_on: tuple[str, ...] = ()
    override: str = ""
    """Flag of `docker run` that lifts the start gate of an image on nvidia/cuda."""
    gated_classes: tuple[GpuClass, ...] = ()
    """Boards that the branches of a gate do not count for."""
    gates: tuple[tuple[CudaVersion, tuple[int, ...]], ...] = ()
    bases: tuple[CudaBase, ...] = ()
    jetson_index: str = ""
    jetson_run_flags: tuple[str, ...] = ()
    jetpacks: tuple[JetPack, ...] = ()
    """Oldest first."""
    systems: tuple[BoardSystem, ...] = ()

    def gate(self, cuda: CudaVersion) -> tuple[int, ...] | None:
        """Driver branches that the start gate of a CUDA lets in besides newer drivers; None: nobody has read it."""
        return dict(self.gates).get(cuda)

    def base(self, toolkit: str) -> CudaBase | None:
        """The nvidia/cuda tags of a toolkit."""
        return next((row for row in self.bases if row.toolkit == toolkit), None)

    def jetpack_of(self, l4t: str) -> JetPack | None:
        """The JetPack of a Jetson Linux release such as 36.4.3 (`/etc/nv_tegra_release`: R36, revision 4.3)."""
        return next((row for row in self.jetpacks if l4t in row.l4t), None)

    def jetpacks_with(self, cuda: CudaVersion, capability: ComputeCapability) -> tuple[JetPack, ...]:
        """The JetPacks with that CUDA that serve a module: several, where only the CUDA of a board is known."""
        return tuple(row for row in self.jetpacks if row.cuda == cuda and capability in row.capabilities)

    def jetson_wheel_index(self, jetpack: JetPack) -> str | None:
        """Address of NVIDIA's torch wheels for a JetPack; None when there is none or nobody has read it."""
        return self.jetson_index.replace("{folder}", jetpack.folder) if jetpack.folder else None

    def system_of(self, gpu: str) -> BoardSystem | None:
        """The system whose GPU has that row."""
        return next((row for row in self.systems if row.gpu == gpu), None)


# --- reading ------------------------------------------------------------------------------------

_BLOCK = frozenset(("source", "read_on"))
_CONTAINERS = _BLOCK | {"run_flags", "ngc", "pytorch", "cuda_base"}
_NGC = frozenset(("reference", "igpu_reference", "rows"))
_NGC_ROW = frozenset(("torch", "cuda", "python", "ubuntu", "least_capability", "branch", "on", "source"))
_NGC_OPTIONAL = frozenset(("runs_on", "jetpack", "digest", "unverified", "note", "doubtful"))
_HUB = frozenset(("reference", "on", "devel_on_cuda_below", "rows"))
_HUB_ROW = frozenset(("cudnn", "seen", "derived"))
_BASE = frozenset(("reference", "flavours", "on", "override", "gated_classes", "gates", "rows"))
_REMARKS = frozenset(("note", "doubtful"))
_JETSON = _BLOCK | {"index", "run_flags", "rows"}
_JETPACK = frozenset(("l4t", "cuda", "ubuntu", "glibc", "python", "capabilities", "wheels"))
_SYSTEM = frozenset(("gpu", "platform", "os", "ubuntu", "glibc", "branch", "first_cuda", "first_image"))
_UNVERIFIABLE = ("torch", "cuda", "python", "ubuntu", "least_capability")

_platform = fields.one_of(*PLATFORMS)
_gpu_class = fields.one_of("data_center", "workstation", "geforce", "embedded")


def read_containers(root: Any, cite: Callable[[Any], str]) -> Containers:
    """The tables of this module of a file's tree; a file without one of them knows nothing about it. PlaceError."""
    found: dict[str, Any] = {}
    for name, read in (("containers", _containers), ("jetson", _jetson), ("systems", _systems)):
        if name in root:
            found |= fields.field(root, name, partial(read, cite=cite))
    return Containers(**found)


def _text_with(*places: str) -> Callable[[Any], str]:
    """A reader of text that holds these places in braces."""

    def read(value: Any) -> str:
        words = fields.text(value)
        if any(f"{{{place}}}" not in words for place in places):
            raise PlaceError(fields.shown(value), "text with " + " and ".join(f"{{{place}}}" for place in places))
        return words

    return read


def _containers(value: Any, cite: Callable[[Any], str]) -> dict[str, Any]:
    block = fields.mapping(value, _CONTAINERS)
    _cited(block, cite)
    ngc = fields.field(block, "ngc", lambda entry: fields.mapping(entry, _NGC))
    hub = fields.field(block, "pytorch", lambda entry: fields.mapping(entry, _HUB, _REMARKS))
    base = fields.field(block, "cuda_base", lambda entry: fields.mapping(entry, _BASE, _REMARKS))
    return {
        "run_flags": fields.items(block, "run_flags", fields.text),
        **fields.field(block, "ngc", lambda _: _ngc(ngc, cite)),
        **fields.field(block, "pytorch", lambda _: _hub(hub)),
        **fields.field(block, "cuda_base", lambda _: _base(base)),
    }


def _cited(block: dict[str, Any], cite: Callable[[Any], str]) -> None:
    fields.items(block, "source", cite)
    fields.field(block, "read_on", fields.date)


def _ngc(block: dict[str, Any], cite: Callable[[Any], str]) -> dict[str, Any]:
    return {
        "ngc_reference": fields.field(block, "reference", _text_with("tag")),
        "igpu_reference": fields.field(block, "igpu_reference", _text_with("tag")),
        "ngc": fields.field(block, "rows", lambda rows: _ascending(fields.rows(rows, partial(_ngc_row, cite=cite)))),
    }


def _ascending(rows: tuple[Any, ...]) -> tuple[Any, ...]:
    """The rows; PlaceError when one stands after a newer one."""
    last: Numbers = ()
    for row in rows:
        name = row.tag if isinstance(row, NgcImage) else row.torch if isinstance(row, HubRelease) else row.version
        if numbers(name) <= last:
            raise PlaceError(f"{name} after a newer row", "rows in ascending order").inside(name)
        last = numbers(name)
    return rows


def _ngc_row(tag: str, value: Any, *, cite: Callable[[Any], str]) -> NgcImage:
    row = fields.mapping(value, _NGC_ROW, _NGC_OPTIONAL)
    return NgcImage(
        tag=fields.release(tag),
        torch=fields.field(row, "torch", _torch_build),
        toolkit=fields.maybe(row, "cuda", fields.release),
        cuda=fields.maybe(row, "cuda", fields.cuda),
        python=fields.maybe(row, "python", fields.python),
        ubuntu=fields.maybe(row, "ubuntu", fields.release),
        least_capability=fields.maybe(row, "least_capability", fields.capability),
        runs_on=fields.items(row, "runs_on", fields.capability),
        branch=fields.maybe(row, "branch", fields.whole),
        on=fields.items(row, "on", _platform),
        jetpack=fields.maybe(row, "jetpack", fields.release),
        digest=fields.maybe(row, "digest", _digest),
        unverified=fields.items(row, "unverified", fields.one_of(*_UNVERIFIABLE)),
        note=fields.maybe(row, "note", fields.text),
        doubtful=fields.maybe(row, "doubtful", fields.text),
        source=fields.items(row, "source", cite),
    )


def _torch_build(value: Any) -> str:
    words = fields.text(value)
    public, _, local = words.partition("+")
    fields.key_numbers(public.removesuffix("a0"))
    if local and not local.replace(".", "").isalnum():
        raise PlaceError(fields.shown(value), "a torch such as 2.14.0a0+b2c75dd062")
    return words


def _digest(value: Any) -> str:
    words = fields.text(value)
    kind, _, hexadecimal = words.partition(":")
    if kind != "sha256" or len(hexadecimal) != 64 or set(hexadecimal) - set("0123456789abcdef"):  # noqa: PLR2004
        raise PlaceError(fields.shown(value), "a digest, sha256: and 64 hexadecimal digits")
    return words


def _hub(block: dict[str, Any]) -> dict[str, Any]:
    return {
        "hub_reference": fields.field(block, "reference", _text_with("torch", "cuda", "cudnn", "flavour")),
        "hub_cuda_below": fields.field(block, "devel_on_cuda_below", fields.key_numbers),
        "hub_on": fields.items(block, "on", _platform),
        "hub": fields.field(block, "rows", lambda rows: _ascending(fields.rows(rows, _hub_row))),
    }


def _hub_row(torch: str, value: Any) -> HubRelease:
    row = fields.mapping(value, _HUB_ROW)
    seen, derived = fields.items(row, "seen", fields.cuda), fields.items(row, "derived", fields.cuda)
    if both := set(seen) & set(derived):
        raise PlaceError(f"CUDA {min(both)} in both seen and derived", "one of them")
    return HubRelease(fields.release(torch), str(fields.field(row, "cudnn", fields.whole)), seen, derived)


def _base(block: dict[str, Any]) -> dict[str, Any]:
    return {
        "base_reference": fields.field(block, "reference", _text_with("toolkit", "flavour", "os")),
        "base_flavours": fields.items(block, "flavours", fields.one_of("base", "runtime", "devel")),
        "base_on": fields.items(block, "on", _platform),
        "override": fields.field(block, "override", fields.text),
        "gated_classes": fields.items(block, "gated_classes", _gpu_class),
        "gates": fields.field(block, "gates", lambda rows: fields.rows(rows, _gate)),
        "bases": fields.field(block, "rows", lambda rows: fields.rows(rows, _base_row)),
    }


def _gate(cuda: str, value: Any) -> tuple[CudaVersion, tuple[int, ...]]:
    return fields.cuda(cuda), fields.sequence(value, fields.whole)


def _base_row(toolkit: str, value: Any) -> CudaBase:
    row = fields.mapping(value, frozenset(("cudnn", "os")))
    spelling = fields.field(row, "cudnn", fields.one_of("cudnn8", "cudnn9", "cudnn"))
    return CudaBase(fields.release(toolkit), spelling, fields.items(row, "os", fields.text))


def _jetson(value: Any, cite: Callable[[Any], str]) -> dict[str, Any]:
    block = fields.mapping(value, _JETSON)
    _cited(block, cite)
    return {
        "jetson_index": fields.field(block, "index", _text_with("folder")),
        "jetson_run_flags": fields.items(block, "run_flags", fields.text),
        "jetpacks": fields.field(block, "rows", lambda rows: _ascending(fields.rows(rows, _jetpack))),
    }


def _jetpack(version: str, value: Any) -> JetPack:
    row = fields.mapping(value, _JETPACK, frozenset(("folder", "doubtful")))
    return JetPack(
        version=fields.release(version),
        l4t=fields.items(row, "l4t", fields.release),
        cuda=fields.field(row, "cuda", fields.cuda),
        ubuntu=fields.field(row, "ubuntu", fields.release),
        glibc=fields.field(row, "glibc", fields.glibc),
        python=fields.field(row, "python", fields.python),
        capabilities=fields.items(row, "capabilities", fields.capability),
        folder=fields.maybe(row, "folder", fields.text),
        wheels=fields.maybe(row, "wheels", lambda entry: fields.sequence(entry, fields.text)),
        doubtful=fields.maybe(row, "doubtful", fields.text),
    )


def _systems(value: Any, cite: Callable[[Any], str]) -> dict[str, Any]:
    block = fields.mapping(value, _BLOCK | {"rows"})
    _cited(block, cite)
    return {"systems": fields.field(block, "rows", lambda rows: fields.rows(rows, _system))}


def _system(name: str, value: Any) -> BoardSystem:
    row = fields.mapping(value, _SYSTEM, frozenset(("note",)))
    return BoardSystem(
        name=name,
        gpu=fields.field(row, "gpu", fields.text),
        platform=fields.field(row, "platform", _platform),
        os=fields.field(row, "os", fields.text),
        ubuntu=fields.field(row, "ubuntu", fields.release),
        glibc=fields.field(row, "glibc", fields.glibc),
        branch=fields.field(row, "branch", fields.whole),
        first_cuda=fields.field(row, "first_cuda", fields.cuda),
        first_image=fields.field(row, "first_image", fields.release),
        note=fields.maybe(row, "note", fields.text),
    )
