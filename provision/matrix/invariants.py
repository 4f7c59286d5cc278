"""What must hold between rows of the matrix; a contradiction is an error of the file, found when it is loaded."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from .places import PlaceError

if TYPE_CHECKING:
    from ..versions import DriverVersion
    from .model import Chip, TorchRelease, Variant
    from .tables import Matrix


def check_invariants(matrix: Matrix) -> None:
    """PlaceError at the first row that contradicts another."""
    for check in INVARIANTS:
        check(matrix)


def _fault(found: str, expected: str, *path: str | int) -> PlaceError:
    fault = PlaceError(found, expected)
    fault.path = path
    return fault


def releases_ascend(matrix: Matrix) -> None:
    """Releases, toolkits and branches stand in ascending order, so that preference needs no sorting."""
    for older, newer in pairwise(matrix.releases):
        if newer.key <= older.key:
            raise _fault(
                f"{newer.version} after {older.version}",
                "releases in ascending order",
                "torch",
                "releases",
                newer.version,
            )
    for first, second in pairwise(matrix.toolkits):
        if second.key <= first.key:
            raise _fault(
                f"{second.version} after {first.version}",
                "toolkits in ascending order",
                "cuda_toolkits",
                "rows",
                second.version,
            )


def newer_cuda_needs_no_older_driver(matrix: Matrix) -> None:
    """Within a CUDA major a newer toolkit never starts on an older driver, and never below the floor of the major."""
    for system in ("linux", "windows"):
        newest: dict[int, DriverVersion] = {}
        for row in matrix.toolkits:
            driver: DriverVersion | None = getattr(row, system)
            if driver is None:
                continue
            if row.cuda.major in newest and driver < newest[row.cuda.major]:
                expected = f"at least {newest[row.cuda.major]}, which an older toolkit of the same major needs"
                raise _fault(str(driver), expected, "cuda_toolkits", "rows", row.version, system)
            newest[row.cuda.major] = driver


def branches_ascend_with_cuda(matrix: Matrix) -> None:
    """A newer driver branch never implements an older CUDA."""
    for older, newer in pairwise(matrix.branches):
        if newer.branch <= older.branch or newer.cuda < older.cuda:
            found = f"branch {newer.branch} with CUDA {newer.cuda} after {older.branch} with {older.cuda}"
            raise _fault(found, "both ascending", "driver_branches", "rows", str(newer.branch))


def forward_compatibility_is_one_answer(matrix: Matrix) -> None:
    """No driver branch both works and does not, no class of boards either, and a CUDA has one row."""
    forward = matrix.forward
    if both := set(forward.classes) & set(forward.refused_classes):
        raise _fault(f"{min(both)} in both lists", "one of them", "forward_compatibility", "refused_classes")
    for older, newer in pairwise(forward.rows):
        if newer.cuda <= older.cuda:
            found = f"CUDA {newer.cuda} after {older.cuda}"
            raise _fault(found, "rows in ascending order", "forward_compatibility", "rows", str(newer.cuda))
    for row in forward.rows:
        if branches := set(row.accepted or ()) & set(row.refused or ()):
            found = f"{min(branches)} in both accepted and refused"
            raise _fault(found, "one of them", "forward_compatibility", "rows", str(row.cuda))


def architectures_are_disjoint(matrix: Matrix) -> None:
    """A compute capability belongs to one architecture."""
    owner: dict[object, str] = {}
    for row in matrix.architectures:
        for index, capability in enumerate(row.capabilities):
            if capability in owner:
                found = f"{capability}, already of {owner[capability]}"
                raise _fault(found, "each capability once", "architectures", "rows", row.name, "capabilities", index)
            owner[capability] = row.name


def builds_are_complete(matrix: Matrix) -> None:
    """Every build has a floor for its CUDA, code that the toolkit compiles, and arch lists for its Linux platforms."""
    majors = {row.major for row in matrix.cuda_majors}
    for release in matrix.releases:
        _check_platforms(release)
        for variant in release.variants:
            path = ("torch", "releases", release.version, "variants", variant.name)
            if both := set(variant.on) & set(variant.unknown_on):
                raise _fault(f"{min(both)} in both on and unknown_on", "one of them", *path)
            if variant.cuda is None:
                continue
            if variant.cuda.major not in majors:
                raise _fault(f"CUDA {variant.cuda}", "a CUDA major of cuda_majors", *path)
            if variant.toolkit and not variant.toolkit.startswith(str(variant.cuda)):
                raise _fault(f"toolkit {variant.toolkit}", f"a toolkit of CUDA {variant.cuda}", *path, "toolkit")
            _check_arch(matrix, release, variant)


def _check_platforms(release: TorchRelease) -> None:
    for row in release.platforms:
        path = ("torch", "releases", release.version, "platforms", row.platform)
        variant = release.variant(row.general_variant or "")
        if row.general_variant and (variant is None or row.platform not in variant.on):
            expected = "a variant of this release that is published for the platform"
            raise _fault(repr(row.general_variant), expected, *path, "general_variant")
        if row.platform.startswith("linux") and row.glibc is None:
            raise _fault("null", "the glibc that the wheels need", *path, "glibc")
        if row.platform.startswith("darwin") and row.macos is None:
            raise _fault("null", "the macOS that the wheels need", *path, "macos")
        for key, tags in (("other_tags", [tag for tag, _ in row.other_tags]), ("abi_none", row.abi_none)):
            if missing := set(tags) - set(row.pythons):
                raise _fault(repr(min(missing)), "a Python tag of this row", *path, key)
    names = {row.platform for row in release.platforms}
    for variant in release.variants:
        if missing := {*variant.on, *variant.unknown_on} - names:
            expected = "a platform that the release has a row for"
            raise _fault(min(missing), expected, "torch", "releases", release.version, "variants", variant.name)


def pins_agree_with_the_builds(matrix: Matrix) -> None:
    """What the wheels of the general index ask for is of the CUDA, cuDNN, NCCL and triton of that build."""
    for release in matrix.releases:
        for row in release.platforms:
            variant = release.variant(row.general_variant) if row.general_variant else None
            if variant is not None and row.requires:
                path = ("torch", "releases", release.version, "platforms", row.platform, "requires")
                _check_pins(release, variant, dict(row.requires), path)


def _check_pins(release: TorchRelease, variant: Variant, pins: dict[str, str], path: tuple[str, ...]) -> None:
    if variant.cuda is None:
        raise _fault(f"{len(pins)} of them", "none: the build is for the CPU", *path)
    for name, value in pins.items():
        if "-cu" in name and name.rpartition("-cu")[2].isdigit() and not name.endswith(f"-cu{variant.cuda.major}"):
            raise _fault(name, f"a project of CUDA {variant.cuda.major}", *path, name)
        project = name.rpartition("-cu")[0]
        known = {"nvidia-cudnn": variant.cudnn, "nvidia-nccl": variant.nccl}.get(project)
        if name == "triton":
            known = release.companions.triton
        if known and value.partition(";")[0] != known:
            raise _fault(repr(value), f"{known}, as the row of {release.version} says elsewhere", *path, name)


def _check_arch(matrix: Matrix, release: TorchRelease, variant: Variant) -> None:
    path = ("torch", "releases", release.version, "variants", variant.name, "arch")
    lists = dict(variant.arch)
    for platform in (*variant.on, *variant.unknown_on):
        if platform.startswith("linux") and platform not in lists:
            raise _fault(f"no list for {platform}", "a list, or null when nobody has read it", *path)
    for platform, codes in variant.arch:
        for index, code in enumerate(codes or ()):
            owner = matrix.architecture_of(code)
            if owner is None or matrix.cubin(code) is None:
                expected = "code of a known architecture with a row in cubins"
                raise _fault(f"code for {code}", expected, *path, platform, index)
            if variant.cuda and owner.last_cuda and variant.cuda > owner.last_cuda:
                expected = f"no {owner.name} code after CUDA {owner.last_cuda}"
                raise _fault(f"code for {code}", expected, *path, platform, index)


def gpus_are_known(matrix: Matrix) -> None:
    """Every GPU is of the architecture of its capability; names are unique; a shared PCI id has subsystems."""
    names: dict[str, str] = {}
    for row in matrix.gpus:
        owner = matrix.architecture_of(row.compute_capability)
        if owner is None or owner.name != row.architecture:
            expected = f"the architecture of {row.compute_capability}" + (f", {owner.name}" if owner else "")
            raise _fault(repr(row.architecture), expected, "gpus", "rows", row.name, "architecture")
        for index, name in enumerate(row.nvml_names):
            if names.setdefault(name, row.name) != row.name:
                raise _fault(
                    f"{name!r}, already of {names[name]}", "each name once", "gpus", "rows", row.name, "nvml", index
                )
        for index, device in enumerate(row.pci_device_ids):
            shared = matrix.gpus_by_pci_id(device)
            plain = [other for other in shared if not any(sub.startswith(device[5:]) for sub in other.subsystems)]
            if len(shared) > 1 and len(plain) > 1:
                found = f"{device}, also of {next(other.name for other in shared if other is not row)}"
                raise _fault(found, "a subsystem that tells them apart", "gpus", "rows", row.name, "pci", index)


def open_only_gpus_are_known(matrix: Matrix) -> None:
    """GPUs that need the open module have a row."""
    names = {row.name for row in matrix.gpus}
    for index, name in enumerate(matrix.module_branches.open_only):
        if name not in names:
            raise _fault(repr(name), "a row of gpus", "architectures", "module_branches", "open_only", index)


def chips_are_known(matrix: Matrix) -> None:
    """A chip has the architecture of its capability; a PCI id has one chip; boards with a row of their own agree."""
    owners: dict[str, str] = {}
    for chip in matrix.chips.rows:
        path = ("chips", "rows", chip.name)
        owner = matrix.architecture_of(chip.compute_capability)
        if owner is None or owner.name != chip.architecture:
            expected = f"the architecture of {chip.compute_capability}" + (f", {owner.name}" if owner else "")
            raise _fault(repr(chip.architecture), expected, *path, "architecture")
        for board in chip.boards:
            for name, ids in board.names:
                _check_board(matrix, chip, board.gpu_class, name)
                for device in ids:
                    _check_device(matrix, chip, device, owners, *path, board.gpu_class)
        for device in chip.other_ids:
            _check_device(matrix, chip, device, owners, *path, "other")


def _check_board(matrix: Matrix, chip: Chip, gpu_class: str, name: str) -> None:
    row = matrix.gpu_by_name(name)
    if row and (row.compute_capability, row.gpu_class) != (chip.compute_capability, gpu_class):
        expected = f"{row.compute_capability} and {row.gpu_class}, as in gpus.rows"
        found = f"{name!r} with {chip.compute_capability} and {gpu_class}"
        raise _fault(found, expected, "chips", "rows", chip.name, gpu_class)


def _check_device(matrix: Matrix, chip: Chip, device: str, owners: dict[str, str], *path: str) -> None:
    if owners.setdefault(device, chip.name) != chip.name:
        raise _fault(f"{device}, already of {owners[device]}", "each PCI id of one chip", *path)
    for row in matrix.gpus_by_pci_id(f"10de:{device}"):
        if row.compute_capability != chip.compute_capability:
            expected = f"{row.compute_capability}, as {row.name} in gpus.rows"
            raise _fault(f"{device} with {chip.compute_capability}", expected, *path)


def vgpu_boards_are_known(matrix: Matrix) -> None:
    """Every part of a vGPU's name stands for a board of the matrix, and every size for a board of it."""
    for part, name in matrix.vgpu.boards:
        if matrix.identity_by_board(name) is None:
            raise _fault(repr(name), "the name of a board of gpus or chips", "vgpu", "boards", part)
    for series in matrix.vgpu.series:
        for part, _ in series.only_gib:
            if matrix.identity_by_board(dict(matrix.vgpu.boards).get(part, part)) is None:
                raise _fault(repr(part), "the board of a vGPU", "vgpu", "series", series.letter, "only_gib", part)


