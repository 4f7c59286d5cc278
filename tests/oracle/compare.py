"""The resolver beside the judge: every difference of opinion, in sentences. Only this file here knows the product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from provision.records import Driver, Gpu, GpuState, Host, Interpreter, Machine, Reading, Request
from provision.resolve import Catalogue, resolve
from provision.versions import ComputeCapability, CudaVersion, DriverVersion, Glibc

from .changes import applied
from .facts import Facts, numbers
from .judge import UNSEEN, Build, Judge, is_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provision.matrix import Matrix
    from provision.records import Resolution, Unlock

Plain = dict[str, Any]

#: Reasons why a build that fits stands behind another one.
PREFERENCES = frozenset({"native-cuda", "newest-torch", "highest-cuda", "preferred-python"})


class Comparison:
    """Resolver and judge for one matrix, with counts of what was compared."""

    def __init__(self, matrix: Matrix, facts: Facts) -> None:
        self.matrix, self.catalogue = matrix, Catalogue(matrix)
        self.judge = Judge(facts)
        self.counts = {"machines": 0, "with_a_build": 0, "gpus_left_out": 0, "rejections": 0, "unlocks_applied": 0}

    def resolve(self, machine: Plain, request: Plain) -> Resolution:
        """The resolver's answer to plain values."""
        return resolve(machine_of(machine), Request(**request), self.matrix, catalogue=self.catalogue)

    def disagreements(self, machine: Plain, request: Plain) -> Iterator[str]:
        """Everything that the two see differently, unlocks included; nothing when they agree."""
        answer, verdict = self.resolve(machine, request), self.judge.verdict(machine, request)
        self.counts["machines"] += 1
        self.counts["with_a_build"] += answer.chosen is not None
        self.counts["gpus_left_out"] += len(answer.gpus_left_out)
        order = [Build(build.torch, build.variant, build.python) for build in answer.candidates]
        if order != verdict.order:
            yield f"resolver {_head(order)}, judge {_head(verdict.order)}"
            return
        left_out = sorted(out.index for out in answer.gpus_left_out)
        if left_out != verdict.left_out:
            yield f"GPUs left out: resolver {left_out}, judge {verdict.left_out}"
            return
        yield from self._left_out(machine, request, answer)
        yield from self._rejections(machine, request, answer)
        yield from self._unlocks(machine, request, answer)

    def _left_out(self, machine: Plain, request: Plain, answer: Resolution) -> Iterator[str]:
        for out in answer.gpus_left_out:
            best = Build(answer.candidates[0].torch, answer.candidates[0].variant, answer.candidates[0].python)
            broken = self.judge.objections(machine, request, best, [out.index])
            gone = {other.index for other in answer.gpus_left_out}
            stay = [index for index in range(len(machine["gpus"])) if index not in gone]
            if not broken and self.judge.need_both_modules(machine, [*stay, out.index]):
                broken = {"kernel-module-unsuitable"}
            if out.rule not in broken:
                yield f"GPU {out.index} is left out for {out.rule}, judge: {sorted(broken)}"

    def _rejections(self, machine: Plain, request: Plain, answer: Resolution) -> Iterator[str]:
        fitting = {Build(build.torch, build.variant, build.python) for build in answer.candidates}
        left_out = {out.index for out in answer.gpus_left_out}
        kept = [index for index in range(len(machine["gpus"])) if index not in left_out]
        pythons = self.judge.pythons(machine, request) or [""]
        tables = self.judge.objections_without_gpus(machine, request)
        cards = [self.judge.objections_of_gpu(machine, gpu) for gpu in [machine["gpus"][n] for n in kept] or [UNSEEN]]
        if self.judge.wants_cpu(machine, request):
            cards = []
        box = {"kernel-module-unsuitable"} if cards and self.judge.need_both_modules(machine, kept) else set()
        for no in answer.rejections:
            self.counts["rejections"] += 1
            builds = [Build(no.torch, no.variant, python) for python in ([no.python] if no.python else pythons)]
            if no.rule in PREFERENCES:
                if not fitting.intersection(builds):
                    yield f"{no.torch}+{no.variant} stands behind by {no.rule} and does not fit"
                continue
            for build in builds:
                broken = box.union(tables[build], *(alone[build.torch, build.variant] for alone in cards))
                if no.rule not in broken:
                    yield f"{build} is rejected by {no.rule}, judge: {sorted(broken)}"
                elif build in fitting:
                    yield f"{build} is rejected by {no.rule} and offered"

    # --- unlocks ---------------------------------------------------------------------------------

    def _unlocks(self, machine: Plain, request: Plain, answer: Resolution) -> Iterator[str]:
        before = numbers(answer.chosen.torch) if answer.chosen else ()
        for step in answer.unlocks:
            self.counts["unlocks_applied"] += 1
            changed = applied(machine, request, step.change, step.to)
            chosen, best = self.resolve(*changed).chosen, self.judge.verdict(*changed).order[:1]
            gives = chosen and (chosen.torch, chosen.variant)
            if gives != (step.torch, step.variant):
                yield f"{_text(step)}, and the resolver then chooses {gives}"
            if [build[:2] for build in best] != [(step.torch, step.variant)]:
                yield f"{_text(step)}, and the judge then says {best}"
            if numbers(step.torch) <= before:
                yield f"{_text(step)}, which is no newer than {answer.chosen and answer.chosen.torch}"
        yield from self._smaller_drivers(machine, request, before, answer.unlocks)
        yield from self._smaller_pythons(machine, request, before, answer.unlocks)
        yield from self._forgotten(machine, request, before, {step.change for step in answer.unlocks})

    def _forgotten(self, machine: Plain, request: Plain, before: tuple[int, ...], named: set[str]) -> Iterator[str]:
        """Changes of one thing that pay for all GPUs and that no unlock names."""
        for change, to in self._single_changes(machine, request):
            if change in named:
                continue
            if torch := self.judge.newest_for_all(*applied(machine, request, change, to), before):
                yield f"no unlock names {change}, and {to} gives torch {torch}"

    def _single_changes(self, machine: Plain, request: Plain) -> Iterator[tuple[str, str]]:
        for option in ("torch", "cuda", "transformers"):
            if request[option]:
                yield option, f"without --{option}"
        yield from (("python", python) for python in self.judge.facts.pythons() if is_plain(python))
        if machine["glibc"] or "musl" in (machine["glibc_failure"] or ""):  # to read it is no change of the machine
            yield from (("os", f"glibc {glibc}") for glibc in ("2.17", "2.28"))
        if self.judge.wants_cpu(machine, request):
            return
        yield "mig", "one compute instance, or MIG off"
        if self.judge.is_tegra_box(machine):
            return
        yield from (("driver", number) for number in self.drivers(machine))
        if machine["driver"] and not self.judge.is_windows(machine):
            if machine["module"]:
                yield from (("kernel-module", flavour) for flavour in ("open", "proprietary"))
            yield from (("forward-compatibility", f"package cuda-compat-{cuda}") for cuda in self.packages(machine))

    def packages(self, machine: Plain) -> list[str]:
        """Compatibility packages that would be newer than the driver, where none is in use."""
        own = self.judge.own_cuda(machine)
        if own is None or self.judge.package_cuda(machine):
            return []
        return [text.replace(".", "-") for text in self.judge.facts.forward["rows"] if numbers(text) > own]

    def _smaller_drivers(
        self, machine: Plain, request: Plain, before: tuple[int, ...], unlocks: tuple[Unlock, ...]
    ) -> Iterator[str]:
        """No driver of the matrix between this one and the one named pays as well or better."""
        if machine["driver"] is None:
            return
        steps = [step for step in unlocks if step.change == "driver"]
        here = numbers(machine["driver"])
        for step in steps:
            number, _, flavour = step.to.partition(" ")
            if flavour:  # the other kernel module alone is an unlock of its own
                same = step.to.replace(number, machine["driver"])
                before = max(before, self.judge.newest_for_all(*applied(machine, request, "driver", same), before))
            for other in self.drivers(machine):
                if not min(here, numbers(number)) < numbers(other) < max(here, numbers(number)):
                    continue
                changed = applied(machine, request, "driver", step.to.replace(number, other))
                if torch := self.judge.newest_for_all(*changed, before):
                    yield f"{_text(step)}, and {other} gives torch {torch} already"
            before = numbers(step.torch)
            here = max(here, numbers(number))

    def _smaller_pythons(
        self, machine: Plain, request: Plain, before: tuple[int, ...], unlocks: tuple[Unlock, ...]
    ) -> Iterator[str]:
        """No Python of the matrix between this one and the one named pays as well or better."""
        for step in (step for step in unlocks if step.change == "python"):
            if not step.from_[:1].isdigit():
                continue
            here, there = numbers(step.from_.rstrip("t")), numbers(step.to.rstrip("t"))
            for other in filter(is_plain, self.judge.facts.pythons()):
                if not min(here, there) < numbers(other) < max(here, there):
                    continue
                if torch := self.judge.newest_for_all(*applied(machine, request, "python", other), before):
                    yield f"{_text(step)}, and {other} gives torch {torch} already"
            before = numbers(step.torch)

    def drivers(self, machine: Plain) -> list[str]:
        """Every driver number that the matrix names for the system."""
        facts, system = self.judge.facts, "windows" if self.judge.is_windows(machine) else "linux"
        rows = [row[system] for row in (*facts.majors.values(), *facts.toolkits.values())]
        rows += [row[f"latest_{system}"] for row in facts.branches.values()]
        rows += [row.get("first_driver") for row in facts.architectures.values()] if system == "linux" else []
        return sorted({text for text in rows if text}, key=numbers)


