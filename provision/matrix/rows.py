"""The plain tree of matrix.yaml to its typed rows; PlaceError where a value is not what its place asks for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..versions import CudaVersion
from . import fields
from .gpu_rows import chip, gpu, gpu_class, vgpu
from .model import (
    PLATFORMS,
    Architecture,
    ChipTable,
    CompanionMinor,
    Companions,
    CubinRow,
    CudaMajor,
    CudaToolkit,
    DriverBranch,
    ForwardCompatibility,
    ForwardRow,
    ModuleBranches,
    TorchRelease,
    TransformersMinor,
    Variant,
    WheelPlatform,
)
from .places import PlaceError
from .tables import Matrix

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..versions import ComputeCapability
    from .containers import Containers
    from .driver_sources import DriverSources
    from .faults import Faults
    from .site import Site

SCHEMA: Final = "gpusetup.matrix/1"

_TABLES = (
    "cubins",
    "cuda_majors",
    "forward_compatibility",
    "cuda_toolkits",
    "driver_branches",
    "architectures",
    "transformers",
    "accelerate",
    "peft",
)
_GPU_TABLES = ("gpus", "chips", "vgpu")
_ROOT = frozenset(("schema", "revision", "read_on", "sources", "torch", *_TABLES, *_GPU_TABLES))
_BLOCK = frozenset(("source", "read_on", "rows"))
_LATE_TABLES = frozenset(
    (
        *("containers", "jetson", "systems"),
        *("xids", "sxids", "recovery_actions", "nvml_errors", "cuda_errors", "clock_reasons", "kernel_messages"),
        *("memory_repair", "kernel_drivers", "denied_drivers", "denied_torch", "container_toolkit"),
        *("distributions", "repositories", "driver_packages"),
    )
)
_NONE: frozenset[str] = frozenset()


def matrix_of(tree: Any, *, origin: str, site: Site | None = None) -> Matrix:
    """The matrix of a plain tree; rows of GPUs are read when they are first asked for."""
    root = fields.mapping(tree, _ROOT, _LATE_TABLES)
    fields.field(root, "schema", fields.one_of(SCHEMA))
    sources = fields.field(
        root, "sources", lambda value: fields.rows(value, lambda key, entry: (key, fields.text(entry)))
    )
    cite = partial(_source, known=frozenset(key for key, _ in sources))
    torch = fields.field(
        root, "torch", lambda value: fields.mapping(value, frozenset(("index", "assumed_pythons", "releases")))
    )
    cubins = fields.field(root, "cubins", partial(_block, cite=cite, extra=frozenset(("tegra",))))
    majors = fields.field(root, "cuda_majors", partial(_block, cite=cite, extra=frozenset(("wsl_branch",))))
    architectures = fields.field(
        root, "architectures", partial(_block, cite=cite, extra=frozenset(("module_branches",)))
    )
    transformers = fields.field(root, "transformers", partial(_block, cite=cite, extra=frozenset(("free_threaded",))))
    gpus = fields.field(root, "gpus", partial(_block, cite=cite))
    chips = fields.field(root, "chips", partial(_block, cite=cite, extra=frozenset(("older_too",))))
    try:
        index = fields.field(torch, "index", _index)
        assumed = fields.items(torch, "assumed_pythons", fields.python)
        releases = fields.field(torch, "releases", lambda value: fields.rows(value, partial(_release, cite=cite)))
    except PlaceError as fault:
        raise fault.inside("torch") from None
    return Matrix(
        revision=fields.field(root, "revision", fields.text) + (f"+site.{site.digest}" if site else ""),
        read_on=fields.field(root, "read_on", fields.date),
        origin=origin,
        sources=sources,
        torch_index=index,
        assumed_pythons=assumed,
        releases=releases,
        cubins=_table(cubins, "cubins", _cubin),
        tegra=_within("cubins", lambda: fields.items(cubins, "tegra", fields.capability)),
        cuda_majors=_table(majors, "cuda_majors", _cuda_major),
        wsl_branch=_within("cuda_majors", lambda: fields.field(majors, "wsl_branch", fields.whole)),
        forward=_forward_compatibility(root, cite),
        toolkits=_table(fields.field(root, "cuda_toolkits", partial(_block, cite=cite)), "cuda_toolkits", _toolkit),
        branches=_table(fields.field(root, "driver_branches", partial(_block, cite=cite)), "driver_branches", _branch),
        architectures=_table(architectures, "architectures", _architecture),
        module_branches=_within(
            "architectures", lambda: fields.field(architectures, "module_branches", _module_branches)
        ),
        transformers=_table(transformers, "transformers", _transformers),
        accelerate=_table(fields.field(root, "accelerate", partial(_block, cite=cite)), "accelerate", _companion_minor),
        peft=_table(fields.field(root, "peft", partial(_block, cite=cite)), "peft", _companion_minor),
        free_threaded=_within("transformers", lambda: fields.field(transformers, "free_threaded", _free_threaded)),
        vgpu=fields.field(root, "vgpu", partial(vgpu, cite=cite)),
        read_gpus=partial(_table, gpus, "gpus", partial(gpu, cite=cite)),
        read_chips=partial(_chips, chips),
        read_containers=partial(_containers, root, cite),
        read_faults=partial(_faults, root, cite),
        read_driver_sources=partial(_driver_sources, root, cite),
        site=site,
    )


def _chips(block: dict[str, Any]) -> ChipTable:
    return ChipTable(
        rows=_table(block, "chips", chip),
        older_too=_within("chips", lambda: fields.items(block, "older_too", fields.text)),
    )


def _containers(root: dict[str, Any], cite: Callable[[Any], str]) -> Containers:
    from .containers import read_containers

    return read_containers(root, cite)


def _faults(root: dict[str, Any], cite: Callable[[Any], str]) -> Faults:
    from .faults import read_faults

    return read_faults(root, cite)


def _driver_sources(root: dict[str, Any], cite: Callable[[Any], str]) -> DriverSources:
    from .driver_sources import read_driver_sources

    return read_driver_sources(root, cite)


def _within(key: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except PlaceError as fault:
        raise fault.inside(key) from None


def _table(block: dict[str, Any], name: str, read: Callable[[str, Any], Any]) -> tuple[Any, ...]:
    rows: tuple[Any, ...] = _within(name, lambda: fields.field(block, "rows", lambda value: fields.rows(value, read)))
    return rows


def _block(
    value: Any, *, cite: Callable[[Any], str], extra: frozenset[str] = _NONE, optional: frozenset[str] = _NONE
) -> dict[str, Any]:
    """A table with the sources and the day of its last reading."""
    block = fields.mapping(value, _BLOCK | extra, optional)
    fields.items(block, "source", cite)
    fields.field(block, "read_on", fields.date)
    return block


def _source(value: Any, *, known: frozenset[str]) -> str:
    name = fields.text(value)
    if name not in known:
        raise PlaceError(fields.shown(value), "a key of `sources`")
    return name


def _index(value: Any) -> str:
    address = fields.text(value)
    if not address.startswith("https://") or "{variant}" not in address:
        raise PlaceError(fields.shown(value), "an https address with {variant} in it")
    return address


# --- torch --------------------------------------------------------------------------------------

_RELEASE = frozenset(("released", "platforms", "variants", "companions", "source", "read_on"))
_PLATFORM = frozenset(("pythons", "glibc", "tag", "general_tag", "general_variant"))
_MACOS_PLATFORM = frozenset(("pythons", "macos", "tag", "general_tag", "general_variant"))
_MACOS_OPTIONAL = frozenset(("requires", "other_tags", "abi_none"))
_CUDA_VARIANT = frozenset(("toolkit", "on", "arch", "ptx", "cudnn", "nccl", "source"))
_CPU_VARIANT = frozenset(("on", "source"))
_VARIANT_OPTIONAL = frozenset(("unknown_on", "glibc", "tag", "unlabelled_on", "doubtful", "note"))
_COMPANIONS = frozenset(("torchvision", "torchaudio", "triton", "transformers"))
_COMPANIONS_OPTIONAL = frozenset(("numpy", "numpy_windows", "setuptools", "safetensors"))

_platform_name = fields.one_of(*PLATFORMS)


def _release(version: str, value: Any, *, cite: Callable[[Any], str]) -> TorchRelease:
    row = fields.mapping(value, _RELEASE, frozenset(("note",)))
    return TorchRelease(
        version=fields.release(version),
        key=fields.key_numbers(version),
        released=fields.field(row, "released", fields.date),
        platforms=fields.field(row, "platforms", lambda entry: fields.rows(entry, _wheel_platform)),
        variants=fields.field(row, "variants", lambda entry: fields.rows(entry, partial(_variant, cite=cite))),
        companions=fields.field(row, "companions", _companions),
        note=fields.maybe(row, "note", fields.text),
        source=fields.items(row, "source", cite),
        read_on=fields.field(row, "read_on", fields.date),
    )


def _wheel_platform(name: str, value: Any) -> WheelPlatform:
    is_macos = name.startswith("darwin")
    row = fields.mapping(
        value,
        _MACOS_PLATFORM if is_macos else _PLATFORM,
        _MACOS_OPTIONAL if is_macos else frozenset(("requires",)),
    )
    return WheelPlatform(
        platform=_platform_name(name),
        pythons=fields.items(row, "pythons", fields.python_tag),
        glibc=fields.maybe(row, "glibc", fields.glibc),
        tag=fields.field(row, "tag", fields.text),
        general_tag=fields.field(row, "general_tag", fields.text),
        general_variant=fields.maybe(row, "general_variant", fields.text),
        requires=fields.maybe(row, "requires", lambda entry: fields.rows(entry, _requirement)),
        macos=fields.maybe(row, "macos", fields.key_numbers),
        other_tags=fields.maybe(row, "other_tags", lambda entry: fields.rows(entry, _tag_of_python)) or (),
        abi_none=fields.items(row, "abi_none", fields.python_tag),
    )


def _requirement(name: str, value: Any) -> tuple[str, str]:
    return fields.requirement_name(name), fields.requirement(value)


def _tag_of_python(name: str, value: Any) -> tuple[str, str]:
    return fields.python_tag(name), fields.text(value)


def _per_platform(value: Any, read: Callable[[Any], Any]) -> tuple[Any, ...]:
    return fields.rows(value, lambda name, entry: (_platform_name(name), read(entry)))


def _arch(value: Any) -> tuple[ComputeCapability, ...] | None:
    return None if value is None else fields.sequence(value, fields.binary_code)


def _variant_cuda(name: str) -> CudaVersion | None:
    if name == "cpu":
        return None
    try:
        return CudaVersion.parse(name)
    except ValueError:
        raise PlaceError(fields.shown(name), "cpu or a variant such as cu128") from None


def _variant(name: str, value: Any, *, cite: Callable[[Any], str]) -> Variant:
    cuda = _variant_cuda(name)
    row = fields.mapping(value, _CUDA_VARIANT if cuda else _CPU_VARIANT, _VARIANT_OPTIONAL)
    return Variant(
        name=name,
        cuda=cuda,
        toolkit=fields.maybe(row, "toolkit", fields.release),
        on=fields.items(row, "on", _platform_name),
        unknown_on=fields.items(row, "unknown_on", _platform_name),
        arch=fields.field(row, "arch", lambda entry: _per_platform(entry, _arch)) if cuda else (),
        ptx=fields.maybe(row, "ptx", lambda entry: fields.sequence(entry, fields.virtual_code)),
        cudnn=fields.maybe(row, "cudnn", fields.release),
        nccl=fields.maybe(row, "nccl", fields.release),
        glibc=fields.maybe(row, "glibc", lambda entry: _per_platform(entry, fields.glibc)) or (),
        tag=fields.maybe(row, "tag", lambda entry: _per_platform(entry, fields.text)) or (),
        unlabelled_on=fields.items(row, "unlabelled_on", _platform_name),
        doubtful=fields.maybe(row, "doubtful", fields.text),
        note=fields.maybe(row, "note", fields.text),
        source=fields.items(row, "source", cite),
    )


def _companions(value: Any) -> Companions:
    row = fields.mapping(value, _COMPANIONS, _COMPANIONS_OPTIONAL)
    return Companions(
        torchvision=fields.field(row, "torchvision", fields.release),
        torchaudio=fields.field(row, "torchaudio", fields.release),
        triton=fields.field(row, "triton", fields.text),
        transformers=fields.field(row, "transformers", fields.version_range),
        numpy=fields.maybe(row, "numpy", fields.specifier),
        numpy_windows=fields.maybe(row, "numpy_windows", fields.specifier),
        setuptools=fields.maybe(row, "setuptools", fields.specifier),
        safetensors=fields.maybe(row, "safetensors", fields.specifier),
    )


# --- CUDA, drivers, architectures ---------------------------------------------------------------


def _cubin(code: str, value: Any) -> CubinRow:
    row = fields.mapping(value, optional=frozenset(("only", "at_least", "below", "excluded", "unified_from")))
    if "only" not in row:
        fields.mapping(value, frozenset(("at_least", "below")), frozenset(("excluded", "unified_from")))
    return CubinRow(
        code=fields.binary_code(code),
        only=fields.items(row, "only", fields.capability),
        at_least=fields.maybe(row, "at_least", fields.capability),
        below=fields.maybe(row, "below", fields.capability),
        excluded=fields.items(row, "excluded", fields.capability),
        unified_from=fields.maybe(row, "unified_from", fields.cuda),
    )


def _cuda_major(major: str, value: Any) -> CudaMajor:
    row = fields.mapping(value, frozenset(("linux", "windows")), frozenset(("doubtful",)))
    return CudaMajor(
        major=fields.whole(major),
        linux=fields.field(row, "linux", fields.driver),
        windows=fields.field(row, "windows", fields.driver),
        doubtful=fields.maybe(row, "doubtful", fields.text),
    )


_FORWARD = frozenset(("classes", "refused_classes"))
_FORWARD_ROW = frozenset(("accepted", "refused", "source"))


def _forward_compatibility(root: dict[str, Any], cite: Callable[[Any], str]) -> ForwardCompatibility:
    name = "forward_compatibility"
    block = fields.field(root, name, partial(_block, cite=cite, extra=_FORWARD, optional=frozenset(("doubtful",))))
    try:
        return ForwardCompatibility(
            classes=fields.items(block, "classes", gpu_class),
            refused_classes=fields.items(block, "refused_classes", gpu_class),
            rows=fields.field(block, "rows", lambda entry: fields.rows(entry, partial(_forward_row, cite=cite))),
            doubtful=fields.maybe(block, "doubtful", fields.text),
        )
    except PlaceError as fault:
        raise fault.inside(name) from None


def _forward_row(cuda: str, value: Any, *, cite: Callable[[Any], str]) -> ForwardRow:
    row = fields.mapping(value, _FORWARD_ROW, frozenset(("doubtful",)))
    return ForwardRow(
        cuda=fields.cuda(cuda),
        accepted=fields.maybe(row, "accepted", lambda entry: fields.sequence(entry, fields.whole)),
        refused=fields.maybe(row, "refused", lambda entry: fields.sequence(entry, fields.whole)),
        doubtful=fields.maybe(row, "doubtful", fields.text),
        source=fields.items(row, "source", cite),
    )


def _toolkit(version: str, value: Any) -> CudaToolkit:
    row = fields.mapping(value, frozenset(("released", "linux", "windows")), frozenset(("doubtful",)))
    return CudaToolkit(
        version=fields.release(version),
        key=fields.key_numbers(version),
        cuda=fields.cuda(version),
        released=fields.maybe(row, "released", fields.date),
        linux=fields.maybe(row, "linux", fields.driver),
        windows=fields.maybe(row, "windows", fields.driver),
        doubtful=fields.maybe(row, "doubtful", fields.text),
    )


def _branch(branch: str, value: Any) -> DriverBranch:
    keys = frozenset(("cuda", "type", "released", "eol", "latest_linux", "latest_windows"))
    row = fields.mapping(value, keys, frozenset(("doubtful",)))
    return DriverBranch(
        branch=fields.whole(branch),
        cuda=fields.field(row, "cuda", fields.cuda),
        type=fields.maybe(row, "type", fields.one_of("LTS", "PB", "NFB")),
        released=fields.maybe(row, "released", fields.date),
        eol=fields.maybe(row, "eol", fields.date),
        latest_linux=fields.maybe(row, "latest_linux", fields.release),
        latest_windows=fields.maybe(row, "latest_windows", fields.release),
        doubtful=fields.maybe(row, "doubtful", fields.text),
    )


def _architecture(name: str, value: Any) -> Architecture:
    keys = frozenset(("capabilities", "first_branch", "last_branch", "kernel_module", "first_cuda", "last_cuda"))
    row = fields.mapping(value, keys, frozenset(("first_driver", "later", "doubtful")))
    return Architecture(
        name=name,
        capabilities=fields.items(row, "capabilities", fields.capability),
        first_branch=fields.maybe(row, "first_branch", fields.whole),
        first_driver=fields.maybe(row, "first_driver", fields.driver),
        later=fields.field(row, "later", _later) if "later" in row else (),
        last_branch=fields.maybe(row, "last_branch", fields.whole),
        kernel_module=fields.field(row, "kernel_module", fields.one_of("open", "proprietary", "either")),
        first_cuda=fields.maybe(row, "first_cuda", fields.cuda),
        last_cuda=fields.maybe(row, "last_cuda", fields.cuda),
        doubtful=fields.maybe(row, "doubtful", fields.text),
    )


def _later(value: Any) -> tuple[tuple[ComputeCapability, int], ...]:
    return fields.rows(value, lambda code, branch: (fields.capability(code), fields.whole(branch)))


def _module_branches(value: Any) -> ModuleBranches:
    row = fields.mapping(value, frozenset(("first_open", "open_default", "last_proprietary", "open_only")))
    return ModuleBranches(
        first_open=fields.field(row, "first_open", fields.whole),
        open_default=fields.field(row, "open_default", fields.whole),
        last_proprietary=fields.field(row, "last_proprietary", fields.whole),
        open_only=fields.items(row, "open_only", fields.text),
    )


# --- transformers -------------------------------------------------------------------------------


def _transformers(version: str, value: Any) -> TransformersMinor:
    row = fields.mapping(value, frozenset(("last", "python", "torch")), frozenset(("tokenizers", "python_below")))
    return TransformersMinor(
        first=fields.key_numbers(version),
        last=fields.field(row, "last", fields.key_numbers),
        python=fields.field(row, "python", fields.python_minor),
        torch=fields.maybe(row, "torch", fields.key_numbers),
        tokenizers=fields.maybe(row, "tokenizers", fields.specifiers),
        python_below=fields.maybe(row, "python_below", fields.python_minor),
    )


def _companion_minor(version: str, value: Any) -> CompanionMinor:
    row = fields.mapping(value, frozenset(("last", "python", "torch", "numpy")))
    return CompanionMinor(
        first=fields.key_numbers(version),
        last=fields.field(row, "last", fields.key_numbers),
        python=fields.field(row, "python", fields.python_minor),
        torch=fields.field(row, "torch", fields.key_numbers),
        numpy=fields.maybe(row, "numpy", fields.specifier),
    )


def _free_threaded(value: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return fields.rows(value, lambda name, tags: (name, fields.sequence(tags, fields.python_tag)))
