"""A second opinion on every build, written from the facts and from NVIDIA's rules, sharing nothing with the resolver.

Machines, requests and builds are plain values:

    machine  system, os, arch, glibc, glibc_failure, is_wsl, python, python_failure, others, driver, driver_cuda,
             module, state, gpus: [{name, pci, capability, mig, instances}]
    request  torch, cuda, transformers, python, cpu
    build    (torch, variant, python): ("2.9.1", "cu128", "3.12")

Every rule is asked of every build of the matrix, with no order and no shortcut; what is unknown is no pass.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from packaging.specifiers import SpecifierSet

from .facts import Facts, at_most, code, cuda_of, numbers

Plain = dict[str, Any]
Numbers = tuple[int, ...]

#: Objections that stand only while another build is free of all.
LAST_RESORT = frozenset({"arch-list-unknown"})

#: The GPU of a box that has one and lists none.
UNSEEN: Plain = {"name": None, "pci": None, "capability": None, "mig": None, "instances": None}

#: Judgements that are remembered before all are forgotten.
MOST_KEPT = 20_000


class Build(NamedTuple):
    """One wheel for one Python."""

    torch: str
    variant: str
    python: str


class Verdict(NamedTuple):
    """What the judge expects of the resolver."""

    order: list[Build]
    """Every build that fits the GPUs that stay, best first."""
    left_out: list[int]
    """Indexes of the GPUs that the best build does not serve."""
    is_firm: bool
    """Whether the builds are free of all objections; else they are the last resort."""


@lru_cache(maxsize=4096)
def asked_for(words: str | None, version: str) -> bool:
    """Whether a version is within the words of an option: '2.0' means 2.0.*, anything else is PEP 440."""
    if words is None:
        return True
    words = words.strip()
    spec = f"=={words}.*" if words.replace(".", "").isdigit() else words
    return SpecifierSet(spec).contains(version, prereleases=True)


class Judge:
    """Judges builds by the facts of one matrix."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.rows = {
            (torch, variant): (row, cuda_of(variant))
            for torch, release in facts.releases.items()
            for variant, row in release["variants"].items()
        }
        # What was judged once: the search for a smaller driver asks the same about everything else many times.
        self.pairs: dict[tuple[str, str | None, str], bool] = {}
        self.boxes: dict[tuple[Any, ...], dict[Build, frozenset[str]]] = {}
        self.cards: dict[tuple[Any, ...], dict[tuple[str, str], frozenset[str]]] = {}
        self.runs: dict[tuple[Any, ...], str] = {}

    # --- the whole box ---------------------------------------------------------------------------

    def verdict(self, machine: Plain, request: Plain) -> Verdict:
        """The builds that fit, in the order of the contract, and the GPUs that have to be left out."""
        box = self.objections_without_gpus(machine, request)
        free = {build for build, objections in box.items() if not objections}
        if self.wants_cpu(machine, request):
            return Verdict(self._order(machine, request, box, []), [], is_firm=bool(free))
        alone = [self.objections_of_gpu(machine, gpu) for gpu in machine["gpus"] or [UNSEEN]]
        kept: list[int] = []
        for index in self._most_capable_first(machine):
            rest = {build for build in free if not alone[index][build.torch, build.variant]}
            if rest and not self.need_both_modules(machine, [*kept, index]):
                free, kept = rest, [*kept, index]
        if not kept:  # no build whose architectures were read serves any GPU: what nobody read is the last resort
            order = self._order(machine, request, box, alone)
            return Verdict(order, [], is_firm=False)
        order = self._order(
            machine | {"gpus": [machine["gpus"][n] for n in kept]}, request, box, [alone[n] for n in kept]
        )
        return Verdict(order, sorted(set(range(len(alone))) - set(kept)), is_firm=True)

    def newest_for_all(self, machine: Plain, request: Plain, above: Numbers) -> Numbers:
        """The newest torch above a given one that fits all GPUs, last resorts aside; () where there is none."""
        box = self.objections_without_gpus(machine, request)
        free = [build for build, broken in box.items() if not broken and numbers(build.torch) > above]
        cards = [] if self.wants_cpu(machine, request) else machine["gpus"] or [UNSEEN]
        if free and cards:
            alone = [self.objections_of_gpu(machine, gpu) for gpu in cards]
            free = [build for build in free if not any(card[build.torch, build.variant] for card in alone)]
            free = [] if self.need_both_modules(machine) else free
        return max((numbers(build.torch) for build in free), default=())

    def objections(self, machine: Plain, request: Plain, build: Build, gpus: list[int] | None = None) -> set[str]:
        """Every rule that a build breaks on the box, or on some of its GPUs."""
        found = set(self.objections_without_gpus(machine, request)[build])
        if not self.wants_cpu(machine, request):
            for index, gpu in enumerate(machine["gpus"] or [UNSEEN]):
                if gpus is None or index in gpus:
                    found |= self.objections_of_gpu(machine, gpu)[build.torch, build.variant]
            if build.variant != "cpu" and self.need_both_modules(machine, gpus):
                found.add("kernel-module-unsuitable")
        return found

    def need_both_modules(self, machine: Plain, gpus: list[int] | None = None) -> bool:
        """Whether some GPUs want the open and others the proprietary module, of which Linux loads only one."""
        if self.is_windows(machine):
            return False
        some = [gpu for index, gpu in enumerate(machine["gpus"]) if gpus is None or index in gpus]
        return {"open", "proprietary"} <= {self.module_for(gpu) for gpu in some}

    def module_for(self, gpu: Plain) -> str | None:
        """The kernel module that a GPU wants: open, proprietary or either; None where nobody knows the GPU."""
        capability, row = self.capability(gpu), self.row(gpu)
        name = self.architecture(capability) if capability else None
        if name is None:
            return None
        return "open" if row and row["key"] in self.facts.open_only else self.facts.architectures[name]["kernel_module"]

    def wants_cpu(self, machine: Plain, request: Plain) -> bool:
        """CPU builds are for those who ask, and for boxes without an NVIDIA GPU; never for a GPU in trouble."""
        return bool(request["cpu"]) or (not machine["gpus"] and machine["state"] == "none")

    def _most_capable_first(self, machine: Plain) -> list[int]:
        known = [self.capability(gpu) or (0, 0) for gpu in machine["gpus"]]
        return sorted(range(len(known)), key=lambda index: known[index], reverse=True)

    def _order(
        self,
        machine: Plain,
        request: Plain,
        box: dict[Build, frozenset[str]],
        gpus: list[dict[tuple[str, str], frozenset[str]]],
    ) -> list[Build]:
        """Newest torch, then native CUDA, then the higher CUDA, then the preferred Python."""
        against = {
            build: objections.union(*(alone[build.torch, build.variant] for alone in gpus))
            for build, objections in box.items()
            if objections <= LAST_RESORT
        }
        fitting = [build for build, objections in against.items() if not objections]
        fitting = fitting or [build for build, objections in against.items() if objections <= LAST_RESORT]
        places = self.pythons(machine, request)
        reach = self.implemented(machine)

        def rank(build: Build) -> tuple[Any, ...]:
            cuda = cuda_of(build.variant) or (0, 0)
            is_native = reach is not None and cuda <= reach
            return numbers(build.torch), is_native, cuda, -places.index(build.python)

        return sorted(fitting, key=rank, reverse=True)

    # --- what does not depend on the GPU ---------------------------------------------------------

    def pythons(self, machine: Plain, request: Plain) -> list[str]:
        """The Python asked for, else the host's, else another one, plain builds before special ones."""
        if request["python"]:
            words = request["python"]
            return [".".join(words.rstrip("t").split(".")[:2]) + ("t" if words.endswith("t") else "")]
        others = [name for name in machine["others"] if is_plain(name)]
        others += [name for name in machine["others"] if not is_plain(name)]
        found = [*([machine["python"]] if machine["python"] else []), *others]
        if found or machine["python_failure"]:
            return list(dict.fromkeys(found))
        return self.facts.assumed_pythons

    def platform(self, machine: Plain) -> str:
        """linux_x86_64; Linux on x86_64 where nobody said, and macOS on Arm."""
        if machine["system"] == "darwin":
            arch = machine["arch"] or "arm64"
            return f"darwin_{ {'aarch64': 'arm64', 'amd64': 'x86_64'}.get(arch, arch) }"
        arch = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine["arch"] or "x86_64", machine["arch"] or "x86_64")
        return f"{machine['system'] or 'linux'}_{arch}"

    def objections_without_gpus(self, machine: Plain, request: Plain) -> dict[Build, frozenset[str]]:
        """Rules about system, Python, pair and request that each build breaks, for every Python that may be used."""
        pythons, facts = (
            tuple(self.pythons(machine, request)),
            (machine[name] for name in ("os", "glibc", "glibc_failure")),
        )
        wishes = (request["torch"], request["cuda"], request["transformers"])
        key = (self.wants_cpu(machine, request), self.platform(machine), pythons, *facts, *wishes)
        if key not in self.boxes:
            if len(self.boxes) > MOST_KEPT:
                self.boxes.clear()
            self.boxes[key] = self._judge_box(machine, request, pythons)
        return self.boxes[key]

    def _judge_box(self, machine: Plain, request: Plain, pythons: tuple[str, ...]) -> dict[Build, frozenset[str]]:
        found: dict[Build, frozenset[str]] = {}
        wants_cpu, platform = self.wants_cpu(machine, request), self.platform(machine)
        for (torch, variant), (row, cuda) in self.rows.items():
            if (cuda is None) is not wants_cpu:
                continue
            release = self.facts.releases[torch]
            common = self._publication(row, platform) | self._system(machine, release, row, platform)
            if not self._is_asked_for(request, torch, variant):
                common.add("not-asked-for")
            if not pythons:
                found[Build(torch, variant, "")] = frozenset(common | {"python-unknown"})
            wheels = release["platforms"].get(platform)
            for python in pythons:
                mine = set(common)
                if wheels is None or f"cp{python.replace('.', '')}" not in wheels["pythons"]:
                    mine.add("python-tag-missing")
                if not self._has_pair(torch, python, request["transformers"]):
                    mine.add("no-transformers-pair")
                found[Build(torch, variant, python)] = frozenset(mine)
        return found

    def _is_asked_for(self, request: Plain, torch: str, variant: str) -> bool:
        words, cuda = request["cuda"], cuda_of(variant)
        if not asked_for(request["torch"], torch):
            return False
        if words is None:
            return True
        if cuda is None:
            return False
        return variant == words if words.startswith("cu") else asked_for(words, f"{cuda[0]}.{cuda[1]}")

    def _publication(self, row: Plain, platform: str) -> set[str]:
        if platform in row["on"]:
            return set()
        return {"publication-unknown"} if platform in row.get("unknown_on", []) else {"platform-not-published"}

    def _system(self, machine: Plain, release: Plain, row: Plain, platform: str) -> set[str]:
        if not platform.startswith("linux_") or platform not in release["platforms"]:
            return set()
        needs = row.get("glibc", {}).get(platform) or release["platforms"][platform]["glibc"]
        if machine["glibc"]:
            return set() if at_most(numbers(needs), numbers(machine["glibc"])) else {"glibc-too-old"}
        if machine["os"] == "alpine" or "musl" in (machine["glibc_failure"] or ""):
            return {"musl-libc"}
        return {"glibc-unknown"} if machine["glibc_failure"] else set()

    def _has_pair(self, torch: str, python: str, words: str | None) -> bool:
        """Whether a transformers exists that is in the range of the torch, wished for, and starts on that Python."""
        if not python[:1].isdigit():
            return False  # nothing is known of any pair on another implementation
        key = (torch, words, python)
        if key not in self.pairs:
            self.pairs[key] = self._look_for_pair(torch, python, words)
        return self.pairs[key]

    def _look_for_pair(self, torch: str, python: str, words: str | None) -> bool:
        within = SpecifierSet(self.facts.releases[torch]["companions"]["transformers"])
        for first, row in self.facts.transformers.items():
            major, minor, patch = numbers(first)
            if not at_most(numbers(row["python"]), numbers(python.rstrip("t"))):
                continue
            if row.get("python_below") and at_most(numbers(row["python_below"]), numbers(python.rstrip("t"))):
                continue
            if row["torch"] and not at_most(numbers(row["torch"]), numbers(torch)):
                continue
            patches = [f"{major}.{minor}.{number}" for number in range(patch, numbers(row["last"])[2] + 1)]
            if any(within.contains(version) and asked_for(words, version) for version in patches):
                return True
        return False

    # --- the driver ------------------------------------------------------------------------------

    def is_windows(self, machine: Plain) -> bool:
        """Whether the driver is a Windows driver: on Windows, and on WSL, where it is that of the host."""
        return machine["system"] == "windows" or bool(machine["is_wsl"])

    def branch(self, machine: Plain) -> int | None:
        """Branch of the driver: 535 for 536.67, as Windows numbers wander upwards within a branch."""
        if machine["driver"] is None:
            return None
        older = [number for number in self.facts.branches if number <= numbers(machine["driver"])[0]]
        return max(older, default=None)

    def own_cuda(self, machine: Plain) -> Numbers | None:
        """Newest CUDA that the kernel driver itself implements, by its branch."""
        branch = self.branch(machine)
        return numbers(self.facts.branches[branch]["cuda"]) if branch else None

    def package_cuda(self, machine: Plain) -> Numbers | None:
        """CUDA of the compatibility package that must be in use, as the driver alone does not implement it.

        Only Linux has such packages; a branch that is newer than the matrix may well implement what it reports.
        """
        reported, own = machine["driver_cuda"], self.own_cuda(machine)
        if reported is None or own is None or self.is_windows(machine) or self.is_tegra_box(machine):
            return None
        if numbers(machine["driver"])[0] > max(self.facts.branches):
            return None
        return numbers(reported) if numbers(reported) > own else None

    def package_serves(self, machine: Plain, gpu: Plain) -> bool:
        """Whether NVIDIA says that the package runs on this branch and this kind of board."""
        package = self.package_cuda(machine)
        row = self.facts.forward["rows"].get(".".join(map(str, package or ())))
        known = self.row(gpu)
        return (
            row is not None
            and known is not None
            and known["class"] in self.facts.forward["classes"]
            and str(self.branch(machine)) in row["accepted"]
        )

    def is_tegra_box(self, machine: Plain) -> bool:
        """Whether all GPUs whose capability is known are Tegra."""
        known = [capability for gpu in machine["gpus"] if (capability := self.capability(gpu))]
        return bool(known) and all(capability in self.facts.tegra for capability in known)

    def implemented(self, machine: Plain) -> Numbers | None:
        """CUDA that user space of the box implements: the driver's own, or that of a package that serves every GPU."""
        reported = numbers(machine["driver_cuda"]) if machine["driver_cuda"] else None
        if self.is_tegra_box(machine):
            return reported
        if self.package_cuda(machine) and not all(self.package_serves(machine, gpu) for gpu in machine["gpus"]):
            return self.own_cuda(machine)
        return reported or self.own_cuda(machine)

    def _driver(self, machine: Plain, gpu: Plain, cuda: Numbers, reach: Numbers | None) -> set[str]:
        """Whether a CUDA build starts on the driver: the floor of the major, or a package of at least that CUDA."""
        if self.is_tegra_box(machine) or machine["driver"] is None:
            if reach is None:
                return {"driver-unknown"}
            return set() if cuda[0] <= reach[0] else {"driver-too-old"}
        if machine["is_wsl"] and numbers(machine["driver"])[0] < self.facts.wsl_branch:
            return {"driver-too-old"}
        floor = self.facts.majors[cuda[0]]["windows" if self.is_windows(machine) else "linux"]
        if at_most(numbers(floor), numbers(machine["driver"])):
            return set()
        package = self.package_cuda(machine)
        if package is None or package < cuda:
            return {"driver-too-old"}
        return set() if self.package_serves(machine, gpu) else {"forward-compatibility-not-allowed"}

    # --- one GPU ---------------------------------------------------------------------------------

    def row(self, gpu: Plain) -> Plain | None:
        """The row of a GPU, by its PCI id or its name."""
        keys = self.facts.by_pci.get(gpu["pci"] or "", []) or [self.facts.by_name.get(gpu["name"] or "")]
        named = [key for key in keys if key and (not gpu["name"] or gpu["name"] in self.facts.gpus[key]["nvml"])]
        key = (named or keys)[0]
        return self.facts.gpus[key] | {"key": key} if key else None

    def capability(self, gpu: Plain) -> Numbers | None:
        """What the driver says, else what the row says."""
        if gpu["capability"]:
            return numbers(gpu["capability"])
        row = self.row(gpu)
        return numbers(row["capability"]) if row else None

    def objections_of_gpu(self, machine: Plain, gpu: Plain) -> dict[tuple[str, str], frozenset[str]]:
        """Rules that each CUDA build breaks on one GPU of the box."""
        alone = machine if self.is_tegra_box(machine) else machine | {"gpus": [gpu]}
        facts = (machine[name] for name in ("system", "is_wsl", "arch", "driver", "driver_cuda", "module"))
        key = (alone is machine, *facts, *gpu.values())
        if key not in self.cards:
            if len(self.cards) > MOST_KEPT:
                self.cards.clear()
            self.cards[key] = self._judge_gpu(alone, gpu)
        return self.cards[key]

    def _judge_gpu(self, alone: Plain, gpu: Plain) -> dict[tuple[str, str], frozenset[str]]:
        common, capability = self._card(alone, gpu), self.capability(gpu)
        reach, platform = self.implemented(alone), self.platform(alone)
        versions = {cuda for _, cuda in self.rows.values() if cuda}
        by_driver = {cuda: common | self._driver(alone, gpu, cuda, reach) for cuda in versions}
        found: dict[tuple[str, str], frozenset[str]] = {}
        for (torch, variant), (row, cuda) in self.rows.items():
            if cuda is None:
                continue
            mine = frozenset(by_driver[cuda])
            found[torch, variant] = (
                mine | self._code(torch, row, platform, capability, cuda, reach) if capability else mine
            )
        return found

    def _card(self, machine: Plain, gpu: Plain) -> set[str]:
        """Rules about the card that no build can mend."""
        capability = self.capability(gpu)
        if capability is None:
            return {"compute-capability-unknown"} | self._mig(gpu)
        found = self._mig(gpu)
        name = self.architecture(capability)
        if name is None:
            return found
        architecture, module = self.facts.architectures[name], self.module_for(gpu)
        if machine["module"] and not self.is_windows(machine) and module not in ("either", machine["module"]):
            found.add("kernel-module-unsuitable")
        if machine["driver"] is None or self.is_tegra_box(machine | {"gpus": [gpu]}):
            return found
        if architecture["last_branch"] and (self.branch(machine) or 0) > int(architecture["last_branch"]):
            found.add("gpu-dropped-by-driver-branch")
        if self._is_too_young(machine, architecture, ".".join(map(str, capability))):
            found.add("driver-too-old-for-gpu")
        return found

    def _is_too_young(self, machine: Plain, architecture: Plain, capability: str) -> bool:
        """Whether the driver is older than the first that lists a GPU of the architecture (a Linux number).

        A capability that came later than its architecture has a first branch of its own.
        """
        driver, first = numbers(machine["driver"]), architecture.get("first_driver")
        if capability in architecture.get("later", {}):
            return driver[0] < int(architecture["later"][capability])
        if architecture["first_branch"] and driver[0] < int(architecture["first_branch"]):
            return True
        return bool(first) and not self.is_windows(machine) and not at_most(numbers(first), driver)

    def _mig(self, gpu: Plain) -> set[str]:
        return {"mig-without-instance"} if gpu["mig"] == "enabled" and gpu["instances"] == 0 else set()

    def architecture(self, capability: Numbers) -> str | None:
        """Hopper for (9, 0)."""
        rows = self.facts.architectures.items()
        return next((name for name, row in rows if ".".join(map(str, capability)) in row["capabilities"]), None)

    def _code(
        self, torch: str, row: Plain, platform: str, capability: Numbers, cuda: Numbers, reach: Numbers | None
    ) -> set[str]:
        """Whether the wheel holds binary code for the device, or PTX that the driver can compile."""
        key = (torch, cuda, platform, capability)
        if key not in self.runs:
            self.runs[key] = self._way_to_run(row, platform, capability, cuda)
        way = self.runs[key]
        if way == "ptx":
            return set() if reach is not None and cuda <= reach else {"ptx-needs-newer-driver"}
        return {"none": {"no-code-for-gpu"}, "unknown": {"arch-list-unknown"}}.get(way, set())

    def _way_to_run(self, row: Plain, platform: str, capability: Numbers, cuda: Numbers) -> str:
        # Windows wheels are taken to hold the code of the Linux x86_64 ones.
        listed = row["arch"].get({"windows_x86_64": "linux_x86_64"}.get(platform, platform))
        if listed is None:
            return "unknown" if self._may_hold(platform, capability, cuda) else "none"
        if any(self._runs_on(code(name), capability, cuda) for name in listed):
            return "binary"
        return "ptx" if any(code(name) <= capability for name in row["ptx"] or []) else "none"

    def _runs_on(self, cubin: Numbers, capability: Numbers, cuda: Numbers) -> bool:
        """Same major, minor at least as high, and not across the Tegra border unless the targets are one."""
        row = self.facts.cubins[cubin]
        if "only" in row:
            return any(numbers(only) == capability for only in row["only"])
        if not numbers(row["at_least"]) <= capability < numbers(row["below"]):
            return False
        is_unified = "unified_from" in row and cuda >= numbers(row["unified_from"])
        return is_unified or not any(numbers(other) == capability for other in row.get("excluded", []))

    def _may_hold(self, platform: str, capability: Numbers, cuda: Numbers) -> bool:
        """Whether a wheel whose list nobody read may hold code for the device.

        Its toolkit must compile for the architecture, and the lists that were read on the platform (of its variant,
        else of any), must not all do without.
        """
        name = self.architecture(capability)
        if name is None:
            return False
        architecture = self.facts.architectures[name]
        first, last = architecture["first_cuda"], architecture["last_cuda"]
        if (first and cuda < numbers(first)) or (last and cuda > numbers(last)):
            return False
        place = {"windows_x86_64": "linux_x86_64"}.get(platform, platform)
        lists = [(other, row["arch"].get(place)) for row, other in self.rows.values() if other]
        read = [listed for other, listed in lists if listed is not None and other == cuda]
        read = read or [listed for _, listed in lists if listed is not None]
        return not read or any(self._runs_on(code(name), capability, cuda) for listed in read for name in listed)


def is_plain(python: str) -> bool:
    """Whether it is CPython with its lock: 3.12, not 3.14t and not pypy3.10."""
    return python[:1].isdigit() and not python.endswith("t")
