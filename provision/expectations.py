"""What a machine must show: written down from good machines, held against others (PURE).

A file of expectations is a short list of facts, each with a comparison, that a team can keep in its repository and
edit by hand. Nothing in it is a matter of this machine: names of facts are those of FACTS.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from packaging.version import InvalidVersion, Version

from .errors import InputError, UsageError
from .records import CheckResult, Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .checks import Facts
    from .records import FindingStatus

Comparison = Literal["equal", "at-least", "at-most", "one-of"]
Plain = str | int | float | bool


@dataclass(frozen=True, slots=True)
class ExpectedFact:
    """One line of a file of expectations."""

    name: str
    """One of FACTS: gpu.count, driver.driver_version, ..."""
    must_be: Comparison
    value: Plain | tuple[Plain, ...]
    """A list for one-of."""
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class ExpectationData:
    """Data of expectation/1."""

    made_from: int
    """How many good machines it was made from."""
    made_on: str
    """Day, 2026-11-23."""
    facts: tuple[ExpectedFact, ...]


@dataclass(frozen=True, slots=True)
class _Fact:
    """One thing that can be expected."""

    name: str
    check: str
    """Check that tells of it."""
    must_be: Comparison
    """What `create` writes."""
    read: Callable[[Facts], tuple[Plain | None, ...]]
    """One value, or one per GPU; None for one that was not read."""
    unit: str | None = None
    share: float = 1.0
    """Part of the smallest good value that is enough: firmware keeps a varying part of memory to itself."""
    is_version: bool = False


def _gpu(fact: str) -> Callable[[Facts], tuple[Plain | None, ...]]:
    """That reading of every GPU."""

    def read(facts: Facts) -> tuple[Plain | None, ...]:
        values = (facts.value(f"gpu.{gpu.index}.{fact}") for gpu in facts.machine.gpus)
        return tuple(value if isinstance(value, (str, int, float)) else None for value in values)

    return read


def _field(fact: str) -> Callable[[Facts], tuple[Plain | None, ...]]:
    """That field of every GPU."""
    return lambda facts: tuple(_plain(getattr(gpu, fact)) for gpu in facts.machine.gpus)


def _host(fact: str) -> Callable[[Facts], tuple[Plain | None, ...]]:
    return lambda facts: (_plain(getattr(facts.machine.host, fact)),)


def _driver(fact: str) -> Callable[[Facts], tuple[Plain | None, ...]]:
    return lambda facts: (_plain(getattr(facts.machine.driver, fact) if facts.machine.driver else None),)


def _reading(name: str) -> Callable[[Facts], tuple[Plain | None, ...]]:
    def read(facts: Facts) -> tuple[Plain | None, ...]:
        value = facts.value(name)
        return (value if isinstance(value, (str, int, float)) else None,)

    return read


def _distribution(name: str) -> Callable[[Facts], tuple[Plain | None, ...]]:
    """Release of a package of the environment that was named."""

    def read(facts: Facts) -> tuple[Plain | None, ...]:
        rows = (row for row in facts.values("env.distribution") if isinstance(row, tuple) and row[:1] == (name,))
        return (next((str(row[1]) for row in rows), None),)

    return read


def _plain(value: object) -> Plain | None:
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value)


def _count(facts: Facts) -> tuple[Plain | None, ...]:
    return (sum(1 for gpu in facts.machine.gpus if gpu.in_nvml is not False),)


_NVLINKS: Final = "nvlink_state"


def _links(facts: Facts) -> tuple[Plain | None, ...]:
    """Active NVLinks of every GPU; None where none could be asked."""
    states = (facts.texts(f"gpu.{gpu.index}.{_NVLINKS}") for gpu in facts.machine.gpus)
    return tuple(None if links is None else sum(1 for link in links if link == "active") for links in states)


FACTS: Final[tuple[_Fact, ...]] = (
    _Fact("gpu.count", "expect.gpus", "equal", _count),
    _Fact("gpu.name", "expect.gpus", "one-of", _field("name")),
    _Fact("gpu.compute_capability", "expect.gpus", "one-of", _field("compute_capability")),
    _Fact("gpu.memory_bytes", "expect.gpus", "at-least", _field("memory_bytes"), "bytes", 0.98),
    _Fact("driver.driver_version", "expect.driver", "at-least", _driver("driver_version"), is_version=True),
    _Fact("driver.driver_cuda_version", "expect.driver", "at-least", _driver("driver_cuda_version"), is_version=True),
    _Fact("driver.kernel_module", "expect.driver", "one-of", _driver("kernel_module")),
    _Fact("gpu.pcie_link_width_max", "expect.links", "at-least", _gpu("pcie_link_width_max"), "lanes"),
    _Fact("gpu.pcie_link_width", "expect.links", "at-least", _gpu("pcie_link_width"), "lanes"),
    _Fact("gpu.pcie_link_gen_max", "expect.links", "at-least", _gpu("pcie_link_gen_max")),
    _Fact("gpu.nvlinks_active", "expect.links", "at-least", _links),
    _Fact("gpu.clock_sm_max_mhz", "expect.clocks", "at-least", _gpu("clock_sm_max_mhz"), "MHz"),
    _Fact("gpu.clock_memory_max_mhz", "expect.clocks", "at-least", _gpu("clock_memory_max_mhz"), "MHz"),
    _Fact("gpu.power_limit_enforced_w", "expect.clocks", "at-least", _gpu("power_limit_enforced_w"), "W"),
    _Fact("gpu.ecc_mode", "expect.modes", "one-of", _gpu("ecc_mode")),
    _Fact("gpu.mig_mode", "expect.modes", "one-of", _field("mig_mode")),
    _Fact("gpu.vbios_version", "expect.modes", "one-of", _gpu("vbios_version")),
    _Fact("host.os", "expect.host", "one-of", _host("os")),
    _Fact("host.os_version", "expect.host", "one-of", _host("os_version")),
    _Fact("host.arch", "expect.host", "one-of", _host("arch")),
    _Fact("host.glibc", "expect.host", "at-least", _host("glibc"), is_version=True),
    _Fact("host.cpus", "expect.host", "at-least", _reading("cpu.online")),
    _Fact("host.memory_bytes", "expect.host", "at-least", _reading("mem.total_bytes"), "bytes", 0.95),
    _Fact("env.python", "expect.software", "equal", _reading("env.python_version"), is_version=True),
    _Fact("env.torch", "expect.software", "equal", _reading("env.torch_version"), is_version=True),
    _Fact("env.transformers", "expect.software", "equal", _distribution("transformers"), is_version=True),
)
_BY_NAME: Final = {fact.name: fact for fact in FACTS}
_SAFE: Final[Mapping[str, tuple[str, ...]]] = {
    "expect.gpus": ("gpusetup check --only pci --only driver", "nvidia-smi -L"),
    "expect.driver": ("gpusetup driver plan",),
    "expect.links": ("gpusetup check --only pci --only link", "nvidia-smi topo -m"),
    "expect.clocks": ("nvidia-smi -q -d CLOCK,POWER",),
    "expect.modes": ("nvidia-smi -q -d ECC", "nvidia-smi -L"),
    "expect.host": ("gpusetup detect",),
    "expect.software": ("gpusetup plan", "gpusetup install"),
}


# --- made


def expectation_of(machines: Sequence[Facts], *, today: str) -> ExpectationData:
    """What all of these good machines show; UsageError without any."""
    if not machines:
        raise UsageError("found no machine, expected at least one good one to write down.")
    rows = []
    for fact in FACTS:
        values = [value for facts in machines for value in fact.read(facts)]
        if values and all(value is not None for value in values):
            rows.append(_row(fact, [value for value in values if value is not None]))
    return ExpectationData(len(machines), today, tuple(rows))


def _row(fact: _Fact, values: list[Plain]) -> ExpectedFact:
    if fact.must_be in ("equal", "one-of"):
        kinds = tuple(dict.fromkeys(values))
        if len(kinds) == 1:
            return ExpectedFact(fact.name, "equal", kinds[0], fact.unit)
        return ExpectedFact(fact.name, "one-of", tuple(sorted(kinds, key=str)), fact.unit)
    least = min(values, key=lambda value: _rank(fact, value))
    if fact.share != 1.0 and isinstance(least, (int, float)):
        least = int(least * fact.share)
    return ExpectedFact(fact.name, "at-least", least, fact.unit)


# --- read


def require_sound(data: ExpectationData, *, origin: str) -> None:
    """InputError for a fact that nobody knows or a value that can't be compared so."""
    for number, row in enumerate(data.facts):
        place = f"{origin}: data.facts[{number}]"
        fact = _BY_NAME.get(row.name)
        if fact is None:
            near = difflib.get_close_matches(row.name, _BY_NAME, 2)
            said = f", did you mean {' or '.join(near)}?" if near else f", expected one of {', '.join(_BY_NAME)}"
            raise InputError(f"{place}.name: found {row.name!r}{said}")
        is_list = isinstance(row.value, tuple)
        if is_list != (row.must_be == "one-of"):
            wanted = "a list" if row.must_be == "one-of" else "one value"
            raise InputError(f"{place}.value: found {row.value!r}, expected {wanted} for {row.must_be!r}")
        for value in row.value if isinstance(row.value, tuple) else (row.value,):
            if fact.is_version or row.must_be in ("at-least", "at-most"):
                _require_rank(fact, value, place)


