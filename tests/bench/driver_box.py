"""A pretended GPU machine in a throw-away system: plans are made of what its packages say, and carried out on it.

    box = DriverBox(folder, "ubuntu 24.04", ("NVIDIA H100 80GB HBM3",))
    with box:
        plan = box.plan()
        box.carry_out(plan)

Package managers, signatures, files and the runner of gpusetup are real; packages are empty, keys are made here and take
the place of NVIDIA's in the plan, and the kernel, the PCI bus and services are pretended.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pickle
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provision.drivers import DriverWish, plan_driver
from provision.drivers.records import Goal
from provision.drivers.steps import FetchKey, Packages
from provision.records import Gpu, GpuState, Host, Machine
from tests.bench import apt_stubs, rpm_stubs
from tests.bench.apt_stubs import TOOLKIT_HOST, Mirror
from tests.bench.matrix import shipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

    from provision.drivers.plan import DriverPlan
    from provision.drivers.steps import Step
    from tests.bench.throwaway import Ran, Throwaway

TODAY = "2026-11-24"
INSIDE = Path(__file__).with_name("steps_inside.py")
APT = tuple(f"ubuntu {one}" for one in apt_stubs.data()["ubuntu"]) + tuple(
    f"debian {one}" for one in apt_stubs.data()["debian_kernels"]
)
DNF, ZYPPER = (
    tuple(name for name, row in rpm_stubs.data()["distributions"].items() if row["manager"] == manager)
    for manager in ("dnf", "zypper")
)


#: One machine of every kind of GPU that a plan tells apart.
KINDS = {
    "volta": ("Tesla V100-SXM2-32GB",),
    "turing": ("Tesla T4",),
    "ada": ("NVIDIA L4",),
    "desktop": ("NVIDIA GeForce RTX 4090",),
    "hopper-switched": ("NVIDIA H100 80GB HBM3",) * 8,
    "blackwell": ("NVIDIA RTX PRO 6000 Blackwell Server Edition",),
    "blackwell-switched": ("NVIDIA B200",) * 8,
    "pascal-beside-ampere": ("Tesla P40", "NVIDIA GeForce RTX 3090"),
}


def stubs_of(distribution: str) -> Any:
    """The module that makes its packages."""
    return apt_stubs if distribution in APT else rpm_stubs


def missing_programs(distribution: str) -> str | None:
    """Why the steps of this distribution can't be carried out here; None where they can."""
    if distribution in APT:
        return apt_stubs.missing_programs()
    return rpm_stubs.missing_programs("dnf" if distribution in DNF else "zypper")


def machine(distribution: str, gpus: Iterable[str], *, kernel: str | None = None, arch: str = "x86_64") -> Machine:
    """A machine of that release with these GPUs, of whose packages nobody has read anything."""
    name, version = distribution.split()
    host = Host(system="linux", os=name, os_version=version, arch=arch, kernel=kernel)
    found = tuple(Gpu(number, name=gpu) for number, gpu in enumerate(gpus))
    return Machine(host=host, gpus=found, gpu_state=GpuState.UNUSABLE)


def plan_for(machine: Machine, **wish: Any) -> DriverPlan:
    """The plan of the shipped matrix."""
    return plan_driver(machine, shipped(), today=TODAY, wish=DriverWish(**wish))


