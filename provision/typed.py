"""Machines that are not this one: typed in on the command line, or a machine document (PURE)."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NoReturn

from .documents.codec import decode
from .drivers.branches import architectures_of, choose_branch
from .errors import InputError, NoBuildError, UsageError
from .records import Driver, Gpu, GpuState, Host, Interpreter, Machine
from .versions import ComputeCapability, CudaVersion, DriverVersion, Glibc

if TYPE_CHECKING:
    from collections.abc import Callable

    from .matrix.containers import JetPack
    from .matrix.tables import Matrix

_MOST_GPUS = 1024
_OTHER_VENDORS = re.compile(r"(?:AMD|ATI|Radeon|FirePro|Instinct|Intel|Arc|Gaudi|Apple)\b", re.IGNORECASE)
_WINDOWS = re.compile(r"(?:ms-?|microsoft )?win(?:dows)?(?![a-z])[\s_-]*", re.IGNORECASE)
_MACOS = re.compile(r"(?:mac ?os(?: ?x)?|os ?x|mac|darwin)(?![a-z])[\s_-]*", re.IGNORECASE)
_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
NO_DRIVER = "The paste names no driver version"
LIST = "nvidia-smi -L"
"""Source of the readings of that paste."""
"""How every sentence about a missing driver begins."""


@dataclass(frozen=True, slots=True)
class TypedMachine:
    """The words of the command line that describe a machine; empty and None mean: not said."""

    gpus: tuple[str, ...] = ()
    """NAME or NAME*COUNT."""
    driver: str | None = None
    compute_capability: str | None = None
    python: str | None = None
    glibc: str | None = None
    arch: str | None = None
    os: str | None = None

    def is_empty(self) -> bool:
        """Whether nothing but a Python was typed, so that this machine is meant."""
        return not (self.gpus or self.driver or self.compute_capability or self.glibc or self.arch or self.os)


def machine_from_words(words: TypedMachine, matrix: Matrix) -> Machine:
    """The machine that was typed in; UsageError names the word that can't be read."""
    capability = _parsed("--compute-capability", ComputeCapability.parse, words.compute_capability)
    names = [name for word in words.gpus for name in _counted(word)]
    if capability is not None and not names:
        names = [""]
    _require_agreement(names, capability, matrix)
    gpus = tuple(_gpu(index, name, capability, matrix) for index, name in enumerate(names))
    driver = _parsed("--driver", DriverVersion, words.driver)
    jetpack = _jetpack(words.os, matrix)
    machine = Machine(
        host=_host(words, jetpack),
        python=_interpreter(words.python or (jetpack.python if jetpack else None)),
        driver=Driver(driver_version=driver, driver_cuda_version=_cuda_of(driver, matrix)) if driver else None,
        gpus=gpus,
        gpu_state=GpuState.USABLE if gpus else GpuState.NONE,
    )
    if driver and not gpus:
        raise UsageError("--driver without a GPU: nothing says which GPUs it drives.", do=("add --gpu NAME",))
    return _with_assumed_driver(_with_unknown_gpus(machine, is_given=bool(gpus)), matrix)


def _host(words: TypedMachine, jetpack: JetPack | None) -> Host:
    """The host that the words describe; a JetPack brings its Ubuntu, its glibc and its processor."""
    glibc, arch = _parsed("--glibc", Glibc.parse, words.glibc), _arch(words.arch)
    if jetpack is not None:
        if arch == "x86_64":
            raise UsageError(f"--os {words.os!r} and --arch {words.arch} exclude each other: a Jetson is aarch64.")
        l4t = jetpack.l4t[-1]
        return Host(None, "linux", "ubuntu", jetpack.ubuntu, None, "aarch64", glibc or jetpack.glibc, False, l4t=l4t)  # noqa: FBT003
    system, os_name, os_version, is_wsl = _system(words.os)
    return Host(system=system, os=os_name, os_version=os_version, arch=arch, glibc=glibc, is_wsl=is_wsl)


def _jetpack(text: str | None, matrix: Matrix) -> JetPack | None:
    """The JetPack of --os 'jetpack 6.2'; UsageError for one that the matrix does not know."""
    match = re.fullmatch(r"jetpack[ -]?(.*)", (text or "").strip(), re.IGNORECASE)
    if not match:
        return None
    known = matrix.containers.jetpacks
    found = next((row for row in known if row.version == match[1].strip()), None)
    if found is None:
        versions = ", ".join(row.version for row in known)
        raise UsageError(f"--os: the matrix has no JetPack {match[1].strip()!r}.", do=(f"one of {versions}",))
    return found


