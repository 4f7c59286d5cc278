"""What other tools print of an environment: transformers, accelerate, diffusers, Lightning, detectron2, mmcv. Pure.

They name kinds of GPUs and seldom a driver. That PyTorch sees no GPU does not say that there is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from ..errors import InputError
from ..records import Driver, Gpu, GpuState, Machine
from ..versions import ComputeCapability
from .collect_env import host_of, python_of
from .paste import TAKEN, assuming, driver_version, gpu_facts, read_facts, value_of
from .smi_list import listed_gpus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .paste import Paste

SOURCE: Final = "environment report"
_TORCH: Final = ("pytorch version (gpu?)", "pytorch version (accelerator?)")
_AVAILABLE: Final = ("cuda available", "gpu available", "available")
_DRIVERS: Final = ("driver version", "cuda driver version")
_KINDS: Final = ("gpu type", "accelerator")
_LABELS: Final = frozenset(
    (
        *("sys.platform", "platform", "python", "python version", "processor", "os", "release", "gpu"),
        *("using gpu in script?", *_TORCH, *_AVAILABLE, *_DRIVERS, *_KINDS),
    )
)
_TELLING: Final = frozenset(("sys.platform", "gpu", "gpu available", "cuda available", *_TORCH))
"""Labels that no other format has."""
_SYSTEMS: Final = {"linux": "Linux", "win32": "Windows", "darwin": "Darwin"}
_LEAST = 2
# GPU 0,1                NVIDIA GeForce RTX 2080 Ti (arch=7.5)
_GPU = re.compile(r"GPU ([0-9]{1,4}(?:,[0-9]{1,4}){0,512})(?: {2,64}| {0,4}: {0,64})(\S.{0,255})")
_ARCH = re.compile(r" \(arch=([0-9]{1,2}\.[0-9])\)$")
# GPU 0,1 Compute Capability: 8.0
_CAPABILITY = re.compile(
    r"GPU ([0-9]{1,4}(?:,[0-9]{1,4}){0,512}) Compute Capability: {0,64}([0-9]{1,2}\.[0-9])(?![0-9])"
)


@dataclass(slots=True)
class _Fields:
    """The text by its labels; the first of each counts."""

    values: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    """GPUs that stand one below the other without numbers."""

    def first(self, labels: Iterable[str]) -> str | None:
        """The text of the first of the labels that is there and says something."""
        return next((said for label in labels if (said := value_of(self.values.get(label, "")))), None)


def recognise(paste: Paste) -> bool:
    """Whether at least two lines have labels of these tools, one of them its own."""
    labels = _fields(paste).values.keys()
    return len(labels) >= _LEAST and bool(labels & _TELLING)


# - Platform: Linux-5.15.0-91-generic-x86_64-with-glibc2.35
# - PyTorch version (GPU?): 2.3.0+cu121 (True)
# sys.platform            linux
# GPU 0,1                 NVIDIA A10G (arch=8.6)
# Driver version          535.161.07
def parse(paste: Paste) -> Machine:
    """Host, Python, GPUs and, where it is named, the driver; InputError when nothing is said of a GPU."""
    fields = _fields(paste)
    platform = fields.first(("platform",)) or ""
    word = (fields.first(("sys.platform", "os")) or "").split(" ")[0].lower()
    if not platform and word:
        platform = "-".join(filter(None, (_SYSTEMS.get(word, word), fields.values.get("release"))))
    host = host_of(named=fields.first(("processor",)) or "", platform=platform)
    python = python_of(fields.first(("python version", "python")) or "")
    driver = driver_version(fields.first(_DRIVERS))
    gpus = _gpus(paste, fields)
    machine = Machine(
        host=host,
        python=python,
        driver=Driver(driver_version=driver),
        gpus=gpus,
        gpu_state=GpuState.USABLE,
        readings=(
            *read_facts(
                SOURCE,
                ("host.system", host.system),
                ("host.kernel", host.kernel),
                ("host.arch", host.arch),
                ("host.glibc", str(host.glibc) if host.glibc else None),
                ("host.is_wsl", host.is_wsl),
                ("python.version", python.version if python else None),
                ("driver.driver_version", str(driver) if driver else None),
            ),
            *gpu_facts(SOURCE, gpus),
        ),
    )
    return _with_unnamed(machine, fields)


def _with_unnamed(machine: Machine, fields: _Fields) -> Machine:
    if machine.gpus:
        if fields.first(_KINDS) and len(machine.gpus) == 1:
            return assuming(machine, "The text names a kind of GPU and no number of them: one is taken to be there.")
        return machine
    torch, available = fields.first(_TORCH) or "", (fields.first(_AVAILABLE) or "").lower()
    if torch.endswith(("(True)", "(CUDA)")) or available in {"true", "yes"} or machine.driver != Driver():
        return assuming(replace(machine, gpus=(Gpu(index=0),)), f"PyTorch sees a GPU and none is named: {TAKEN}")
    raise InputError(
        "the text names no GPU: that PyTorch sees none does not say that there is none",
        do=("nvidia-smi -q > machine.txt", "add what nvidia-smi prints there to the file"),
    )


def _fields(paste: Paste) -> _Fields:
    fields, is_list = _Fields(), False
    for line in paste.lines:
        label, text = _label(line)
        said = value_of(line.strip(" -*")) if is_list else None
        if said and ":" not in said:
            fields.names.append(said)
            continue
        is_list = label == "gpu" and not text and label not in fields.values
        if label in _LABELS and (is_list if label == "gpu" else text):
            fields.values.setdefault(label, text)
    return fields


def _label(line: str) -> tuple[str, str]:
    """Label in lower case and text of a line: `- label: text`, or `label   text` of a table without bars."""
    bare = line.strip(" -*`")
    parts = re.split(r" {2,256}", bare, maxsplit=1)
    if len(parts) > 1 and ":" not in parts[0]:
        return parts[0].lower(), parts[1].strip()
    label, colon, text = bare.partition(":")
    return (label.strip(" *`").lower(), text.strip(" *`")) if colon else ("", "")


def _gpus(paste: Paste, fields: _Fields) -> tuple[Gpu, ...]:
    """The GPUs of numbered lines, of a list below a heading, or the one whose kind is named."""
    kind = fields.first(_KINDS)
    names = fields.names or ([kind.partition(",")[0]] if kind else [])
    told: dict[int, str] = {}
    lines = [line.strip(" -*`|") for line in paste.lines]
    for match in filter(None, map(_CAPABILITY.match, lines)):
        told.update(dict.fromkeys(map(int, match[1].split(",")), match[2]))
    plain_lines = []
    for match in filter(None, map(_GPU.match, lines)):
        name = match[2]
        if arch := _ARCH.search(name):
            told.update(dict.fromkeys(map(int, match[1].split(",")), arch[1]))
        plain_lines.append(f"GPU {match[1]}: {_ARCH.sub('', name)}")
    listed = listed_gpus(plain_lines) or tuple(Gpu(index=n, name=name, in_nvml=True) for n, name in enumerate(names))
    return tuple(
        replace(gpu, compute_capability=ComputeCapability.parse(told[gpu.index])) if gpu.index in told else gpu
        for gpu in listed
    )
