"""Faults of the matrix: what codes and bits mean, which drivers, kernels and builds are denied, and how they are read.

They stand at the end of matrix.yaml and are read when a check or an explanation asks for one: a plan never loads this
module. The classes are the schema; None means that nobody has read the fact.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from . import fields
from .model import Numbers, numbers
from .places import PlaceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..versions import ComputeCapability, DriverVersion

    Sources = Callable[[dict[str, Any]], tuple[str, ...]]

TABLES: Final = (
    "xids",
    "sxids",
    "recovery_actions",
    "nvml_errors",
    "cuda_errors",
    "clock_reasons",
    "kernel_messages",
    "memory_repair",
    "kernel_drivers",
    "denied_drivers",
    "denied_torch",
    "container_toolkit",
)
"""The tables of this module, the last ones of the file."""

XidClass = Literal["hardware", "reset", "application", "info"]
"""What an Xid says: a part is at fault, the GPU is of no use until a reset, a program failed, or nothing failed."""

Action = Literal[
    "none", "restart-app", "reset-gpu", "restart-fabric", "reboot", "power-cycle", "check-power", "drain", "support"
]
"""What brings the GPU back. All but `none` and `restart-app` disturb whoever works on the machine."""

SxidClass = Literal["non_fatal", "fatal", "always_fatal"]
"""What an SXid costs: nothing, the jobs on the links of one switch port, or all jobs on the whole switch fabric."""

Severity = Literal["info", "warn", "fail"]

Cause = Literal[
    "none",
    "caller",
    "unsupported",
    "permission",
    "driver",
    "mismatch",
    "library",
    "loader",
    "build",
    "fabric",
    "hardware",
    "power",
    "reset",
    "memory",
    "application",
    "busy",
    "settings",
    "licence",
    "system",
    "unknown",
]
"""Where the reason for an error code is to be looked for."""

CIRCUMSTANCES: Final = frozenset(("mig", "mig-mixed", "pinned-512gib"))
"""Circumstances under which a driver is denied; None is always."""


@dataclass(frozen=True, slots=True, eq=False)
class XidText:
    """What words in the kernel's line make of an Xid."""

    words: str
    """A part of the line, compared without regard to case."""
    xid_class: XidClass
    action: Action


@dataclass(frozen=True, slots=True, eq=False)
class Xid:
    """An error number that the driver writes into the kernel log (`NVRM: Xid`)."""

    number: int
    name: str
    xid_class: XidClass
    action: Action
    """What to do at once."""
    then: Action | None
    """What to do when it comes back; None where nothing more is advised."""
    means: str
    do: str
    texts: tuple[XidText, ...]
    """Words of the line that decide otherwise, the first match counts."""
    doubtful: str | None
    source: tuple[str, ...]

    @property
    def is_fatal(self) -> bool:
        """Whether the GPU can't be trusted with work until something was done; words of the line may say otherwise."""
        return self.xid_class in {"hardware", "reset"}

    def judged(self, line: str) -> tuple[XidClass, Action]:
        """Class and action of a kernel line with this Xid."""
        line = line.casefold()
        for text in self.texts:
            if text.words.casefold() in line:
                return text.xid_class, text.action
        return self.xid_class, self.action


@dataclass(frozen=True, slots=True, eq=False)
class Sxid:
    """An error number of an NVSwitch in the kernel log (`SXid`), first to third generation."""

    number: int
    name: str
    sxid_class: SxidClass
    means: str
    doubtful: str | None
    source: tuple[str, ...]

    def judged(self, line: str) -> SxidClass:
        """Class of a kernel line with this SXid, which names its own weight: `Fatal, Link 32 ...`, `Non-fatal, ...`."""
        words = line.casefold()
        if self.sxid_class == "always_fatal" or "fatal," not in words:
            return self.sxid_class
        return "non_fatal" if "non-fatal," in words else "fatal"


