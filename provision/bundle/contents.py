"""EDGE: what lies in a bundle: which files are to get, and everything that is written beside them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from .. import __version__
from ..documents.envelope import Outcome, document, dumps
from ..documents.plan import plan_data
from ..errors import GpusetupError, InstallError
from ..matrix import default_matrix_path
from ..records import Evidence, MatrixIdentity
from .download import Wanted
from .manifest import (
    FILENAME,
    LAUNCHER,
    MATRIX,
    README,
    BundledFile,
    BundledHost,
    BundledPlan,
    BundledWheel,
    Manifest,
    render_manifest,
)
from .own import NAME, OwnWheel
from .target import Arch, Target, fits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..install.lock import Lock, LockedWheel
    from ..matrix import Matrix
    from ..records import Plan, SourceConflict


@dataclass(frozen=True, slots=True)
class ResolvedPlan:
    """A plan with the exact files of its target."""

    name: str
    plan: Plan
    target: Target
    lock: Lock
    conflicts: tuple[SourceConflict, ...]


@dataclass(frozen=True, slots=True)
class HostNeeds:
    """gpusetup's own needs on one Python and processor."""

    python: str
    arch: Arch
    lock: Lock

    @property
    def filename(self) -> str:
        """Name of its list of requirements."""
        return f"requirements-{self.python}-{self.arch}.txt"


def wanted_files(part: Path, resolved: Sequence[ResolvedPlan], hosts: Sequence[HostNeeds]) -> list[Wanted]:
    """Every file to get, once. Plans share wheels; a name that two plans have for different files is kept apart."""
    wanted: dict[str, Wanted] = {}
    for item in resolved:
        for wheel in item.lock.wheels:
            path = _wheel_path(item.name, wheel, wanted)
            wanted[path] = Wanted(wheel, part / path)
    for host in hosts:
        for wheel in host.lock.wheels:
            path = f"tool/{wheel.filename}"
            if path in wanted and wanted[path].wheel.sha256 != wheel.sha256:
                raise InstallError(
                    f"The package sources hold two files of the name {wheel.filename}.",
                    code="hash-mismatch",
                    evidence=(Evidence(wheel.filename, wheel.sha256, needs=wanted[path].wheel.sha256),),
                )
            wanted[path] = Wanted(wheel, part / path)
    return list(wanted.values())


def _wheel_path(plan: str, wheel: LockedWheel, taken: dict[str, Wanted]) -> str:
    shared = f"wheels/{wheel.filename}"
    is_other = shared in taken and taken[shared].wheel.sha256 != wheel.sha256
    return f"plans/{plan}/wheels/{wheel.filename}" if is_other else shared


def total_bytes(wanted: Sequence[Wanted]) -> int | None:
    """Bytes of all files; None when a source states no size."""
    sizes = [item.wheel.size_bytes for item in wanted]
    return None if None in sizes else sum(size or 0 for size in sizes)


def require_space(part: Path, wanted: Sequence[Wanted]) -> None:
    """InstallError when what is still to come cannot fit; files whose size nobody states count for nothing."""
    missing = [item for item in wanted if not item.path.is_file()]
    needed = sum(item.wheel.size_bytes or 0 for item in missing)
    free = shutil.disk_usage(part).free
    if needed > free:
        raise InstallError(
            f"{part.parent} has too little free space for this bundle.",
            code="disk-full",
            evidence=(Evidence("free space", free, "bytes", source=str(part.parent), needs=needed),),
            do=("free some space, or name a folder on another disk with --output",),
        )


def write_contents(
    part: Path,
    matrix: Matrix,
    own: OwnWheel,
    resolved: Sequence[ResolvedPlan],
    hosts: Sequence[HostNeeds],
    wanted: Sequence[Wanted],
) -> Manifest:
    """Everything that is not downloaded, then the manifest; what an earlier run left over goes."""
    taken = {item.path.relative_to(part).as_posix(): item for item in wanted}
    texts: dict[str, bytes] = {f"tool/{own.filename}": own.content}
    texts[MATRIX] = default_matrix_path().read_bytes()
    texts[LAUNCHER] = Path(__file__).with_name("launcher.sh").read_bytes()
    for host in hosts:
        texts[f"tool/{host.filename}"] = _requirements(host, own).encode()
    plans = []
    for item in resolved:
        bundled = _bundled(item, taken)
        data = Outcome("gpusetup.plan/1", "bundle create", plan_data(item.plan))
        texts[bundled.plan] = dumps(document(data)).encode()
        texts[bundled.lock] = _pylock(bundled, item.lock).encode()
        plans.append(bundled)
    texts[README] = _readme(plans, hosts).encode()
    for path, content in texts.items():
        _put(part / path, content, mode=0o755 if path == LAUNCHER else 0o644)
    files = [_fact(part, path) for path in sorted((*texts, *taken))]
    manifest = Manifest(
        gpusetup=__version__,
        created_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        matrix=MatrixIdentity(matrix.revision, matrix.read_on),
        plans=tuple(plans),
        hosts=tuple(BundledHost(host.python, host.arch, f"tool/{host.filename}") for host in hosts),
        files=tuple(files),
    )
    _prune(part, {file.path for file in files})
    _put(part / FILENAME, render_manifest(manifest).encode())
    return manifest