def require_fillable(words: TypedMachine) -> None:
    """UsageError when words that say which GPUs there are stand beside a file, which says it."""
    if words.gpus or words.compute_capability:
        option = "--gpu" if words.gpus else "--compute-capability"
        raise UsageError(
            f"--from and {option} exclude each other: the file says which GPUs there are.",
            do=("--driver, --python, --glibc, --arch and --os may stand beside --from",),
        )


def filled(machine: Machine, words: TypedMachine, matrix: Matrix, *, origin: str) -> Machine:
    """The machine of a file with the typed facts that the file does not say; UsageError names both where they differ.

    --python is no fact of the machine alone: it says which Python the environment gets, whatever the machine has.
    """
    require_fillable(words)
    system, os_name, os_version, is_wsl = _system(words.os) if words.os else (None, None, None, False)
    host = machine.host
    if is_wsl and host.is_wsl is False:
        _contradict("--os", words.os, origin, "that it is no WSL")
    if os_name == "linux":
        os_name = None  # a system, and no distribution
    typed_os = (("system", system, host.system), ("name", os_name, host.os), ("version", os_version, host.os_version))
    for part, typed, said in typed_os:
        if typed and said and typed != said and not (part == "version" and f"{said}.".startswith(f"{typed}.")):
            _contradict("--os", words.os, origin, said)
    glibc = _parsed("--glibc", Glibc.parse, words.glibc)
    arch = _arch(words.arch)
    if glibc and host.glibc and glibc != host.glibc:
        _contradict("--glibc", glibc, origin, host.glibc)
    if arch and host.arch and arch != _ARCHITECTURES.get(host.arch.lower(), host.arch):
        _contradict("--arch", arch, origin, host.arch)
    host = replace(
        host,
        system=host.system or system,
        os=host.os or os_name,
        os_version=host.os_version or os_version,
        glibc=host.glibc or glibc,
        arch=host.arch or arch,
        is_wsl=True if is_wsl else host.is_wsl,
    )
    return _with_typed_driver(replace(machine, host=host), words, matrix, origin=origin)


def _with_typed_driver(machine: Machine, words: TypedMachine, matrix: Matrix, *, origin: str) -> Machine:
    typed = _parsed("--driver", DriverVersion, words.driver)
    if typed is None:
        return machine
    if not machine.gpus and machine.gpu_state is GpuState.NONE:
        _contradict("--driver", typed, origin, "a machine without GPU")
    driver = machine.driver or Driver()
    if driver.driver_version and driver.driver_version != typed:
        _contradict("--driver", typed, origin, driver.driver_version)
    cuda, said = _cuda_of(typed, matrix), driver.driver_cuda_version
    if cuda and said and said < cuda:  # a higher one may be that of a compatibility package
        _contradict(
            "--driver", f"{typed}, which implements CUDA {cuda},", origin, f"a driver that implements CUDA {said}"
        )
    driver = replace(driver, driver_version=typed, driver_cuda_version=said or cuda)
    lines = tuple(line for line in machine.assumptions if not line.startswith(NO_DRIVER))
    return replace(machine, driver=driver, assumptions=lines)


def _contradict(option: str, typed: object, origin: str, said: object) -> NoReturn:
    raise UsageError(
        f"{option}: {typed} is typed in, and {origin} says {said}.",
        do=(f"leave {option} out", "or correct the file"),
    )