@dataclass(frozen=True, slots=True, eq=False)
class RecoveryAction:
    """A value of the NVML field that says what the driver itself wants done with a GPU."""

    number: int
    name: str
    severity: Severity | None
    """None where nothing is wanted."""
    action: Action
    means: str
    do: str
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ErrorCode:
    """A number that NVML or CUDA returns."""

    number: int
    name: str
    """As the header of the library has it, without its prefix."""
    cause: Cause
    means: str
    do: str
    doubtful: str | None
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ClockReason:
    """One bit of the reasons for which a GPU runs slower than it could."""

    bit: int
    name: str
    severity: Severity | None
    """None: harmless."""
    means: str
    do: str
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class KernelMessage:
    """A line of the kernel log that tells of a fault, or names an Xid or SXid."""

    name: str
    pattern: re.Pattern[str]
    means: str
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class MemoryRepair:
    """What GPUs of a compute capability do about broken cells of their memory."""

    capability: ComputeCapability
    has_row_remapping: bool | None
    """Whether rows are swapped for spares; older GPUs retire pages."""
    has_containment: bool | None
    """Whether an uncorrectable error ends one process only (Xid 94)."""
    doubtful: str | None
    source: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class KernelDriver:
    """Driver branches whose kernel module is not built by newer Linux kernels, up to a release."""

    name: str
    kernel: Numbers
    """First kernel that it is about."""
    branches: tuple[int, ...]
    needs: DriverVersion | None
    """First release of these branches that works there; None: none is known."""
    instead: DriverVersion | None
    """Release of a newer branch that works there."""
    means: str
    doubtful: str | None
    source: tuple[str, ...]

    def denies(self, kernel: Numbers, driver: DriverVersion) -> bool:
        """Whether the driver is not to be had on that kernel."""
        if kernel[: len(self.kernel)] < self.kernel or driver.branch not in self.branches:
            return False
        return self.needs is None or driver < self.needs


@dataclass(frozen=True, slots=True, eq=False)
class DeniedDriver:
    """Drivers with a known fault."""

    name: str
    drivers: tuple[DriverVersion, ...]
    """Exactly these, when given."""
    at_least: DriverVersion | None
    below: DriverVersion | None
    severity: Severity
    gpus: tuple[str, ...]
    """Rows of `gpus` that it is about; empty: all."""
    when: str | None
    """`mig`, `mig-mixed` (MIG and whole GPUs in one box), `pinned-512gib` (one range of host memory); None: always."""
    means: str
    do: str
    doubtful: str | None
    source: tuple[str, ...]

    def holds(self, driver: DriverVersion) -> bool:
        """Whether the driver is one of them."""
        if self.drivers:
            return driver in self.drivers
        return (self.at_least is None or driver >= self.at_least) and (self.below is None or driver < self.below)


