"""matrix.yaml as plain text and tuples of numbers, read without the product's loader."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

#: Every scalar stays text, so that 12.10 stays 12.10; nothing but mappings, lists and text can come of it.
_AS_TEXT: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

MATRIX = Path(__file__).parents[2] / "matrix.yaml"


@lru_cache(maxsize=4096)
def numbers(text: str) -> tuple[int, ...]:
    """(12, 10) for 12.10: compared number by number, so that 12.10 is newer than 12.9."""
    return tuple(int(part) for part in text.split("."))


@lru_cache(maxsize=4096)
def code(name: str) -> tuple[int, int]:
    """(12, 0) for sm_120 and compute_120: the last digit is the minor."""
    digits = re.sub(r"\D", "", name)
    return int(digits[:-1]), int(digits[-1])


@lru_cache(maxsize=4096)
def cuda_of(variant: str) -> tuple[int, int] | None:
    """(13, 0) for cu130; None for cpu."""
    return None if variant == "cpu" else code(variant)


@lru_cache(maxsize=4096)
def at_most(left: tuple[int, ...], right: tuple[int, ...]) -> bool:
    """left <= right where missing parts are zero: 580 equals 580.0.0."""
    length = max(len(left), len(right))
    return left + (0,) * (length - len(left)) <= right + (0,) * (length - len(right))


class Facts:
    """The parts of the matrix that decide, all text; `null` becomes None."""

    def __init__(self, path: Path = MATRIX) -> None:
        data: dict[str, Any] = _without_null(yaml.load(path.read_text("utf-8"), Loader=_AS_TEXT))  # noqa: S506
        self.assumed_pythons: list[str] = data["torch"]["assumed_pythons"]
        self.releases: dict[str, Any] = data["torch"]["releases"]
        self.tegra = {numbers(text) for text in data["cubins"]["tegra"]}
        self.cubins = {code(name): row for name, row in data["cubins"]["rows"].items()}
        self.majors = {int(major): row for major, row in data["cuda_majors"]["rows"].items()}
        self.wsl_branch = int(data["cuda_majors"]["wsl_branch"])
        self.forward: dict[str, Any] = data["forward_compatibility"]
        self.branches = {int(number): row for number, row in data["driver_branches"]["rows"].items()}
        self.toolkits: dict[str, Any] = data["cuda_toolkits"]["rows"]
        self.architectures: dict[str, Any] = data["architectures"]["rows"]
        self.open_only = set(data["architectures"]["module_branches"]["open_only"])
        self.transformers: dict[str, Any] = data["transformers"]["rows"]
        self.gpus: dict[str, Any] = data["gpus"]["rows"]
        self.by_name = {name: key for key, row in self.gpus.items() for name in row["nvml"]}
        self.by_pci: dict[str, list[str]] = {}
        for key, row in self.gpus.items():
            for pci in row["pci"]:
                self.by_pci.setdefault(pci, []).append(key)

    def pythons(self) -> list[str]:
        """Every Python of the matrix, oldest first: 3.8, ..., 3.14, 3.14t."""
        tags = {
            tag for row in self.releases.values() for wheels in row["platforms"].values() for tag in wheels["pythons"]
        }
        return sorted((f"{tag[2]}.{tag[3:]}" for tag in tags), key=lambda text: numbers(text.rstrip("t")))


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_null(entry) for entry in value]
    return None if value == "null" else value
