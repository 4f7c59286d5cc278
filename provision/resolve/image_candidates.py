"""Every container image of the matrix, in the order in which it is preferred, with what the rules compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from ..matrix.containers import FLAVOURS
from ..matrix.model import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..matrix import Matrix
    from ..matrix.containers import HubRelease, NgcImage
    from ..matrix.model import Numbers
    from ..versions import CudaVersion
    from .candidates import Candidate, Catalogue

_DECISIVE: Final = ("torch", "cuda", "least_capability")
"""Facts of an image that decide; the others are told, not asked."""
_HUB_PLATFORM: Final = "linux_x86_64"
_IGPU_ENDS: Final = 7
"""From this JetPack on Jetson takes the image of every other aarch64 machine."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageCandidate:
    """One image, with what the rules compare."""

    family: Literal["ngc", "pytorch"]
    reference: str
    igpu_reference: str | None
    """The image of a Jetson, where it is another one."""
    torch: str
    release: Numbers
    """The release that torch is numbered after: (2, 14, 0)."""
    is_final: bool
    """Whether torch is the release itself, not a build from before it."""
    cuda: CudaVersion | None
    python: str | None
    is_devel: bool
    """Whether it is the larger flavour with a compiler."""
    is_seen: bool
    """Whether somebody uses the tag; others follow from the release build matrix."""
    has_compat: bool
    """Whether it brings the compatibility package of its CUDA."""
    is_gated: bool
    """Whether NVIDIA_REQUIRE_CUDA keeps it from starting on older drivers."""
    on: tuple[str, ...]
    ngc: NgcImage | None
    wheel: Candidate | None
    """The build that a pytorch/pytorch image holds."""
    doubts: tuple[str, ...]
    place: str

    @property
    def variant(self) -> str:
        """cu132; 'unknown' where nobody has read the CUDA."""
        return f"cu{self.cuda.major}{self.cuda.minor}" if self.cuda else "unknown"


def image_candidates(catalogue: Catalogue) -> tuple[ImageCandidate, ...]:
    """Every image of the matrix, the newest torch first."""
    matrix = catalogue.matrix
    wheels = {
        (wheel.release.version, wheel.variant.name): wheel
        for wheel in catalogue.candidates(_HUB_PLATFORM, is_cpu=False)
    }
    found = [image for row in matrix.containers.hub for image in _of_hub(matrix, row, wheels)]
    found += [_of_ngc(matrix, row) for row in reversed(matrix.containers.ngc)]
    return tuple(sorted(found, key=torch_order))


def torch_order(candidate: ImageCandidate) -> tuple[Numbers, bool]:
    """Sorts the newest torch first; a build from before a release stands behind the release."""
    return tuple(-number for number in candidate.release), not candidate.is_final


def _of_ngc(matrix: Matrix, row: NgcImage) -> ImageCandidate:
    known, public = matrix.containers, row.torch.partition("+")[0]
    has_igpu = row.jetpack is not None and numbers(row.jetpack)[0] < _IGPU_ENDS
    doubts = tuple(f"{name} is not printed for this tag" for name in row.unverified if name in _DECISIVE)
    return ImageCandidate(
        family="ngc",
        reference=known.ngc_reference.replace("{tag}", row.tag),
        igpu_reference=known.igpu_reference.replace("{tag}", row.tag) if has_igpu else None,
        torch=row.torch,
        release=numbers(public.removesuffix("a0")),
        is_final=not public.endswith("a0"),
        cuda=row.cuda,
        python=row.python,
        is_devel=False,
        is_seen=True,
        has_compat=True,
        is_gated=False,
        on=row.on,
        ngc=row,
        wheel=None,
        doubts=(*doubts, *((row.doubtful,) if row.doubtful else ())),
        place=f"matrix.yaml: containers.ngc.rows[{row.tag!r}]",
    )


def _of_hub(matrix: Matrix, row: HubRelease, wheels: dict[tuple[str, str], Candidate]) -> Iterator[ImageCandidate]:
    for cuda in (*row.seen, *row.derived):
        for flavour in FLAVOURS:
            words = {"torch": row.torch, "cuda": str(cuda), "cudnn": row.cudnn, "flavour": flavour}
            wheel = wheels.get((row.torch, f"cu{cuda.major}{cuda.minor}"))
            is_devel = flavour != FLAVOURS[0]
            is_on_cuda = is_devel and numbers(row.torch) < matrix.containers.hub_cuda_below
            doubtful = wheel.variant.doubtful if wheel else None
            yield ImageCandidate(
                family="pytorch",
                reference=matrix.containers.hub_reference.format_map(words),
                igpu_reference=None,
                torch=row.torch,
                release=numbers(row.torch),
                is_final=True,
                cuda=cuda,
                python=None,
                is_devel=is_devel,
                is_seen=cuda in row.seen,
                has_compat=is_on_cuda,
                is_gated=is_on_cuda,
                on=matrix.containers.hub_on,
                ngc=None,
                wheel=wheel,
                doubts=(f"its build: {doubtful}",) if doubtful else (),
                place=f"matrix.yaml: containers.pytorch.rows[{row.torch!r}]",
            )