def machine_of(machine: Plain) -> Machine:
    """The record of a plain machine."""
    version, reported = machine["driver"], machine["driver_cuda"]
    driver = Driver(
        DriverVersion(version) if version else None,
        CudaVersion.parse(reported) if reported else None,
        machine["module"],
    )
    failures = (("host.glibc", machine["glibc_failure"]), ("python.version", machine["python_failure"]))
    return Machine(
        host=Host(
            system=machine["system"],
            os=machine["os"],
            arch=machine["arch"],
            glibc=Glibc.parse(machine["glibc"]) if machine["glibc"] else None,
            is_wsl=machine["is_wsl"],
        ),
        python=_interpreter(machine["python"]) if machine["python"] else None,
        interpreters=tuple(_interpreter(name) for name in machine["others"]),
        driver=driver if version or reported else None,
        gpus=tuple(_gpu(index, gpu) for index, gpu in enumerate(machine["gpus"])),
        gpu_state=GpuState(machine["state"]),
        readings=tuple(Reading(name, "test", failure=failure) for name, failure in failures if failure),
    )


def _gpu(index: int, gpu: Plain) -> Gpu:
    return Gpu(
        index,
        name=gpu["name"],
        pci_device_id=gpu["pci"],
        compute_capability=ComputeCapability.parse(gpu["capability"]) if gpu["capability"] else None,
        mig_mode=gpu["mig"],
        mig_instances=gpu["instances"],
    )


def _interpreter(name: str) -> Interpreter:
    number = name.lstrip("py")
    implementation = "pypy" if name.startswith("pypy") else "cpython"
    return Interpreter(number.rstrip("t"), implementation, is_free_threaded=number.endswith("t"))


def _head(builds: list[Build]) -> str:
    return f"{len(builds)} builds, first {', '.join(map(str, builds[:2]))}"


def _text(step: Unlock) -> str:
    return f"{step.change} {step.from_} -> {step.to} promises {step.torch}+{step.variant}"
