"""A box that calls for every NVML function which the probe knows, each of them broken in turn."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from provision.checks import Context, Facts, run_checks
from provision.detect.assemble import join_gpus
from provision.detect.nvml import _pynvml_folder, judge, parse_probe_lines
from provision.matrix.load import default_matrix
from provision.process import Completed
from provision.records import Driver, GpuState, Host, Machine, Reading
from tests.bench import build

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from provision.detect.nvml import NvmlFacts, Told
    from provision.matrix.tables import Matrix

ROOT = Path(__file__).resolve().parent.parent.parent
EVERYTHING = {
    "0.mig": 1,
    "0.mig_max": 7,
    "0.mig_instances": 2,
    "topology.0.1": 30,
    "*.mig_uuid.0": "MIG-0",
    "*.mig_uuid.1": "MIG-1",
    "*.mig_profile.0": "3,3,40192",
    "*.mig_profile.1": "1,1,9728",
    "*.repair": "0,0",
    "*.unrepairable": 0,
    "*.temp_margin": 50,
    "*.host_vgpu_mode": 1,
    "*.fabric": "3,0,0,0x1aa,1",
    "*.retired.0": 0,
    "*.retired.1": 2,
    "*.retired_time.1": 1700000000000000,
    "*.retired_pending": 0,
    "*.licence": "1,1,1,2,2027,1,31",
    "*.licence_product": "NVIDIA RTX Virtual Workstation",
    "*.c2c": 1,
    "conf_compute": "0,0,0",
    "conf_compute_ready": 1,
    "*.procs": 2,
    "*.graphics_procs": 1,
    "*.mps_procs": 1,
    **{f"*.field.{number}": 0 for number in (161, 162, 163, 211, 214, 215, 219, 221, 230)},
    "*.field.170": 2,
    "*.field.171": 1,
    "*.field.220": 0x0FFF,
    "*.field.222": 0x010F,
    "*.field.193": -8,
    "*.field.194": -2,
    "*.field.195": 0,
    "*.field.196": 0,
    "*.numa_node": 1,
    "*.numa_affinity": 1,
}
"""Lines over the profile a100x2 with which every call of the health depth gets an answer."""
DEPENDENTS = {
    "nvmlDeviceGetMigMode": r"mig_.*",
    "nvmlDeviceGetMaxMigDeviceCount": r"mig_.*",
    "nvmlDeviceGetMigDeviceHandleByIndex": r"mig_.*",
    "nvmlDeviceGetUUID": r"mig_uuids",
    "nvmlDeviceGetNvLinkState": r"nvlink_.*",
    "nvmlDeviceGetFieldValues": r"c2c_link_state",
    "nvmlDeviceGetPciInfo": r"pci_device_id",
    "nvmlDeviceGetHandleByIndex": r".*",
    "nvmlDeviceGetCount": r".*",
    "nvmlInitWithFlags": r".*",
}
"""Facts that can't be asked without the answer of another function."""


def stem(function: str) -> str:
    """Name without its version."""
    return re.sub(r"_v\d+$", "", function)


@cache
def fake_functions() -> tuple[str, ...]:
    """Every function that the fake library has and a script may break."""
    text = (build.BENCH / "fake_nvml.c").read_text(encoding="utf-8")
    found = re.findall(r"^(?:R |[A-Z]+\()(nvml[A-Za-z0-9_]+)", text, re.MULTILINE)
    # nvmlShutdown is never called, and a fault of nvmlInit is one of all its versions
    return tuple(name for name in dict.fromkeys(found) if name not in {"nvmlShutdown", "nvmlInit"})


@cache
def documented() -> dict[str, str]:
    """Fact and the cell of docs/readings.md that names its functions."""
    rows, functions = {}, ""
    nvml = (ROOT / "docs/readings.md").read_text(encoding="utf-8").partition("\n## NVML\n")[2].partition("\n## ")[0]
    for line in nvml.splitlines():
        cells = line.strip("|").split(" | ")
        if line.startswith("| `") and len(cells) == 3:
            functions = functions if cells[2].startswith("same") else cells[2]
            rows.update({fact.split(".")[-1]: functions for fact in re.findall(r"`([a-z0-9_.]+)`", cells[0])})
    return rows


def box(profile: str = "a100x2", **lines: object) -> str:
    """Text of a box's file: the profile with every function answered, and these lines."""
    text = (build.PROFILES / f"{profile}.conf").read_text(encoding="utf-8")
    over = {**EVERYTHING, **lines} if profile == "a100x2" else lines
    return text + "".join(f"{key}={value}\n" for key, value in over.items())


