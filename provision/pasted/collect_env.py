"""The text of `python -m torch.utils.collect_env`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from ..errors import InputError
from ..plain_text import plain
from ..records import Driver, Gpu, GpuState, Host, Interpreter, Machine
from ..spellings import is_wsl_kernel
from ..versions import Glibc
from .paste import TAKEN, TAKEN_NONE, assuming, driver_version, gpu_facts, read_facts, value_of, without_driver
from .smi_list import listed_gpus

if TYPE_CHECKING:
    from .paste import Paste

SOURCE: Final = "torch.utils.collect_env"
_GPUS: Final = "gpu models and configuration"
_XPU: Final = "is xpu available"
_CPU: Final = "architecture"
_LABELS: Final = frozenset(
    (
        "pytorch version",
        "is debug build",
        "cuda used to build pytorch",
        "rocm used to build pytorch",
        "libc version",
        "python version",
        "python platform",
        "is cuda available",
        "cuda runtime version",
        "cuda_module_loading set to",
        _GPUS,
        "nvidia driver version",
        "cudnn version",
        "os",
    )
)
_OTHERS: Final = frozenset(
    (
        "gcc version",
        "clang version",
        "cmake version",
        "hip runtime version",
        "miopen runtime version",
        "xpu used to build pytorch",
        _XPU,
        "intel gpu driver version",
        "intel gpu models onboard",
        "intel gpu models detected",
        "is xnnpack available",
        "caching allocator config",
        "gpu topology",
        "nccl version",
        "cpu",
        _CPU,
        "versions of relevant libraries",
    )
)
"""Labels whose text no plan needs, but that end the text of the one before."""
_AT_LABEL = re.compile(
    r"(?<=\S) {1,8}(?=(?:" + "|".join(re.escape(label) for label in sorted(_LABELS | _OTHERS)) + r") {0,64}:)",
    re.IGNORECASE,
)
_AT_GPU = re.compile(r"(?<=\S) {1,8}(?=GPU [0-9]{1,4}: )")
_FOLDED = 3
"""Labels of one line that show that its line breaks were lost."""
_DRIVER: Final = "nvidia driver version"
_STARTS: Final = ("collecting environment information", "system info")
_ONCE: Final = frozenset(("pytorch version", "is cuda available", _GPUS, _DRIVER))
"""Labels whose second coming begins another output."""
_LEAST = 2
"""Labels that make a text one of collect_env's."""
_NO_CUDA: Final = frozenset(("no cuda", "could not collect"))
_OTHER_VENDORS = re.compile(r"\b(?:amd|radeon|instinct|intel|apple)\b|\bgfx[0-9]")
_PRINTED: Final = {
    "os": "OS",
    "libc version": "Libc version",
    "python version": "Python version",
    _DRIVER: "Nvidia driver version",
    _GPUS: "GPU models and configuration",
}
"""Labels as collect_env prints them."""

# Beginning of a PRETTY_NAME, and the ID of the same os-release file.
_SYSTEMS: Final[tuple[tuple[str, str], ...]] = (
    ("ubuntu", "ubuntu"),
    ("debian", "debian"),
    ("red hat enterprise", "rhel"),
    ("rocky linux", "rocky"),
    ("almalinux", "almalinux"),
    ("centos", "centos"),
    ("oracle linux", "ol"),
    ("amazon linux", "amzn"),
    ("fedora", "fedora"),
    ("suse linux enterprise", "sles"),
    ("opensuse leap", "opensuse-leap"),
    ("opensuse tumbleweed", "opensuse-tumbleweed"),
    ("linux mint", "linuxmint"),
    ("pop!_os", "pop"),
    ("arch linux", "arch"),
    ("manjaro", "manjaro"),
    ("nixos", "nixos"),
    ("alpine linux", "alpine"),
)
_ARCHITECTURES: Final = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class _Fields:
    """The text by its labels."""

    values: dict[str, str]
    gpu_lines: tuple[str, ...]
    """What stands at the label of the GPUs, and below it."""
    place: int = 1
    """Number of its first line, from 1."""

    @property
    def essence(self) -> tuple[object, ...]:
        """What makes it the text of another machine, or of another time."""
        return self.value(_DRIVER), tuple((gpu.index, gpu.name) for gpu in listed_gpus(self.gpu_lines))

    def value(self, label: str) -> str | None:
        return value_of(self.values.get(label, ""))