def _fact(part: Path, path: str) -> BundledFile:
    digest, size = hashlib.sha256(), 0
    with (part / path).open("rb") as stream:
        while piece := stream.read(2**20):
            digest.update(piece)
            size += len(piece)
    return BundledFile(path, size, digest.hexdigest())


def _bundled(item: ResolvedPlan, taken: dict[str, Wanted]) -> BundledPlan:
    def path_of(wheel: LockedWheel) -> str:
        own = f"plans/{item.name}/wheels/{wheel.filename}"
        return own if own in taken else f"wheels/{wheel.filename}"

    build = item.plan.build
    if build is None:
        raise GpusetupError("A plan without a build came into a bundle.")
    tags = item.target.tags
    misfits = [wheel.filename for wheel in item.lock.wheels if not fits(wheel.filename, tags)]
    if misfits:
        raise GpusetupError(f"The resolver took {misfits[0]}, which does not run on {item.target}.")
    return BundledPlan(
        name=item.name,
        torch=build.torch,
        variant=build.variant,
        target=item.target,
        plan=f"plans/{item.name}/plan.json",
        lock=f"plans/{item.name}/pylock.toml",
        wheels=tuple(BundledWheel(wheel.name, wheel.version, path_of(wheel)) for wheel in item.lock.wheels),
    )


def _pylock(plan: BundledPlan, lock: Lock) -> str:
    """The list as PEP 751 has it, with paths from where the file lies: `uv pip install -r pylock.toml` takes it."""
    by_name = {wheel.name: wheel for wheel in lock.wheels}
    lines = ['lock-version = "1.0"', 'created-by = "gpusetup"']
    for wheel in plan.wheels:
        here = PurePosixPath(plan.lock).parent.as_posix()
        path = os.path.relpath(wheel.path, here)
        locked = by_name[wheel.name]
        fields = [f"name = {json.dumps(locked.filename)}", f"path = {json.dumps(path)}"]
        fields.append(f'hashes = {{ sha256 = "{locked.sha256}" }}')
        lines += ["", "[[packages]]", f"name = {json.dumps(wheel.name)}", f"version = {json.dumps(wheel.version)}"]
        lines.append(f"wheels = [{{ {', '.join(fields)} }}]")
    return "\n".join(lines) + "\n"


def _requirements(host: HostNeeds, own: OwnWheel) -> str:
    """What the launcher gives to pip: every file with its hash; the first line names the pip that reads it."""
    pip = next((wheel.filename for wheel in host.lock.wheels if canonicalize_name(wheel.name) == "pip"), "")
    lines = [f"# pip: {pip}", f"{NAME}=={__version__} --hash=sha256:{own.sha256}"]
    lines += [f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}" for wheel in host.lock.wheels]
    return "\n".join(lines) + "\n"


def _readme(plans: Sequence[BundledPlan], hosts: Sequence[HostNeeds]) -> str:
    lines = ["Everything that gpusetup needs to install PyTorch on a machine without a network.", ""]
    lines += ["In the folder where this file lies:", ""]
    lines += ['  sh ./gpusetup install --bundle "$PWD" --env ~/gpusetup-env']
    lines += ["  sh ./gpusetup accept --env ~/gpusetup-env", ""]
    lines += ["Nothing is written here. gpusetup makes its own environment in the cache of the user who starts it.", ""]
    lines += ["Plans, of which install picks the one that fits the machine:", ""]
    lines += [f"  {plan.name}: torch {plan.torch}+{plan.variant}, {plan.target}" for plan in plans]
    pythons = ", ".join(f"{host.python} ({host.arch})" for host in hosts)
    lines += ["", f"gpusetup itself starts with Python {pythons}.", ""]
    lines += ['Whether the files are whole: sh ./gpusetup bundle verify "$PWD"']
    return "\n".join(lines) + "\n"


def _put(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file whole, with what the disk holds of it made sure of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.unlink(missing_ok=True)
    with partial.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    with suppress(OSError):  # a medium without modes
        partial.chmod(mode)
    partial.replace(path)


def _prune(part: Path, kept: set[str]) -> None:
    for parent, folders, names in os.walk(part, topdown=False):
        here = Path(parent)
        for name in (*names, *(name for name in folders if (here / name).is_symlink())):
            if (here / name).relative_to(part).as_posix() not in kept:
                (here / name).unlink()
        if here != part and not any(here.iterdir()):
            here.rmdir()


def sync(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # a file system that can't
    finally:
        os.close(descriptor)