class Prober:
    """A process that stays and forks one probe for every box that it is asked about."""

    def __init__(self, libraries: Path) -> None:
        self._process = subprocess.Popen(
            _many_probes(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"LD_LIBRARY_PATH": str(libraries)},
            text=True,
        )

    def ask(self, text: str, *, silence_s: float = 2.0) -> dict[str, Any]:
        """How the probe of a box with this file ended: stdout, returncode, timed_out, duration_s."""
        pipes = self._process
        assert pipes.stdin is not None
        assert pipes.stdout is not None
        pipes.stdin.write(json.dumps({"silence_s": silence_s, "jobs": 1, "cases": [["", text]]}) + "\n")
        pipes.stdin.flush()
        answer: dict[str, Any] = json.loads(pipes.stdout.readline())
        del answer["name"]
        return answer

    def close(self) -> None:
        """End the process."""
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()


def _many_probes() -> list[str]:
    return [sys.executable, "-I", "-S", str(build.BENCH / "many_probes.py"), str(_pynvml_folder())]


def probe_all(
    libraries: Path, cases: Iterable[tuple[str, str]], *, silence_s: float = 2.0, jobs: int = 2
) -> Iterator[tuple[str, Completed, Told, NvmlFacts]]:
    """Every case with how its child ended, its lines, and the judgement."""
    work = {"silence_s": silence_s, "jobs": jobs, "cases": list(cases)}
    done = subprocess.run(
        _many_probes(),
        input=json.dumps(work),
        env={"LD_LIBRARY_PATH": str(libraries)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr, done.stderr
    for line in done.stdout.splitlines():
        one = json.loads(line)
        completed = Completed(
            ("python",), one["returncode"], one["stdout"], "", one["duration_s"], timed_out=one["timed_out"]
        )
        told = parse_probe_lines(completed.stdout)
        yield one["name"], completed, told, judge(completed, told)


def failing(told: Told) -> set[tuple[int | None, str]]:
    """The facts that were asked for and not learned."""
    return {(answer.gpu, answer.fact) for answer in told.answers if answer.failure is not None}


def learned(told: Told) -> set[tuple[int | None, str]]:
    """The facts that have a value; a list with a gap in it still counts."""
    return {(answer.gpu, answer.fact) for answer in told.answers if answer.failure is None}


def may_lack(function: str, fact: str) -> bool:
    """Whether this fact stands on that function, by docs/readings.md or by the table above."""
    fact, name = fact.rsplit(".", maxsplit=1)[-1], stem(function)
    if re.fullmatch(DEPENDENTS.get(name, "-"), fact):
        return True
    cell = documented().get(fact, "")
    return (
        fact == "handle"
        or name in {stem(one) for one in re.findall(r"nvml[A-Za-z0-9_]+", cell)}
        or (name == "nvmlDeviceGetFieldValues" and "NVML_FI_" in cell)
    )


def complaints(clean: Told, function: str, told: Told, facts: NvmlFacts) -> list[str]:
    """What is wrong with a run in which that function alone was broken: nothing, if all is well."""
    wrong = [
        f"{fact} of GPU {gpu} is lost"
        for gpu, fact in learned(clean) - learned(told)
        if not may_lack(function, fact) and fact != "sweep_s"
    ]
    for reading in facts.readings:
        sentence = reading.failure
        if (reading.value is None) == (sentence is None):
            wrong.append(f"{reading.name} has value {reading.value!r} and failure {sentence!r}")
        if sentence is not None and (len(sentence) < 8 or "\n" in sentence or "Traceback" in sentence):
            wrong.append(f"{reading.name}: {sentence!r} is no sentence")
        values = reading.value if isinstance(reading.value, tuple) else (reading.value,)
        if not all(value is None or isinstance(value, str | int | float) for value in values):
            wrong.append(f"{reading.name} is no plain value")
    return wrong + broken_checks(facts)


def broken_checks(facts: NvmlFacts) -> list[str]:
    """Checks that can't bear what was read."""
    gpus = join_gpus((), facts)
    machine = Machine(
        host=Host(system="linux", os="ubuntu", os_version="24.04"),
        driver=Driver(facts.driver_version, facts.cuda_version),
        gpus=gpus,
        gpu_state=GpuState.USABLE if facts.healthy else GpuState.UNUSABLE,
        readings=(Reading("host.kernel", "uname", "6.8.0-79-generic"), *facts.readings),
    )
    results = run_checks(Facts(machine, Context(now=1_795_000_000.0, matrix=_matrix)))
    return [f"{one.id}: {one.happened}" for one in results if one.status == "crashed"]


@cache
def _matrix() -> Matrix:
    return default_matrix(None)
