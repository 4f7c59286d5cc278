"""What `matrix show` was asked about, from the matrix to the records of its document. Pure lookups, no judgement."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Final, Literal

from ..documents.matrix_data import (
    MatrixBan,
    MatrixBoard,
    MatrixBuild,
    MatrixCuda,
    MatrixData,
    MatrixDriver,
    MatrixGpu,
    MatrixOverview,
    MatrixPlatform,
    MatrixRelease,
    MatrixSite,
    MatrixToolkit,
)
from ..matrix.companions import companions_of
from ..matrix.places import path_text
from .matrix_words import Selectors, driver_of, known_minors, minors_of, near, releases_of, unknown_word

if TYPE_CHECKING:
    from ..matrix.model import Architecture, Chip, DriverBranch, GpuRow, TorchRelease, Variant
    from ..matrix.site import Site
    from ..matrix.tables import Matrix
    from ..versions import ComputeCapability, CudaVersion
    from .matrix_words import AskedDriver

RunsAs = Literal["binary", "ptx", "unknown"]

_WORST: Final[tuple[RunsAs, ...]] = ("unknown", "ptx", "binary")


def matrix_data(matrix: Matrix, *, path: str, selectors: Selectors | None = None) -> MatrixData:
    """What a matrix holds, with the rows that were asked for; UsageError names a word that leads to none."""
    asked = selectors or Selectors()
    releases = matrix.releases if asked.torch is None else releases_of(matrix, asked.torch)
    minors = () if asked.cuda is None else minors_of(matrix, asked.cuda)
    driver = None if asked.driver is None else driver_of(matrix, asked.driver)
    gpus, boards = ((), ()) if asked.gpu is None else _gpus(matrix, asked.gpu, driver)
    devices = frozenset(row.compute_capability for row in gpus) | {row.compute_capability for row in boards}
    builds: tuple[MatrixBuild, ...] = ()
    gpu_rows = tuple(_gpu(matrix, row, driver) for row in gpus)
    if not asked.is_empty() and False not in [*(row.is_served for row in gpu_rows), *(row.is_served for row in boards)]:
        pairs = ((release, variant) for release in releases for variant in release.variants)
        of_cuda = (pair for pair in pairs if asked.cuda is None or pair[1].cuda in minors)
        builds = tuple(build for pair in of_cuda if (build := _build(matrix, *pair, devices=devices, driver=driver)))
    found = {build.torch for build in builds}
    return MatrixData(
        path=path,
        revision=matrix.revision,
        read_on=matrix.read_on,
        torch_releases=len(matrix.releases),
        builds=sum(len(release.variants) for release in matrix.releases),
        gpus=len(matrix.gpus),
        rows=(
            *(_build_text(build) for build in builds if asked.torch),
            *map(_gpu_text, gpus),
            *map(_board_text, boards),
        ),
        overview=_overview(matrix) if selectors is not None and asked.is_empty() else None,
        release_rows=tuple(_release(matrix, row) for row in releases if row.version in found) if asked.torch else (),
        build_rows=builds,
        cuda_rows=tuple(_cuda(matrix, minor) for minor in minors),
        gpu_rows=gpu_rows,
        board_rows=boards,
        driver_rows=(_driver_row(matrix, driver),) if driver else (),
        site=_site(matrix.site) if matrix.site else None,
    )


def _gpus(matrix: Matrix, word: str, driver: AskedDriver | None) -> tuple[tuple[GpuRow, ...], tuple[MatrixBoard, ...]]:
    """GPUs with a row and boards without one: those of that PCI id, else of that very name, else with that in it."""
    text = " ".join(word.casefold().split())
    known = {row: [name.casefold() for name in (row.name, *row.nvml_names)] for row in matrix.gpus}
    boards = [board for chip in matrix.chips.rows for board in _boards(matrix, chip, driver)]
    found = matrix.gpus_by_pci_id(text)
    others = [board for board in boards if text in board.pci_device_ids and not found]
    if not found and not others:
        found = tuple(row for row, names in known.items() if text in names)
        others = [board for board in boards if text == board.name.casefold()]
    if not found and not others:
        found = tuple(row for row, names in known.items() if any(text in name for name in names))
        others = [board for board in boards if text in board.name.casefold()]
    if not found and not others:
        names = [*(row.name for row in matrix.gpus), *(board.name for board in boards)]
        raise unknown_word("gpu", word, "GPU", near(word, names), "a part of a name, or a PCI id such as 10de:2330")
    return found, tuple(others)


def _boards(matrix: Matrix, chip: Chip, driver: AskedDriver | None) -> list[MatrixBoard]:
    """The boards of a chip that have no row of their own."""
    owner = matrix.architecture_of(chip.compute_capability)
    is_served = _serves(driver.branch, owner, chip.compute_capability) if driver and owner else None
    return [
        MatrixBoard(
            name=name,
            chip=chip.name,
            architecture=chip.architecture,
            compute_capability=chip.compute_capability,
            gpu_class=board.gpu_class,
            pci_device_ids=tuple(f"10de:{device}" for device in ids),
            is_served=is_served,
        )
        for board in chip.boards
        for name, ids in board.names
        if matrix.gpu_by_name(name) is None
    ]


# --- rows ---------------------------------------------------------------------------------------


def _build(
    matrix: Matrix,
    release: TorchRelease,
    variant: Variant,
    *,
    devices: frozenset[ComputeCapability],
    driver: AskedDriver | None,
) -> MatrixBuild | None:
    """The row of a build; None when a GPU or the driver that was asked about rules it out."""
    cuda = variant.cuda
    major = matrix.cuda_major(cuda.major) if cuda else None
    start: Literal["native", "minor-version"] | None = None
    if driver and cuda and major:
        if driver.version < (major.windows if driver.is_windows else major.linux):
            return None
        start = "native" if driver.branch.cuda >= cuda else "minor-version"
    runs_as = _runs_as(matrix, variant, devices) if devices else None
    if (driver or devices) and cuda is None:
        return None
    if devices and runs_as is None:
        return None
    return MatrixBuild(
        torch=release.version,
        variant=variant.name,
        cuda=cuda,
        toolkit=variant.toolkit,
        platforms=variant.on,
        unknown_platforms=variant.unknown_on,
        codes={name: None if codes is None else tuple(map(_sm, codes)) for name, codes in variant.arch},
        ptx=None if variant.ptx is None else tuple(f"compute_{c.major}{c.minor}" for c in variant.ptx),
        starts_on=major.linux if major else None,
        native_from=matrix.native_driver(cuda) if cuda else None,
        start=start,
        runs_as=runs_as,
        doubtful=variant.doubtful,
        note=variant.note,
        place=matrix.place_of_build(release.version, variant.name),
    )


def _sm(code: tuple[int, int]) -> str:
    return f"sm_{code[0]}{code[1]}"


def _runs_as(matrix: Matrix, variant: Variant, devices: frozenset[ComputeCapability]) -> RunsAs | None:
    """How the devices run a build, by the one that fares worst; None when one of them can't."""
    answers = [_runs_on(matrix, variant, device) for device in devices]
    return None if None in answers else next(answer for answer in _WORST if answer in answers)