def recognise(paste: Paste) -> bool:
    """Whether at least two lines have labels that collect_env prints."""
    return any(len((_LABELS & fields.values.keys()) - {"os"}) >= _LEAST for fields in _outputs(paste))


# PyTorch version: 2.0.0+cu118
# OS: Ubuntu 22.04.2 LTS (x86_64)
# Libc version: glibc-2.35
# Python version: 3.10.10 (main, Mar 16 2023, 12:53:44) [GCC 11.3.0] (64-bit runtime)
# Python platform: Linux-5.4.0-135-generic-x86_64-with-glibc2.35
# GPU models and configuration: GPU 0: Tesla V100S-PCIE-32GB
# Nvidia driver version: 470.161.03
def parse(paste: Paste) -> Machine:
    """Host, Python, driver and GPUs of the text."""
    outputs = _outputs(paste)
    fields = max(outputs, key=lambda one: len(_LABELS & one.values.keys()))
    python_text = fields.value("python version") or ""
    host = host_of(
        named=f"{fields.value('os') or ''}",
        platform=fields.value("python platform") or "",
        libc=fields.value("libc version") or "",
        processor=f"{fields.value(_CPU) or ''} {_build_architecture(python_text)}",
    )
    python = python_of(python_text)
    driver = driver_version(fields.value("nvidia driver version"))
    gpus = listed_gpus(fields.gpu_lines)
    readings = (
        *read_facts(
            SOURCE,
            ("host.system", host.system),
            ("host.os", host.os),
            ("host.os_version", host.os_version),
            ("host.kernel", host.kernel),
            ("host.arch", host.arch),
            ("host.glibc", str(host.glibc) if host.glibc else None),
            ("host.is_wsl", host.is_wsl),
            ("python.version", python.version if python else None),
            ("driver.driver_version", str(driver) if driver else None),
            ("torch.version", fields.value("pytorch version")),
            ("torch.cuda_runtime_version", fields.value("cuda used to build pytorch")),
            ("torch.is_cuda_available", fields.value("is cuda available")),
            ("host.cuda_toolkit_version", fields.value("cuda runtime version")),
        ),
        *gpu_facts(SOURCE, gpus),
    )
    known = Driver(driver_version=driver) if driver or gpus else None
    machine = Machine(host=host, python=python, driver=known, gpus=gpus, readings=readings)
    machine = assuming(machine, *_others(fields, outputs), *_unread(machine, fields))
    return _with_state(machine, fields)


def _others(chosen: _Fields, outputs: list[_Fields]) -> tuple[str, ...]:
    """A sentence where the paste holds the outputs of several machines, or of several times."""
    whole = [one for one in outputs if _GPUS in one.values or _DRIVER in one.values]
    if all(one.essence == chosen.essence for one in whole):
        return ()
    places = ", ".join(str(one.place) for one in whole)
    line = (
        f"The paste holds {len(whole)} outputs of torch.utils.collect_env that differ (they start at lines {places}): "
        f"the one at line {chosen.place} is read."
    )
    return (line,)


