"""The text of `python -m torch.utils.collect_env`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from ..errors import InputError
from ..records import Driver, Gpu, GpuState, Host, Interpreter, Machine
from ..spellings import is_wsl_kernel
from ..versions import Glibc
from .paste import assuming, driver_version, gpu_facts, read_facts, value_of
from .smi_list import listed_gpus

if TYPE_CHECKING:
    from .paste import Paste

SOURCE: Final = "torch.utils.collect_env"
_GPUS: Final = "gpu models and configuration"
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
_LEAST = 2
"""Labels that make a text one of collect_env's."""
_NO_CUDA: Final = frozenset(("no cuda", "could not collect"))

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

    def value(self, label: str) -> str | None:
        return value_of(self.values.get(label, ""))


def recognise(paste: Paste) -> bool:
    """Whether at least two lines have labels that collect_env prints."""
    return len({label for line in paste.lines if (label := _label(line)[0]) in _LABELS and label != "os"}) >= _LEAST


# PyTorch version: 2.0.0+cu118
# OS: Ubuntu 22.04.2 LTS (x86_64)
# Libc version: glibc-2.35
# Python version: 3.10.10 (main, Mar 16 2023, 12:53:44) [GCC 11.3.0] (64-bit runtime)
# Python platform: Linux-5.4.0-135-generic-x86_64-with-glibc2.35
# GPU models and configuration: GPU 0: Tesla V100S-PCIE-32GB
# Nvidia driver version: 470.161.03
def parse(paste: Paste) -> Machine:
    """Host, Python, driver and GPUs of the text."""
    fields = _fields(paste)
    host, python = _host(fields), _python(fields)
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
    return _with_state(machine, fields)


def _with_state(machine: Machine, fields: _Fields) -> Machine:
    """The machine with what the text shows of GPUs that it does not name."""
    if machine.gpus:
        return replace(machine, gpu_state=GpuState.USABLE)
    rocm = fields.value("rocm used to build pytorch")
    if rocm and machine.driver is None:
        return assuming(machine, f"PyTorch is built for ROCm {rocm} there: an AMD GPU is not supported and left out.")
    nameless = replace(machine, driver=machine.driver or Driver(), gpus=(Gpu(index=0),), gpu_state=GpuState.USABLE)
    if (fields.value("is cuda available") or "").lower() in {"true", "yes"}:
        return assuming(
            nameless, "CUDA is available and no GPU is named: one GPU of unknown kind is taken to be there."
        )
    if machine.driver is not None:
        return assuming(nameless, "A driver and no GPU is named: one GPU of unknown kind is taken to be there.")
    said = fields.values.get(_GPUS, "").strip().lower()
    if said not in _NO_CUDA:
        raise InputError(
            "the text of torch.utils.collect_env ends before it names GPUs or says that there is none",
            do=("copy it down to its line 'Nvidia driver version'",),
        )
    return assuming(machine, f"The text names no GPU ({said}) and no driver: the machine is taken to have none.")


def _label(line: str) -> tuple[str, str]:
    """Label in lower case and text of a line; the label is empty where there is none."""
    label, colon, text = line.strip(" -*").partition(":")
    return (label.strip(" *`").lower(), text.strip(" *`")) if colon else ("", "")


def _fields(paste: Paste) -> _Fields:
    values: dict[str, str] = {}
    gpu_lines: list[str] = []
    current = ""
    for line in paste.lines:
        label, text = _label(line)
        if label in _LABELS:
            current = label if label not in values else ""
            values.setdefault(label, text)
            if current == _GPUS:
                gpu_lines.append(text)
        elif current == _GPUS:
            gpu_lines.append(line)
    return _Fields(values, tuple(gpu_lines))


# --- host


def _host(fields: _Fields) -> Host:
    named = fields.value("os") or ""
    platform = fields.value("python platform") or ""
    system = _system(named, platform)
    kernel = re.match(r"Linux-(\S{1,200}?)-(?:x86_64|aarch64)(?:-|$)", platform)
    os_name, os_version = _distribution(named, system)
    return Host(
        system=system,
        os=os_name,
        os_version=os_version,
        kernel=kernel[1] if kernel else None,
        arch=_architecture(f"{named} {platform}"),
        glibc=_glibc(fields.value("libc version") or "", platform),
        is_wsl=is_wsl_kernel(platform) if kernel else None,
    )


def _system(named: str, platform: str) -> Literal["linux", "windows", "darwin"] | None:
    text = f"{platform} {named}".lower()
    if re.search(r"\bwindows[ -]", text):
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
    if version and os_name == "sles" and (pack := re.search(r"\bsp([0-9]{1,2})\b", lowered)):
        version = f"{version}.{pack[1]}"
    return os_name, version if os_name else None


def _architecture(text: str) -> str | None:
    found = re.search(r"(?<![a-z0-9])(x86_64|amd64|aarch64|arm64)(?![a-z0-9])", text.lower())
    return _ARCHITECTURES[found[1]] if found else None


def _glibc(named: str, platform: str) -> Glibc | None:
    found = re.search(r"glibc-?([0-9]{1,2})\.([0-9]{1,3})", f"{named} {platform}")
    return Glibc(int(found[1]), int(found[2])) if found else None


def _python(fields: _Fields) -> Interpreter | None:
    text = fields.value("python version") or ""
    match = re.match(r"([0-9]\.[0-9]{1,2}(?:\.[0-9]{1,2})?)(?![0-9])", text)
    if not match:
        return None
    return Interpreter(
        version=match[1],
        implementation="pypy" if "pypy" in text.lower() else "cpython",
        is_free_threaded="free-threading" in text.lower(),
    )
