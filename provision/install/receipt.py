"""The receipt: what an environment holds, written beside it and read back; and the cheap proof that it still does."""

from __future__ import annotations

import csv
import json
import os
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from ..errors import InputError
from ..records import Build, Distribution, Evidence, Receipt, Verification
from ..versions import CudaVersion

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILENAME = "gpusetup-receipt.json"
_FORMAT = 1
_MAX_BYTES = 4 * 2**20


# --- records to plain values and back -----------------------------------------------------------


def build_to_dict(build: Build) -> dict[str, Any]:
    """A Build as JSON values."""
    cuda = build.cuda_runtime_version
    return {
        "torch": build.torch,
        "variant": build.variant,
        "cuda_runtime_version": str(cuda) if cuda else None,
        "python": build.python,
        "wheel_tag": build.wheel_tag,
        "requirements": list(build.requirements),
        "index": build.index,
        "is_general_index_default": build.is_general_index_default,
    }


def build_from_dict(value: Any, where: str) -> Build:
    """A Build out of JSON values; InputError names the exact place of what is wrong."""
    cuda = _at(value, "cuda_runtime_version", where, str, optional=True)
    try:
        cuda_version = CudaVersion.parse(cuda) if cuda is not None else None
    except ValueError as err:
        raise _wrong(f"{where}.cuda_runtime_version", cuda, "12.1") from err
    requirements = _at(value, "requirements", where, list)
    for number, line in enumerate(requirements):
        _typed(line, f"{where}.requirements[{number}]", str)
    return Build(
        torch=_at(value, "torch", where, str),
        variant=_at(value, "variant", where, str),
        cuda_runtime_version=cuda_version,
        python=_at(value, "python", where, str),
        wheel_tag=_at(value, "wheel_tag", where, str),
        requirements=tuple(requirements),
        index=_at(value, "index", where, str),
        is_general_index_default=_at(value, "is_general_index_default", where, bool),
    )


def receipt_to_dict(receipt: Receipt) -> dict[str, Any]:
    """A Receipt as JSON values: the data of document receipt/1."""
    return {
        "environment": {"path": receipt.path, "python": receipt.python},
        "backend": receipt.backend,
        "plan_digest": receipt.plan_digest,
        "build": build_to_dict(receipt.build),
        "distributions": [
            {"name": item.name, "version": item.version, "sha256": item.sha256, "source": item.source}
            for item in receipt.distributions
        ],
        "verified": [
            {"id": item.id, "expected": item.expected, "found": item.found, "passed": item.passed}
            for item in receipt.verified
        ],
        "seconds": dict(receipt.seconds),
        "reused": receipt.reused,
    }


def receipt_from_dict(value: Any, where: str = "receipt") -> Receipt:
    """A Receipt out of JSON values; InputError names the exact place of what is wrong."""
    environment = _at(value, "environment", where, dict)
    seconds = _at(value, "seconds", where, dict)
    return Receipt(
        path=_at(environment, "path", f"{where}.environment", str),
        python=_at(environment, "python", f"{where}.environment", str),
        backend=_at(value, "backend", where, str),
        plan_digest=_at(value, "plan_digest", where, str),
        build=build_from_dict(_at(value, "build", where, dict), f"{where}.build"),
        distributions=_each(value, "distributions", where, _distribution),
        verified=_each(value, "verified", where, _verification),
        seconds=tuple((name, _typed(s, f"{where}.seconds.{name}", (int, float))) for name, s in seconds.items()),
        reused=_at(value, "reused", where, bool),
    )


def _distribution(value: Any, where: str) -> Distribution:
    return Distribution(
        _at(value, "name", where, str),
        _at(value, "version", where, str),
        _at(value, "sha256", where, str, optional=True),
        _at(value, "source", where, str, optional=True),
    )


def _verification(value: Any, where: str) -> Verification:
    return Verification(
        _at(value, "id", where, str),
        _at(value, "expected", where, str, optional=True),
        _at(value, "found", where, str, optional=True),
        passed=_at(value, "passed", where, bool),
    )


def _each(value: Any, key: str, where: str, load: Callable[[Any, str], Any]) -> tuple[Any, ...]:
    items = _at(value, key, where, list)
    return tuple(load(item, f"{where}.{key}[{number}]") for number, item in enumerate(items))


def _at(value: Any, key: str, where: str, kind: type, *, optional: bool = False) -> Any:
    if not isinstance(value, dict):
        raise _wrong(where, value, "an object")
    if key not in value:
        raise _wrong(f"{where}.{key}", "nothing", "a value")
    return None if optional and value[key] is None else _typed(value[key], f"{where}.{key}", kind)


def _typed(value: Any, where: str, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise _wrong(where, value, " or ".join(_KINDS[item] for item in kinds))
    return value


_KINDS: dict[type, str] = {
    str: "a text",
    list: "a list",
    dict: "an object",
    bool: "true or false",
    int: "a number",
    float: "a number",
}


def _wrong(where: str, found: Any, expected: str) -> InputError:
    return InputError(
        f"{where} is not what it should be.",
        evidence=(Evidence("found", repr(found)[:200], source=where, needs=expected),),
    )


# --- beside the environment ---------------------------------------------------------------------


def write_receipt(receipt: Receipt, folder: Path) -> None:
    """Put the receipt into the environment's folder, whole or not at all."""
    part = folder / f"{FILENAME}.part"
    with part.open("w", encoding="utf-8") as stream:
        json.dump({"format": _FORMAT, "receipt": receipt_to_dict(receipt)}, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(folder / FILENAME)


def read_receipt(environment: Path) -> Receipt | None:
    """The receipt of an environment; None when there is none, or none that can be read."""
    path = environment / FILENAME
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            return None
        return receipt_from_dict(document.get("receipt"))
    except (OSError, ValueError, RecursionError, InputError):
        return None


def first_damage(environment: Path, receipt: Receipt) -> str | None:
    """What no longer is as the receipt says, in one sentence; None when every file of every distribution is there.

    Looks at names and sizes only, as each distribution's RECORD states them: no import, no hash, well under a second.
    """
    python = environment / "bin/python"
    if not os.access(python, os.X_OK):
        return f"{python} does not run"
    site = next(iter(sorted(environment.glob("lib/python*/site-packages"))), None)
    if site is None:
        return f"{environment} has no site-packages"
    infos = {_identity(folder): folder for folder in site.glob("*.dist-info")}
    for item in receipt.distributions:
        folder = infos.get((canonicalize_name(item.name), item.version))
        if folder is None:
            return f"{item.name} {item.version} is not there any more"
        damage = _damaged_file(site, folder)
        if damage:
            return f"{item.name} {item.version}: {damage}"
    return None


def _identity(folder: Path) -> tuple[str, str]:
    name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
    return canonicalize_name(name), version


def _damaged_file(site: Path, info: Path) -> str | None:
    try:
        with (info / "RECORD").open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.reader(stream) if len(row) == 3 and row[2]]  # noqa: PLR2004 - path, hash, size
    except (OSError, UnicodeDecodeError, csv.Error):
        return "its RECORD cannot be read"
    root = str(site)
    for path, _, size in rows:
        try:
            held = os.stat(os.path.join(root, path)).st_size  # noqa: PTH116, PTH118 - 20,000 files, Path is slow
        except OSError:
            return f"{path} is missing"
        if str(held) != size:
            return f"{path} has {held} bytes, not {size}"
    return None