@dataclass(frozen=True, slots=True, eq=False)
class Advisory:
    """Releases of torch or of the container toolkit with a published weakness."""

    name: str
    below: Numbers
    """First release without it."""
    severity: Severity
    means: str
    do: str
    doubtful: str | None
    source: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Faults:
    """Every table of faults. Without slots, because the indexes of the long ones are built when first asked for."""

    xids: tuple[Xid, ...] = ()
    sxids: tuple[Sxid, ...] = ()
    recovery_actions: tuple[RecoveryAction, ...] = ()
    nvml_errors: tuple[ErrorCode, ...] = ()
    cuda_errors: tuple[ErrorCode, ...] = ()
    clock_reasons: tuple[ClockReason, ...] = ()
    kernel_messages: tuple[KernelMessage, ...] = ()
    memory_repair: tuple[MemoryRepair, ...] = ()
    kernel_drivers: tuple[KernelDriver, ...] = ()
    denied_drivers: tuple[DeniedDriver, ...] = ()
    denied_torch: tuple[Advisory, ...] = ()
    container_toolkit: tuple[Advisory, ...] = ()
    container_toolkit_minimum: str | None = None
    """Oldest NVIDIA Container Toolkit without a weakness that is listed."""

    def xid(self, number: int) -> Xid | None:
        """The row of an Xid; None for one that nobody has written up."""
        return self._xids.get(number)

    def sxid(self, number: int) -> Sxid | None:
        """The row of an SXid."""
        return self._sxids.get(number)

    def recovery_action(self, number: int) -> RecoveryAction | None:
        """The row of a value of NVML_FI_DEV_GET_GPU_RECOVERY_ACTION."""
        return next((row for row in self.recovery_actions if row.number == number), None)

    def nvml_error(self, number: int) -> ErrorCode | None:
        """The row of an NVML return code, which is also the exit status of nvidia-smi."""
        return next((row for row in self.nvml_errors if row.number == number), None)

    def cuda_error(self, number: int) -> ErrorCode | None:
        """The row of an error number of CUDA."""
        return next((row for row in self.cuda_errors if row.number == number), None)

    def clock_reasons_of(self, mask: int) -> tuple[ClockReason, ...]:
        """The rows of the bits that are set; a bit without a row is left out."""
        return tuple(row for row in self.clock_reasons if row.bit & mask)

    def kernel_message(self, name: str) -> KernelMessage | None:
        """The pattern of that name."""
        return next((row for row in self.kernel_messages if row.name == name), None)

    def memory_repair_of(self, capability: ComputeCapability) -> MemoryRepair | None:
        """What GPUs of that compute capability do about broken memory; None: nobody has read it."""
        return next((row for row in self.memory_repair if row.capability == capability), None)

    def kernel_driver(self, kernel_release: str, driver: DriverVersion) -> KernelDriver | None:
        """The row that rules a driver out on a kernel (`uname -r`: 7.0.0-1011-gcp), the newest kernel's first.

        A release of a distribution's own kernel (RHEL 5.14) says little about the interfaces in it; those are not here.
        """
        kernel = kernel_numbers(kernel_release)
        rows = sorted(self.kernel_drivers, key=lambda row: row.kernel, reverse=True)
        return next((row for row in rows if kernel and row.denies(kernel, driver)), None)

    def denied_drivers_of(self, driver: DriverVersion, gpus: tuple[str, ...] = ()) -> tuple[DeniedDriver, ...]:
        """The rows about that driver, of those about single boards the ones that are among `gpus` (names of rows)."""
        return tuple(
            row for row in self.denied_drivers if row.holds(driver) and (not row.gpus or set(row.gpus) & set(gpus))
        )

    def denied_torch_of(self, version: str) -> tuple[Advisory, ...]:
        """The weaknesses of a torch: 2.5.1, 2.5.1+cu124."""
        return _weaknesses(self.denied_torch, version)

    def container_toolkit_of(self, version: str) -> tuple[Advisory, ...]:
        """The weaknesses of an NVIDIA Container Toolkit: 1.17.4, 1.17.4-rc.1."""
        return _weaknesses(self.container_toolkit, version)

    @cached_property
    def _xids(self) -> dict[int, Xid]:
        return {row.number: row for row in self.xids}

    @cached_property
    def _sxids(self) -> dict[int, Sxid]:
        return {row.number: row for row in self.sxids}


_LEADING = re.compile(r"v?(\d+(?:\.\d+){0,3})", re.ASCII)


def kernel_numbers(release: str) -> Numbers:
    """(7, 0, 0) of 7.0.0-1011-gcp; empty when it begins with no number."""
    match = _LEADING.match(release)
    return numbers(match[1]) if match else ()


def _weaknesses(rows: tuple[Advisory, ...], version: str) -> tuple[Advisory, ...]:
    found = kernel_numbers(version)
    return tuple(row for row in rows if found and found < row.below)


# --- reading ------------------------------------------------------------------------------------

_BLOCK = frozenset(("source", "read_on", "rows"))
_CODE = re.compile(r"0|[1-9]\d{0,5}", re.ASCII)
_BIT = re.compile(r"0x[1248]0{0,15}", re.ASCII)
_MARKS = frozenset(("source", "doubtful"))

_xid_class = fields.one_of(*get_args(XidClass))
_action = fields.one_of(*get_args(Action))
_sxid_class = fields.one_of(*get_args(SxidClass))
_severity = fields.one_of(*get_args(Severity))
_when = fields.one_of(*sorted(CIRCUMSTANCES))
_cause = fields.one_of(*get_args(Cause))