def _unread(machine: Machine, fields: _Fields) -> tuple[str, ...]:
    """Sentences about lines that are cut off or say something unknown."""
    host, lines = machine.host, []
    known = {
        "os": host.system,
        "libc version": host.glibc,
        "python version": machine.python,
        _DRIVER: machine.driver and machine.driver.driver_version,
    }
    for label, fact in known.items():
        said = fields.value(label)
        if fact is None and said and said.lower() not in _NO_CUDA:
            what = f"line '{_PRINTED[label]}' can't be read: {plain(said, longest=60)!r}"
            lines.append(without_driver(f"its {what}") if label == _DRIVER else f"The {what}.")
    if machine.gpus and _DRIVER not in fields.values:
        lines.append(
            without_driver(
                f"the text ends before its line '{_PRINTED[_DRIVER]}', and may have ended before its last GPU"
            )
        )
    return tuple(lines)


def _with_state(machine: Machine, fields: _Fields) -> Machine:
    """The machine with what the text shows of GPUs that it does not name."""
    if machine.gpus:
        return replace(machine, gpu_state=GpuState.USABLE)
    said = fields.values.get(_GPUS, "").strip().lower()
    rocm = fields.value("rocm used to build pytorch")
    if rocm and machine.driver is None:
        return assuming(machine, f"PyTorch is built for ROCm {rocm} there: an AMD GPU is not supported and left out.")
    if _OTHER_VENDORS.search(said) and machine.driver is None:
        return assuming(
            machine, f"A GPU that is not NVIDIA's is not supported and left out: {plain(said, longest=60)}."
        )
    if _is_yes(fields.value(_XPU)):
        machine = assuming(machine, "PyTorch finds an Intel GPU (XPU) there: it is not supported and left out.")
    is_unread = bool(said) and said not in _NO_CUDA
    if is_unread:
        machine = assuming(
            machine, f"The line '{_PRINTED[_GPUS]}' can't be read: {plain(fields.values[_GPUS], longest=60)!r}."
        )
    nameless = replace(machine, driver=machine.driver or Driver(), gpus=(Gpu(index=0),), gpu_state=GpuState.USABLE)
    if _is_yes(fields.value("is cuda available")):
        return assuming(nameless, f"CUDA is available and no GPU is named: {TAKEN}")
    if machine.driver is not None:
        return assuming(nameless, f"A driver and no GPU is named: {TAKEN}")
    if is_unread and "{" not in said:  # braces: the script itself was pasted
        return assuming(nameless, f"What is said of GPUs is no list of them: {TAKEN}")
    if said not in _NO_CUDA:
        raise InputError(
            "the text of torch.utils.collect_env ends before it names GPUs or says that there is none",
            do=("copy it down to its line 'Nvidia driver version'",),
        )
    return assuming(machine, f"The text names no GPU ({said}) and no driver: {TAKEN_NONE}")


def _is_yes(text: str | None) -> bool:
    return (text or "").lower() in {"true", "yes"}


def _label(line: str) -> tuple[str, str]:
    """Label in lower case and text of a line; the label is empty where there is none."""
    label, colon, text = line.strip(" -*").partition(":")
    return (label.strip(" *`").lower(), text.strip(" *`")) if colon else ("", "")


def _outputs(paste: Paste) -> list[_Fields]:
    """The outputs of the text, split where one begins; never empty, and no output takes facts of another."""
    outputs: list[_Fields] = []
    values: dict[str, str] = {}
    gpu_lines: list[str] = []
    current, start = "", 1

    def end(place: int) -> None:
        nonlocal values, gpu_lines, current, start
        if values:
            outputs.append(_Fields(values, tuple(gpu_lines), start))
        values, gpu_lines, current, start = {}, [], "", place

    for place, whole in enumerate(paste.lines, 1):
        if whole.lower().lstrip(" -=*`").startswith(_STARTS):
            end(place)
        for line in _unfolded(whole):
            label, text = _label(line)
            if label in _ONCE and label in values:
                end(place)
            if label in _LABELS or label in _OTHERS:
                current = label if label not in values else ""
                values.setdefault(label, text)
                if current == _GPUS:
                    gpu_lines.append(text)
            elif current == _GPUS:
                gpu_lines.append(line)
    end(1)
    return outputs or [_Fields({}, ())]


