"""Version numbers that are not PEP 440: driver releases, CUDA releases, compute capabilities, glibc."""

from __future__ import annotations

import re
from typing import NamedTuple

_DRIVER = re.compile(r"\d+(?:\.\d+){0,3}")
_RELEASE = re.compile(r"\d+(?:\.\d+)*")


def torch_order(version: str) -> tuple[tuple[int, ...], bool, str]:
    """A sort key for versions of torch: 2.9.1, and 2.14.0a0+b2c75dd of NVIDIA's images, which comes before 2.14.0.

    For the versions of the matrix it agrees with `packaging`, which takes a tenth of a cold plan to load.
    """
    match = _RELEASE.match(version)
    numbers = match.group() if match else ""
    rest = version[len(numbers) :]
    is_final = not rest or rest[0] in "+."
    return tuple(int(part) for part in numbers.split(".") if part), is_final, rest


class DriverVersion:
    """An NVIDIA driver release such as 535.104.05: keeps its text, compares its integers.

    `packaging.Version` would print 535.104.5, which nobody finds in `nvidia-smi`.
    """

    __slots__ = ("_key", "text")

    def __init__(self, text: str) -> None:
        if not _DRIVER.fullmatch(text):
            msg = f"not a driver version: {text!r} (expected numbers such as 535.104.05)"
            raise ValueError(msg)
        self.text = text
        numbers = [int(part) for part in text.split(".")]
        self._key = (*numbers, *(0,) * (4 - len(numbers)))  # 535.104 is 535.104.0

    @property
    def branch(self) -> int:
        """Leading number: 535 for 535.104.05."""
        return self._key[0]

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"DriverVersion({self.text!r})"

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DriverVersion) and self._key == other._key

    # Each of them, though the decorator could make three of one: drivers are compared a hundred times per plan.
    def __lt__(self, other: DriverVersion) -> bool:
        return self._key < other._key

    def __le__(self, other: DriverVersion) -> bool:
        return self._key <= other._key

    def __gt__(self, other: DriverVersion) -> bool:
        return self._key > other._key

    def __ge__(self, other: DriverVersion) -> bool:
        return self._key >= other._key


class CudaVersion(NamedTuple):
    """A CUDA release, major and minor: 12.10 is newer than 12.9."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> CudaVersion:
        """From '12.1', '12.1.105' or a variant name such as 'cu121'; ValueError otherwise."""
        if match := re.fullmatch(r"cu(\d{2})(\d)", text):
            return cls(int(match[1]), int(match[2]))
        if match := re.fullmatch(r"(\d+)\.(\d+)(?:\.\d+)*", text):
            return cls(int(match[1]), int(match[2]))
        msg = f"not a CUDA version: {text!r} (expected 12.1 or cu121)"
        raise ValueError(msg)

    @classmethod
    def from_nvml(cls, number: int) -> CudaVersion:
        """From NVML's integer: 12020 is 12.2 (nvmlSystemGetCudaDriverVersion: 1000 x major + 10 x minor)."""
        return cls(number // 1000, number % 1000 // 10)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


class ComputeCapability(NamedTuple):
    """Compute capability of a device, printed 8.6."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> ComputeCapability:
        """From '8.6', 'sm_86', 'sm_120' or 'compute_90'; ValueError otherwise."""
        if match := re.fullmatch(r"(?:sm|compute)_(\d+)(\d)", text) or re.fullmatch(r"(\d+)\.(\d)", text):
            return cls(int(match[1]), int(match[2]))
        msg = f"not a compute capability: {text!r} (expected 8.6 or sm_86)"
        raise ValueError(msg)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


class Glibc(NamedTuple):
    """A glibc release: 2.28."""

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Glibc:
        """From '2.28'; ValueError otherwise."""
        if match := re.fullmatch(r"(\d+)\.(\d+)(?:\.\d+)*", text):
            return cls(int(match[1]), int(match[2]))
        msg = f"not a glibc version: {text!r} (expected 2.28)"
        raise ValueError(msg)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"