def read_faults(root: Any, cite: Callable[[Any], str]) -> Faults:
    """The tables of this module of a file's tree; a file without one of them knows nothing about it. PlaceError."""
    found: dict[str, Any] = {}
    for name in TABLES:
        if name in root:
            found |= fields.field(root, name, partial(_block, name=name, cite=cite))
    return Faults(**found)


def _block(value: Any, *, name: str, cite: Callable[[Any], str]) -> dict[str, Any]:
    block = fields.mapping(value, _BLOCK | ({"minimum"} if name == "container_toolkit" else frozenset()))
    default = fields.items(block, "source", cite)
    fields.field(block, "read_on", fields.date)
    read = partial(_READERS[name], sources=partial(_sources, default=default, cite=cite))
    found: dict[str, Any] = {name: fields.field(block, "rows", lambda rows: fields.rows(rows, read))}
    if name == "container_toolkit":
        found["container_toolkit_minimum"] = fields.field(block, "minimum", fields.release)
    return found


def _sources(row: dict[str, Any], *, default: tuple[str, ...], cite: Callable[[Any], str]) -> tuple[str, ...]:
    """What a row cites, else what its table cites."""
    return fields.items(row, "source", cite) or default


def code(value: Any) -> int:
    """A number of an error, 0 among them."""
    if not isinstance(value, str) or not _CODE.fullmatch(value):
        raise PlaceError(fields.shown(value), "a number such as 79")
    return int(value)


def _bit(value: Any) -> int:
    if not isinstance(value, str) or not _BIT.fullmatch(value):
        raise PlaceError(fields.shown(value), "one bit such as 0x20")
    return int(value, 16)


def _regex(value: Any) -> re.Pattern[str]:
    try:
        return re.compile(fields.text(value))
    except re.error as err:
        raise PlaceError(fields.shown(value), f"a regular expression ({err})") from None


def _xid(number: str, value: Any, *, sources: Sources) -> Xid:
    row = fields.mapping(value, frozenset(("name", "class", "action", "means", "do")), _MARKS | {"then", "texts"})
    return Xid(
        number=code(number),
        name=fields.field(row, "name", fields.text),
        xid_class=fields.field(row, "class", _xid_class),
        action=fields.field(row, "action", _action),
        then=fields.maybe(row, "then", _action),
        means=fields.field(row, "means", fields.text),
        do=fields.field(row, "do", fields.text),
        texts=fields.maybe(row, "texts", partial(fields.rows, read=_xid_text)) or (),
        doubtful=fields.maybe(row, "doubtful", fields.text),
        source=sources(row),
    )


def _xid_text(words: str, value: Any) -> XidText:
    row = fields.mapping(value, frozenset(("class", "action")))
    return XidText(words, fields.field(row, "class", _xid_class), fields.field(row, "action", _action))


def _sxid(number: str, value: Any, *, sources: Sources) -> Sxid:
    row = fields.mapping(value, frozenset(("name", "class", "means")), _MARKS)
    return Sxid(
        number=code(number),
        name=fields.field(row, "name", fields.text),
        sxid_class=fields.field(row, "class", _sxid_class),
        means=fields.field(row, "means", fields.text),
        doubtful=fields.maybe(row, "doubtful", fields.text),
        source=sources(row),
    )


def _recovery(number: str, value: Any, *, sources: Sources) -> RecoveryAction:
    row = fields.mapping(value, frozenset(("name", "severity", "action", "means", "do")), frozenset(("source",)))
    return RecoveryAction(
        number=code(number),
        name=fields.field(row, "name", fields.text),
        severity=fields.maybe(row, "severity", _severity),
        action=fields.field(row, "action", _action),
        means=fields.field(row, "means", fields.text),
        do=fields.field(row, "do", fields.text),
        source=sources(row),
    )


def _error(number: str, value: Any, *, sources: Sources) -> ErrorCode:
    row = fields.mapping(value, frozenset(("name", "cause", "means", "do")), _MARKS)
    return ErrorCode(
        number=code(number),
        name=fields.field(row, "name", fields.text),
        cause=fields.field(row, "cause", _cause),
        means=fields.field(row, "means", fields.text),
        do=fields.field(row, "do", fields.text),
        doubtful=fields.maybe(row, "doubtful", fields.text),
        source=sources(row),
    )