def _require_rank(fact: _Fact, value: Plain, place: str) -> None:
    try:
        rank = _rank(fact, value)
    except InvalidVersion as err:
        raise InputError(f"{place}.value: found {value!r}, expected a version such as 580.82.07") from err
    if not fact.is_version and not isinstance(rank, (int, float)):
        raise InputError(f"{place}.value: found {value!r}, expected a number")


def _rank(fact: _Fact, value: Plain) -> Any:
    return Version(str(value)) if fact.is_version else value


# --- held against a machine


def judge_expectation(data: ExpectationData, facts: Facts, *, origin: str) -> tuple[CheckResult, ...]:
    """One result per check that the file says something of, in the order of FACTS."""
    by_check: dict[str, list[ExpectedFact]] = {}
    for row in sorted(data.facts, key=lambda row: list(_BY_NAME).index(row.name)):
        by_check.setdefault(_BY_NAME[row.name].check, []).append(row)
    return tuple(_result(check, rows, facts, origin) for check, rows in by_check.items())


def _result(check: str, rows: Sequence[ExpectedFact], facts: Facts, origin: str) -> CheckResult:
    ill: list[Evidence] = []
    well: list[Evidence] = []
    wrong: list[str] = []
    unread: list[str] = []
    for row in rows:
        found = _BY_NAME[row.name].read(facts)
        needs = _words(row)
        is_wrong = any(value is not None and not _fits(row, value) for value in found)
        if not found or any(value is None for value in found):
            unread.append(row.name)
        if is_wrong:
            wrong.append(f"{row.name} is {_shown(found)}, expected {needs}")
        shown = Evidence(row.name, _shown(found) if found else None, row.unit, origin, needs)
        (ill if is_wrong else well).append(shown)
    status: FindingStatus = "fail" if wrong else "unknown" if unread else "pass"
    happened = {
        "fail": f"Not as {origin} says: {'; '.join(wrong)}.",
        "unknown": f"{', '.join(unread)} could not be read, so {origin} can't be held against it.",
        "pass": f"{len(rows)} expected facts are as {origin} says.",
    }[status]
    return CheckResult(
        check,
        "expect",
        status,
        happened,
        tuple(ill or well),
        safe=_SAFE[check] if status == "fail" else (),
        title=TITLES[check],
    )