def machine_from_document(data: Any, matrix: Matrix, *, origin: str, words: TypedMachine | None = None) -> Machine:
    """The machine of a document machine/1, of which any subset of fields may be there, with typed facts beside it."""
    if not isinstance(data, dict):
        raise InputError(f"{origin}: data: expected an object, found {type(data).__name__}")
    gpus = data.get("gpus")
    if isinstance(gpus, list):
        numbered = [{"index": n, **gpu} if isinstance(gpu, dict) else gpu for n, gpu in enumerate(gpus)]
        data = {**data, "gpus": numbered}
    machine = decode(Machine, data, where=f"{origin}: data")
    if unread := sorted(set(data) - {field.name for field in fields(Machine)}):
        # A later gpusetup may have added them; a slip of the pen must not turn a GPU box into one for the CPU unseen.
        names = ", ".join(repr(name[:40]) for name in unread[:5]) + (", ..." if unread[5:] else "")
        machine = replace(
            machine, assumptions=(*machine.assumptions, f"Fields that are not known were left out: {names}.")
        )
    if words is not None:
        machine = _with_words(machine, data, words, matrix, origin=origin)
    driver = machine.driver
    if driver and driver.driver_version and driver.driver_cuda_version is None:
        driver = replace(driver, driver_cuda_version=_cuda_of(driver.driver_version, matrix))
    if "gpu_state" not in data or (machine.gpus and machine.gpu_state is GpuState.NONE):
        machine = replace(machine, gpu_state=_state(machine, has_driver_key="driver" in data))
    machine = replace(machine, driver=driver)
    if driver and "gpus" not in data and "gpu_state" not in data:
        # A driver is there for a GPU; of what kind, nobody said, and a plan for the CPU would be a guess.
        line = "GPUs were not given; the driver says that there is one, of a kind that is not known."
        return replace(machine, gpus=(Gpu(0),), gpu_state=GpuState.USABLE, assumptions=(*machine.assumptions, line))
    is_given = "gpus" in data or "gpu_state" in data
    return _with_assumed_driver(_with_unknown_gpus(machine, is_given=is_given), matrix)


def _with_words(machine: Machine, data: dict[str, Any], words: TypedMachine, matrix: Matrix, *, origin: str) -> Machine:
    """The machine of a document with typed facts. That it names no GPU is no statement where it has no such field."""
    if words.driver and "driver" in data and machine.driver is None:
        _contradict("--driver", words.driver, origin, "that there is no driver")
    is_silent = "gpus" not in data and "gpu_state" not in data
    state = GpuState.USABLE if is_silent or machine.gpus else machine.gpu_state
    return replace(filled(replace(machine, gpu_state=state), words, matrix, origin=origin), gpu_state=machine.gpu_state)


def _state(machine: Machine, *, has_driver_key: bool) -> GpuState:
    """`driver: null` says that there is none; a driver that is not mentioned is merely unknown."""
    if not machine.gpus:
        return GpuState.NONE
    return GpuState.UNUSABLE if has_driver_key and machine.driver is None else GpuState.USABLE


def _with_unknown_gpus(machine: Machine, *, is_given: bool) -> Machine:
    """The machine with a line that says that nobody spoke of GPUs, where nobody did."""
    if is_given:
        return machine
    return replace(
        machine, assumptions=(*machine.assumptions, "GPUs were not given; a machine without one is assumed.")
    )


def with_driver_of_a_list(machine: Machine, matrix: Matrix) -> Machine:
    """The machine of `nvidia-smi -L`, which names no driver though one answered, with the newest production driver."""
    if machine.driver != Driver() or any(reading.source != LIST for reading in machine.readings):
        return machine
    with_capabilities = tuple(
        replace(gpu, compute_capability=matrix.capability_by_name(gpu.name or "")) for gpu in machine.gpus
    )
    found = _with_assumed_driver(replace(machine, driver=None, gpus=with_capabilities), matrix)
    return replace(machine, driver=found.driver or machine.driver, assumptions=found.assumptions)


def _with_assumed_driver(machine: Machine, matrix: Matrix) -> Machine:
    """The machine with the newest production driver of its GPUs where nobody named one, and a line that says so."""
    if machine.driver is not None or not machine.gpus or machine.gpu_state is not GpuState.USABLE:
        return machine
    if any(gpu.compute_capability in matrix.tegra for gpu in machine.gpus):
        return _with_assumed_jetpack(machine, matrix)
    try:
        branch = choose_branch(architectures_of(machine, matrix), matrix, today=matrix.read_on)
        version = DriverVersion((branch.latest_windows if _is_windows(machine) else branch.latest_linux) or "")
    except (NoBuildError, ValueError):
        return machine  # the resolver says what it misses
    line = f"The driver was not given; {version}, the newest production release for these GPUs, is assumed."
    return replace(
        machine,
        driver=Driver(driver_version=version, driver_cuda_version=branch.cuda),
        assumptions=(*machine.assumptions, line),
    )


def _with_assumed_jetpack(machine: Machine, matrix: Matrix) -> Machine:
    """A Jetson with the newest JetPack that serves it where nobody named one: a driver number says nothing there."""
    served = [
        row
        for row in matrix.containers.jetpacks
        if all(gpu.compute_capability in row.capabilities for gpu in machine.gpus)
    ]
    if machine.host.l4t is not None or not served:
        return machine  # the resolver says what it misses
    line = f"The JetPack was not given; {served[-1].version}, the newest that serves this board, is assumed."
    host = replace(machine.host, l4t=served[-1].l4t[-1], arch=machine.host.arch or "aarch64")
    return replace(machine, host=host, assumptions=(*machine.assumptions, line))