def _unfolded(line: str) -> list[str]:
    """The lines of a text whose line breaks were lost: `PyTorch version: 2.4.0 Is debug build: False ...`."""
    pieces = _AT_LABEL.split(line)
    if len(pieces) < _FOLDED:
        return [line]
    return [part for piece in pieces for part in _AT_GPU.split(piece)]


# --- host


def host_of(*, named: str, platform: str, libc: str = "", processor: str = "") -> Host:
    """The host of a name such as "Ubuntu 22.04.3 LTS (x86_64)" and of what Python's `platform.platform()` says."""
    system = _system(named, platform)
    kernel = re.match(r"Linux-(\S{1,200}?)-(?:x86_64|aarch64)(?:-|$)", platform)
    os_name, os_version = _distribution(named, system)
    return Host(
        system=system,
        os=os_name,
        os_version=os_version,
        kernel=kernel[1] if kernel else None,
        arch=_architecture(f"{named} {platform}") or _architecture(processor),
        glibc=_glibc(libc, platform),
        is_wsl=is_wsl_kernel(platform) if kernel else None,
    )


def _system(named: str, platform: str) -> Literal["linux", "windows", "darwin"] | None:
    text = f"{platform} {named}".lower()
    if re.search(r"\bwindows\b", text):
        return "windows"
    if re.search(r"\bmac ?os\b|\bdarwin\b", text):
        return "darwin"
    if platform.startswith("Linux") or "linux" in text or any(text.strip().startswith(name) for name, _ in _SYSTEMS):
        return "linux"
    return None


def _distribution(named: str, system: str | None) -> tuple[str | None, str | None]:
    """ID and VERSION_ID as os-release has them: ubuntu and 22.04 of "Ubuntu 22.04.2 LTS (x86_64)"."""
    lowered = named.lower()
    number = re.search(r"(?<![0-9.])v?([0-9]{1,5}(?:\.[0-9]{1,4}){0,3})", lowered)
    version = number[1] if number else None
    if system in {"windows", "darwin"}:
        return ("windows" if system == "windows" else "macos"), version
    os_name = next((name for start, name in _SYSTEMS if lowered.startswith(start)), None)
    if version and os_name == "ubuntu":
        version = ".".join(version.split(".")[:2])
    if version and os_name in {"centos", "amzn"}:  # CentOS Linux release 7.9.2009, Amazon Linux 2023.3.20240131
        version = version.split(".")[0]
    if version and os_name == "sles" and (pack := re.search(r"\bsp([0-9]{1,2})\b", lowered)):
        version = f"{version}.{pack[1]}"
    return os_name, version if os_name else None


def _architecture(text: str) -> str | None:
    found = re.search(r"(?<![a-z0-9])(x86_64|amd64|aarch64|arm64)(?![a-z0-9])", text.lower())
    return _ARCHITECTURES[found[1]] if found else None


# Python version: 3.11.9 (tags/v3.11.9:de54cf5, Apr  2 2024) [MSC v.1938 64 bit (AMD64)] (64-bit runtime)
def _build_architecture(python: str) -> str:
    """The architecture that Python was compiled for, which Windows' lines name alone."""
    found = re.search(r"\((AMD64|ARM64)\)", python)
    return found[1] if found else ""


def _glibc(named: str, platform: str) -> Glibc | None:
    found = re.search(r"glibc-?([0-9]{1,2})\.([0-9]{1,3})", f"{named} {platform}")
    return Glibc(int(found[1]), int(found[2])) if found else None


def python_of(text: str) -> Interpreter | None:
    """The interpreter whose `sys.version` the text begins with."""
    match = re.match(r"([0-9]\.[0-9]{1,2}(?:\.[0-9]{1,2})?)(?![0-9])", text)
    if not match:
        return None
    return Interpreter(
        version=match[1],
        implementation="pypy" if "pypy" in text.lower() else "cpython",
        is_free_threaded="free-threading" in text.lower(),
    )
