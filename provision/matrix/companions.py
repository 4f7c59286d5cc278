"""What works beside a torch release, by the matrix alone. Of these only transformers is installed by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Companion
from .model import python_minor

if TYPE_CHECKING:
    from collections.abc import Callable

    from .model import Numbers, TorchRelease, TransformersMinor
    from .tables import Matrix


def companions_of(
    matrix: Matrix,
    release: TorchRelease,
    python: str,
    *,
    has_triton: bool,
    allows: Callable[[str], bool] | None = None,
) -> tuple[Companion, ...]:
    """Name and specifier of what works with a release on a Python (3.12, 3.14t).

    `has_triton`: whether the build asks for triton, which CPU builds and builds for Windows and macOS do not.
    `allows` narrows transformers down, whose newest working release decides the range of tokenizers.
    """
    own = release.companions
    found = [Companion("torchvision", f"=={own.torchvision}"), Companion("torchaudio", f"=={own.torchaudio}")]
    if has_triton:
        found.append(Companion("triton", own.triton if own.triton[0] in "<>=!~" else f"=={own.triton}"))
    if (pair := newest_transformers(matrix, release, python, allows)) and pair[0].tokenizers:
        found.append(Companion("tokenizers", pair[0].tokenizers))
    for name, newest in (
        ("accelerate", matrix.newest_accelerate(release, python)),
        ("peft", matrix.newest_peft(release, python)),
    ):
        if newest:
            found.append(Companion(name, "<=" + ".".join(map(str, newest))))
    return tuple(found)


def newest_transformers(
    matrix: Matrix, release: TorchRelease, python: str, allows: Callable[[str], bool] | None = None
) -> tuple[TransformersMinor, Numbers] | None:
    """The newest transformers known to work with a torch release on a Python, with its row; None when there is none."""
    minor = python_minor(python)
    for row in reversed(matrix.transformers):
        if minor < row.python or (row.torch and release.key < row.torch):
            continue
        if row.python_below and minor >= row.python_below:
            continue
        for patch in range(row.last[-1], row.first[-1] - 1, -1):
            version = (*row.first[:-1], patch)
            if release.companions.transformers.holds(version) and (
                allows is None or allows(".".join(map(str, version)))
            ):
                return row, version
    return None