def exchanged(value: Any, words: dict[str, str]) -> Any:
    """The same records with some words in them exchanged."""
    if isinstance(value, str):
        return functools.reduce(lambda text, pair: text.replace(*pair), words.items(), value)
    if isinstance(value, tuple):
        return tuple(exchanged(one, words) for one in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {one.name: exchanged(getattr(value, one.name), words) for one in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    return value


def actions_of(steps: Iterable[Step], kind: type) -> Iterator[Any]:
    """Actions of one kind, undo aside."""
    return (action for step in steps for action in step.actions if isinstance(action, kind))


def unknown_names(distribution: str, steps: Iterable[Step]) -> list[str]:
    """Names handed to the package manager that no archive of the bench has; patterns fit by their beginning."""
    known = stubs_of(distribution).known_names(distribution)
    named = (
        name for action in actions_of(steps, Packages) if action.verb in ("install", "hold") for name in action.names
    )
    plain = {re.split("[<=]", name)[0] for name in named if "*" not in name}
    kernel = stubs_of(distribution).kernel_of(distribution)
    built_for = (f"kernel-devel-{kernel}", "kernel-devel-{kernel}", "linux-headers-{kernel}")
    return sorted(name for name in plain if name not in known and name not in built_for)


_SHELVES: dict[tuple[Path, str, str], Mirror] = {}


def _published(shelf: Path, distribution: str, age: apt_stubs.Age) -> Mirror:
    found = _SHELVES.get((shelf, distribution, age))
    if found is None:
        found = Mirror(shelf / f"{distribution.replace(' ', '-')}-{age}" / "mirror")
        stubs_of(distribution).publish(found, distribution, age)
        _SHELVES[shelf, distribution, age] = found
    return found


class DriverBox:
    """One pretended machine."""

    def __init__(
        self,
        folder: Path,
        distribution: str,
        gpus: Iterable[str],
        *,
        age: apt_stubs.Age = "new",
        shelf: Path | None = None,
    ) -> None:
        """`shelf`: a folder in which published mirrors are kept for the next box of the same release."""
        self.distribution = distribution
        self._stubs = stubs_of(distribution)
        self.mirror = _published(shelf or folder, distribution, age).copy(folder)
        make = apt_stubs.apt_box if distribution in APT else rpm_stubs.rpm_box
        self.box: Throwaway = make(folder / "box", self.mirror, distribution)
        self.machine = machine(distribution, gpus, kernel=self._stubs.kernel_of(distribution))
        self._asked = 0

    def __enter__(self) -> Self:
        self.box.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.box.__exit__(*error)

    def run(self, *argv: str) -> Ran:
        """A command as root in it."""
        return self.box.run(*argv)

    def grow(self) -> None:
        """What an upgrade finds: newer releases in every repository."""
        self._stubs.publish(self.mirror, self.distribution, "new")

    def installed(self) -> dict[str, str]:
        """Name and version of its packages."""
        found: dict[str, str] = self._stubs.installed(self.box)
        return found

    def settings(self) -> dict[str, str]:
        """Every file of /etc that was written to, and its text; what package managers keep for themselves aside."""
        places = [self.box.folder / "upper/etc", *sorted((self.box.folder / "own/etc").iterdir())]
        files = (path for place in places for path in place.rglob("*") if path.is_file())
        own = ("ld.so.cache", "trustdb.gpg", ".pyc")
        return {
            str(path).removeprefix(str(self.box.folder)): path.read_text("utf-8", "replace")
            for path in files
            if not path.name.endswith(own)
        }

    def look(self) -> Machine:
        """The machine with what its package tools say, read as gpusetup reads it."""
        seen: Machine = self._inside("look", self.machine)
        return seen

    def plan(self, **wish: Any) -> DriverPlan:
        """The plan for it as it is now, its keys being those of the bench."""
        made = plan_for(self.look(), **wish)
        words = {}
        for action in actions_of(made.steps, FetchKey):
            key = self.mirror.key("toolkit" if f"//{TOOLKIT_HOST}/" in action.url else "nvidia")
            self.mirror.put(action.url, key.armored)
            words[action.fingerprint] = key.fingerprint
        return dataclasses.replace(made, steps=exchanged(made.steps, words))

    def carry_out(self, plan: DriverPlan) -> dict[str, Any]:
        """Runs the steps, restarting where they ask for it; how the run ended."""
        account = self._inside("run", (plan.steps, Goal(plan.branch, plan.kernel_module)))
        while account["kind"] == "reboot":
            self.restart()
            account = self._inside("run", (None, None))
        return account

    def restart(self) -> None:
        """Another boot id, and the driver's module is loaded where the newest kernel has one."""
        self.box.restart()
        have = self.installed()
        modules = self.box.folder / "upper/usr/lib/modules", self.box.folder / "upper/lib/modules"
        built = [path for folder in modules for path in folder.glob("*/**/nvidia.ko")]
        newest = next((name.removeprefix("linux-image-") for name in self._kernels(have)), None)
        folders = {str(path).partition("/modules/")[2].partition("/")[0] for path in built}
        release = next(
            (found[0] for found in map(re.compile(r"\d{3}\.\d+(?:\.\d+)?").search, self._of_driver(have)) if found),
            None,
        )
        if release and folders & {newest, "built"}:
            self.run("mkdir", "-p", "/sys/module/nvidia").ok()
            self.run("sh", "-c", f"echo {release} > /sys/module/nvidia/version").ok()
        else:
            self.run("rm", "-rf", "/sys/module/nvidia").ok()

    def _kernels(self, have: dict[str, str]) -> list[str]:
        return sorted((name for name in have if re.match(r"linux-image-\d", name)), reverse=True)

    def _of_driver(self, have: dict[str, str]) -> list[str]:
        names = ("libnvidia-compute", "libnvidia-ml", "libcuda1", "nvidia-driver", "nvidia-compute")
        return [version for name, version in sorted(have.items()) if name.startswith(names)]

    def take_back(self, run: dict[str, Any] | None = None) -> dict[str, Any]:
        """Takes a run back, of which there is an account; else the newest."""
        account: dict[str, Any] = self._inside("undo", Path(run["logs"]).name if run else None)
        return account

    def _inside(self, verb: str, asked: Any) -> Any:
        self._asked += 1
        name = f"/run/asked-{self._asked}"
        self.box.path(name).write_bytes(pickle.dumps(asked))
        ended = self.box.run(sys.executable, "-I", str(INSIDE), verb, name, timeout_s=300)
        assert ended.exit_code == 0, f"{verb}: {ended.out}{ended.err}"
        return pickle.loads(self.box.path(f"{name}.answer").read_bytes())  # noqa: S301 -- our own child wrote it

    def log_of(self, account: dict[str, Any]) -> str:
        """What the programs said, for a failed assertion."""
        folder = self.box.path(account["logs"])
        texts = "\n".join(path.read_text("utf-8", "replace")[-2000:] for path in sorted(folder.glob("*.log")))
        return f"{json.dumps(account, indent=1)}\n{texts}"