def _clock_reason(bit: str, value: Any, *, sources: Sources) -> ClockReason:
    row = fields.mapping(value, frozenset(("name", "severity", "means", "do")), frozenset(("source",)))
    return ClockReason(
        bit=_bit(bit),
        name=fields.field(row, "name", fields.text),
        severity=fields.maybe(row, "severity", _severity),
        means=fields.field(row, "means", fields.text),
        do=fields.field(row, "do", fields.text),
        source=sources(row),
    )


def _message(name: str, value: Any, *, sources: Sources) -> KernelMessage:
    row = fields.mapping(value, frozenset(("pattern", "means")), frozenset(("source",)))
    return KernelMessage(
        name=name,
        pattern=fields.field(row, "pattern", _regex),
        means=fields.field(row, "means", fields.text),
        source=sources(row),
    )


def _memory_repair(name: str, value: Any, *, sources: Sources) -> MemoryRepair:
    row = fields.mapping(value, frozenset(("row_remapping", "containment")), _MARKS)
    return MemoryRepair(
        capability=fields.capability(name),
        has_row_remapping=fields.maybe(row, "row_remapping", fields.flag),
        has_containment=fields.maybe(row, "containment", fields.flag),
        doubtful=fields.maybe(row, "doubtful", fields.text),
        source=sources(row),
    )


def _kernel_driver(name: str, value: Any, *, sources: Sources) -> KernelDriver:
    row = fields.mapping(value, frozenset(("kernel", "branches", "needs", "means")), _MARKS | {"instead"})
    found = KernelDriver(
        name=name,
        kernel=fields.field(row, "kernel", fields.key_numbers),
        branches=fields.items(row, "branches", fields.whole),
        needs=fields.maybe(row, "needs", fields.driver),
        instead=fields.maybe(row, "instead", fields.driver),
        means=fields.field(row, "means", fields.text),
        doubtful=fields.maybe(row, "doubtful", fields.text),
        source=sources(row),
    )
    if found.needs and found.needs.branch not in found.branches:
        raise PlaceError(str(found.needs), "a driver of one of its branches").inside("needs")
    return found


def _denied_driver(name: str, value: Any, *, sources: Sources) -> DeniedDriver:
    row = fields.mapping(
        value,
        frozenset(("severity", "means", "do")),
        _MARKS | {"drivers", "at_least", "below", "gpus", "when"},
    )
    found = DeniedDriver(
        name=name,
        drivers=fields.items(row, "drivers", fields.driver),
        at_least=fields.maybe(row, "at_least", fields.driver),
        below=fields.maybe(row, "below", fields.driver),
        severity=fields.field(row, "severity", _severity),
        gpus=fields.items(row, "gpus", fields.text),
        when=fields.maybe(row, "when", _when),
        means=fields.field(row, "means", fields.text),
        do=fields.field(row, "do", fields.text),
        doubtful=fields.maybe(row, "doubtful", fields.text),
        source=sources(row),
    )
    if bool(found.drivers) == bool(found.at_least or found.below):
        raise PlaceError("both or none of a list and a range of drivers", "drivers, or at_least and below")
    return found


def _advisory(name: str, value: Any, *, sources: Sources) -> Advisory:
    row = fields.mapping(value, frozenset(("below", "severity", "means", "do")), _MARKS)
    return Advisory(
        name=name,
        below=fields.field(row, "below", fields.key_numbers),
        severity=fields.field(row, "severity", _severity),
        means=fields.field(row, "means", fields.text),
        do=fields.field(row, "do", fields.text),
        doubtful=fields.maybe(row, "doubtful", fields.text),
        source=sources(row),
    )


_READERS: Final[dict[str, Callable[..., Any]]] = {
    "xids": _xid,
    "sxids": _sxid,
    "recovery_actions": _recovery,
    "nvml_errors": _error,
    "cuda_errors": _error,
    "clock_reasons": _clock_reason,
    "kernel_messages": _message,
    "memory_repair": _memory_repair,
    "kernel_drivers": _kernel_driver,
    "denied_drivers": _denied_driver,
    "denied_torch": _advisory,
    "container_toolkit": _advisory,
}