def _is_windows(machine: Machine) -> bool:
    return machine.host.system == "windows" or bool(machine.host.is_wsl)


def _counted(word: str) -> list[str]:
    name, star, count = word.rpartition("*")
    if not star and (match := re.fullmatch(r"(.+?)\s*x(\d{1,4})", word)):
        name, star, count = match[1], "x", match[2]
    if not (name.strip() if star else word.strip()):
        raise UsageError(f"--gpu: found {word!r}, expected a name such as 'NVIDIA A100-SXM4-40GB', or NAME*8.")
    if not star:
        return [word.strip()]
    number = int(count) if re.fullmatch(r"\s*[0-9]{1,4}\s*", count) else 0
    if not 1 <= number <= _MOST_GPUS:
        raise UsageError(f"--gpu: the count of {word!r} is {count.strip()!r}; expected 1 to {_MOST_GPUS}.")
    return [name.strip()] * number


def _require_agreement(names: list[str], capability: ComputeCapability | None, matrix: Matrix) -> None:
    """UsageError when a typed capability is that of no GPU that was named: each has another one in the matrix."""
    known = {name: matrix.capability_by_name(name) for name in names}
    if capability is None or not known or any(found in (None, capability) for found in known.values()):
        return
    name, found = next(iter(known.items()))
    raise UsageError(
        f"--compute-capability: {capability} is typed in, and {name} has {found} in the matrix.",
        do=("leave --compute-capability out", f"gpusetup matrix show --gpu '{name}'"),
    )


def _gpu(index: int, name: str, capability: ComputeCapability | None, matrix: Matrix) -> Gpu:
    known = matrix.capability_by_name(name) if name else None
    if known is None and capability is None:
        shared = matrix.identity_by_name(name)
        if shared is None and _OTHER_VENDORS.match(name):
            raise UsageError(f"--gpu: {name!r} is not supported: only NVIDIA GPUs are.", do=("gpusetup plan --cpu",))
        raise UsageError(
            f"--gpu: GPUs of several compute capabilities are named {name!r}."
            if shared
            else f"--gpu: the matrix has no GPU named {name!r}.",
            do=("gpusetup matrix show --gpu ''", "or add its --compute-capability, such as 8.6"),
        )
    return Gpu(index=index, name=name or None, compute_capability=known or capability)


def _cuda_of(driver: DriverVersion | None, matrix: Matrix) -> CudaVersion | None:
    branch = matrix.branch_of(driver) if driver else None
    return branch.cuda if branch else None


def _parsed(option: str, parse: Callable[[str], Any], text: str | None) -> Any:
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as err:
        raise UsageError(f"{option}: {err}.") from err


def _interpreter(text: str | None) -> Interpreter | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+\.\d+(?:\.\d+)?)(t?)", text)
    if not match:
        raise UsageError(f"--python: {text!r} is not a Python version; expected 3.11, or 3.14t.")
    return Interpreter(version=match[1], is_free_threaded=bool(match[2]))


def _arch(text: str | None) -> str | None:
    if text is None:
        return None
    if text.lower() not in _ARCHITECTURES:
        raise UsageError(f"--arch: found {text!r}, expected x86_64 or aarch64.")
    return _ARCHITECTURES[text.lower()]


def _system(text: str | None) -> tuple[Any, str | None, str | None, bool]:
    """System, name, release, and whether it is WSL, where the driver is that of Windows."""
    if text is None:
        return "linux", None, None, False
    text = text.strip().lower()
    if text in ("wsl", "wsl2", "wsl 2"):
        return "linux", None, None, True
    for system, pattern, usual in (("windows", _WINDOWS, "windows"), ("darwin", _MACOS, "macos")):
        if match := pattern.match(text):
            return system, "darwin" if text.startswith("darwin") else usual, text[match.end() :] or None, False
    name, _, version = text.partition(" ")
    if not version:
        name, _, version = name.partition("-")
    if name in ("freebsd", "openbsd", "netbsd", "solaris", "aix"):
        raise UsageError(f"--os: {name} is not planned for; expected a Linux distribution, windows or macos.")
    return "linux", name, version or None, False