def _runs_on(matrix: Matrix, variant: Variant, device: ComputeCapability) -> RunsAs | None:
    """How a device runs a build, on the platform where it fares best."""
    cuda = variant.cuda
    lists = [codes for _, codes in variant.arch]
    read = [matrix.cubin(code) for codes in lists for code in codes or ()]
    if cuda is None:
        return None
    if any(row.runs_on(device, cuda) for row in read if row):
        return "binary"
    if any(code <= device for code in variant.ptx or ()):
        return "ptx"
    owner = matrix.architecture_of(device)
    return "unknown" if None in lists and owner and _compiles(owner, cuda) else None


def _compiles(row: Architecture, cuda: CudaVersion) -> bool:
    return (row.first_cuda is None or row.first_cuda <= cuda) and (row.last_cuda is None or cuda <= row.last_cuda)


def _release(matrix: Matrix, row: TorchRelease) -> MatrixRelease:
    companions = row.companions
    wheels = row.platform("linux_x86_64")
    tags = [tag for tag in wheels.pythons if not tag.endswith("t")] if wheels else []
    # What the newest ordinary Python of the release may have beside it.
    beside = companions_of(matrix, row, f"{tags[-1][2]}.{tags[-1][3:]}", has_triton=False) if tags else ()
    wanted = {
        "transformers": str(companions.transformers),
        "torchvision": companions.torchvision,
        "torchaudio": companions.torchaudio,
        "triton": companions.triton,
        "numpy": companions.numpy,
        "setuptools": companions.setuptools,
        "safetensors": companions.safetensors,
        **{c.name: c.specifier for c in beside if c.name not in ("torchvision", "torchaudio")},
    }
    platforms = (MatrixPlatform(p.platform, p.pythons, p.glibc, p.general_variant) for p in row.platforms)
    return MatrixRelease(
        version=row.version,
        released=row.released,
        platforms=tuple(platforms),
        companions={name: text for name, text in wanted.items() if text},
        note=row.note,
        source=row.source,
        read_on=row.read_on,
    )


def _cuda(matrix: Matrix, minor: CudaVersion) -> MatrixCuda:
    major = matrix.cuda_major(minor.major)
    return MatrixCuda(
        cuda=minor,
        toolkits=tuple(
            MatrixToolkit(row.version, row.released, row.linux, row.windows, row.doubtful)
            for row in matrix.toolkits
            if row.cuda == minor
        ),
        linux=major.linux if major else None,
        windows=major.windows if major else None,
        first_branch=next((row.branch for row in matrix.branches if row.cuda >= minor), None),
        architectures=tuple(row.name for row in matrix.architectures if _compiles(row, minor)),
        doubtful=major.doubtful if major else None,
    )