def _fits(row: ExpectedFact, value: Plain) -> bool:
    fact = _BY_NAME[row.name]
    wanted = row.value if isinstance(row.value, tuple) else (row.value,)
    try:
        found, needs = _rank(fact, value), [_rank(fact, one) for one in wanted]
        if row.must_be == "at-least":
            return bool(found >= needs[0])
        if row.must_be == "at-most":
            return bool(found <= needs[0])
    except (InvalidVersion, TypeError):
        return False
    return found in needs


def _words(row: ExpectedFact) -> str:
    if isinstance(row.value, tuple):
        return f"one of {', '.join(str(value) for value in row.value)}"
    head = {"equal": "", "at-least": "at least ", "at-most": "at most "}[row.must_be]
    return f"{head}{row.value}{f' {row.unit}' if row.unit else ''}"


def _shown(values: Iterable[Plain | None]) -> str:
    """Each different value once: eight equal GPUs read like one."""
    return ", ".join(dict.fromkeys("not read" if value is None else str(value) for value in values))


TITLES: Final[Mapping[str, str]] = {
    "expect.gpus": "The GPUs are those that the file of expectations names.",
    "expect.driver": "The driver is at least that of the file of expectations.",
    "expect.links": "PCIe and NVLink are as wide as the file of expectations says.",
    "expect.clocks": "Clocks and power limits reach what the file of expectations says.",
    "expect.modes": "ECC, MIG and firmware are as the file of expectations says.",
    "expect.host": "The host is of the kind that the file of expectations names.",
    "expect.software": "The environment holds the software that the file of expectations names.",
}
_PAGE: Final = """{title}

What it finds
    Facts of this machine that are not as a file of expectations (gpusetup expect create) says:
    {names}.

How it is decided
    Each line of the file names a comparison: equal, at-least, at-most or one-of. A fact of GPUs must hold for each of
    them. Where a fact could not be read and no other is wrong, the result is unknown.

What to do
    Find out what changed since the good machine was written down. Where the change is wanted, correct the line, or
    write the file anew."""


def pages() -> dict[str, str]:
    """The page of every check of this kind."""
    return {
        check: _PAGE.format(title=title, names=", ".join(fact.name for fact in FACTS if fact.check == check))
        for check, title in TITLES.items()
    }