def denied_drivers_are_known(matrix: Matrix) -> None:
    """Boards of a denied driver have a row; branches of kernel_drivers are listed; bits of clocks stand once."""
    names = {row.name for row in matrix.gpus}
    for driver in matrix.faults.denied_drivers:
        for index, name in enumerate(driver.gpus):
            if name not in names:
                raise _fault(repr(name), "a row of gpus", "denied_drivers", "rows", driver.name, "gpus", index)
    branches = {row.branch for row in matrix.branches}
    for row in matrix.faults.kernel_drivers:
        for index, branch in enumerate(row.branches):
            if branch not in branches:
                expected = "a branch of driver_branches"
                raise _fault(str(branch), expected, "kernel_drivers", "rows", row.name, "branches", index)


def toolkit_minimum_is_sound(matrix: Matrix) -> None:
    """The least container toolkit has none of the weaknesses that are listed."""
    minimum = matrix.faults.container_toolkit_minimum
    if minimum and (weak := matrix.faults.container_toolkit_of(minimum)):
        raise _fault(f"{minimum}, which has {weak[0].name}", "a release without it", "container_toolkit", "minimum")


INVARIANTS: Final = (
    releases_ascend,
    newer_cuda_needs_no_older_driver,
    branches_ascend_with_cuda,
    forward_compatibility_is_one_answer,
    architectures_are_disjoint,
    builds_are_complete,
    pins_agree_with_the_builds,
    gpus_are_known,
    open_only_gpus_are_known,
    chips_are_known,
    vgpu_boards_are_known,
    denied_drivers_are_known,
    toolkit_minimum_is_sound,
)