def _gpu(matrix: Matrix, row: GpuRow, driver: AskedDriver | None) -> MatrixGpu:
    owner = matrix.architecture_of(row.compute_capability)
    needs_open = row.name in matrix.module_branches.open_only
    peaks = {f.name: getattr(row.dense_tflops, f.name) for f in fields(row.dense_tflops)}
    return MatrixGpu(
        name=row.name,
        nvml_names=row.nvml_names,
        architecture=row.architecture,
        compute_capability=row.compute_capability,
        gpu_class=row.gpu_class,
        pci_device_ids=row.pci_device_ids,
        memory_gib=row.memory_gib,
        memory_mib=row.memory_mib,
        bandwidth_gb_s=row.bandwidth_gb_s,
        tdp_w=row.tdp_w,
        nvlink_gb_s=row.nvlink_gb_s,
        dense_tflops={name: figure for name, figure in peaks.items() if figure is not None},
        kernel_module="open" if needs_open or owner is None else owner.kernel_module,
        first_branch=_first_branch(owner, row.compute_capability) if owner else None,
        first_driver=owner.oldest_driver(row.compute_capability, is_windows=False) if owner else None,
        last_branch=owner.last_branch if owner else None,
        is_served=_serves(driver.branch, owner, row.compute_capability) if driver and owner else None,
        note=row.note,
        doubtful=row.doubtful,
        source=row.source,
    )


def _first_branch(row: Architecture, capability: ComputeCapability | None) -> int | None:
    """First branch that serves the capability, which may have come later than its architecture."""
    return next((branch for code, branch in row.later if code == capability), row.first_branch)


def _serves(branch: DriverBranch, row: Architecture, capability: ComputeCapability | None = None) -> bool:
    first = _first_branch(row, capability)
    return (first or 0) <= branch.branch and (row.last_branch is None or branch.branch <= row.last_branch)


def _driver_row(matrix: Matrix, driver: AskedDriver) -> MatrixDriver:
    row, all_rows = driver.branch, matrix.architectures
    dropped = {a.name: a.last_branch for a in all_rows if a.last_branch is not None and a.last_branch < row.branch}
    not_yet = {a.name: a.first_branch for a in all_rows if a.first_branch is not None and a.first_branch > row.branch}
    return MatrixDriver(
        asked=driver.asked,
        branch=row.branch,
        cuda=row.cuda,
        type=row.type,
        released=row.released,
        eol=row.eol,
        latest_linux=row.latest_linux,
        latest_windows=row.latest_windows,
        kernel_modules=_kernel_modules(matrix, row.branch),
        serves=tuple(a.name for a in all_rows if _serves(row, a)),
        dropped=dropped,
        not_yet=not_yet,
        is_forbidden=bool(matrix.site and matrix.site.forbids_branch(row.branch)),
        doubtful=row.doubtful,
    )


def _kernel_modules(matrix: Matrix, branch: int) -> tuple[str, ...]:
    limits = matrix.module_branches
    if branch < limits.first_open:
        return ("proprietary",)
    if branch > limits.last_proprietary:
        return ("open",)
    return ("open", "proprietary") if branch >= limits.open_default else ("proprietary", "open")


def _site(site: Site) -> MatrixSite:
    bans = tuple(MatrixBan(str(ban), ban.reason, ban.place) for ban in site.bans)
    return MatrixSite(site.path, site.summary, bans, tuple(path_text(row.path) for row in site.rows))


def _overview(matrix: Matrix) -> MatrixOverview:
    newest, known = matrix.releases[-1], matrix.driver_sources
    classes: dict[str, int] = {}
    for row in matrix.gpus:
        classes[row.gpu_class] = classes.get(row.gpu_class, 0) + 1
    alive = (b for b in matrix.branches if b.type in ("LTS", "PB") and b.eol and b.eol >= matrix.read_on)
    return MatrixOverview(
        torch=(matrix.releases[0].version, newest.version),
        newest_variants=tuple(variant.name for variant in newest.variants),
        cuda=tuple(map(str, known_minors(matrix))),
        branches=tuple(row.branch for row in matrix.branches),
        supported_branches=tuple(row.branch for row in alive),
        architectures={row.name: row.capabilities for row in matrix.architectures},
        gpu_classes=classes,
        sources=len(matrix.sources),
        driver_distributions={
            row.name: repository.fingerprint if (repository := known.repository(row.repository or "")) else None
            for row in known.distributions
        },
    )


# --- the rows as lines of text ------------------------------------------------------------------


def _build_text(build: MatrixBuild) -> str:
    codes = build.codes.get("linux_x86_64")
    code = " ".join(codes) if codes else "not read" if build.cuda else ""
    return f"{build.torch:<8}{build.variant:<7}{code:<60}{'doubtful' if build.doubtful else ''}".rstrip()


def _board_text(row: MatrixBoard) -> str:
    return f"{row.name:<42}{row.compute_capability!s:<6}{row.architecture:<11}{row.chip}"


def _gpu_text(row: GpuRow) -> str:
    memory = f"{row.memory_gib:g} GiB" if row.memory_gib else ""
    return f"{row.name:<42}{row.compute_capability!s:<6}{row.architecture:<11}{memory}".rstrip()
