"""Display controllers on the PCI bus, from sysfs: works without any driver."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..records import OtherGpu, Reading
from ..spellings import normal_bus_id

if TYPE_CHECKING:
    from .surroundings import Surroundings

_BUS = "/sys/bus/pci/devices"
NVIDIA = "10de"
_DISPLAY, _NVSWITCH, _ACCELERATOR = 0x03, 0x0680, 0x12
_MAKERS = {"1002": "AMD", "8086": "Intel"}
# Adapters that only draw a console: management controllers and what hypervisors pretend (pci.ids, read 2026-11).
_CONSOLES = {
    "1013": "Cirrus Logic",
    "102b": "Matrox",
    "1234": "QEMU/Bochs",
    "126f": "Silicon Motion",
    "1414": "Hyper-V",
    "15ad": "VMware",
    "18ca": "XGI",
    "1a03": "ASPEED",
    "1ab8": "Parallels",
    "1af4": "virtio",
    "1b36": "QXL",
    "1d0f": "Amazon EC2",
    "19e5": "Huawei iBMC",
    "80ee": "VirtualBox",
}
# ATI ES1000 and Rage XL: console chips of older servers under AMD's vendor id.
_CONSOLE_DEVICES = {"1002:515e", "1002:5969", "1002:4752"}


@dataclass(frozen=True, slots=True)
class PciDevice:
    """One function of the PCI bus that matters to us."""

    bus_id: str
    """0000:07:00.0"""
    vendor: str
    """10de"""
    device: str
    """20b2"""
    class_code: int
    """Base class and subclass: 0x0302."""
    driver: str | None = None
    """Kernel driver bound to it."""

    @property
    def device_id(self) -> str:
        """Vendor and device as 10de:20b2."""
        return f"{self.vendor}:{self.device}"


@dataclass(frozen=True, slots=True)
class PciBus:
    """What the bus holds."""

    nvidia: tuple[PciDevice, ...] = ()
    others: tuple[OtherGpu, ...] = ()
    readings: tuple[Reading, ...] = ()
    is_readable: bool = False
    """Whether the bus lists devices at all: some sandboxes hide it."""


def detect_pci(around: Surroundings) -> PciBus:
    """NVIDIA GPUs, other makers' GPUs, and a reading for each display controller that is neither."""
    names = around.names(_BUS)
    if not names:
        why = "no PCI device is listed" if around.exists(_BUS) else "there is no PCI bus in sysfs"
        return PciBus(readings=(Reading("pci.devices", _BUS, failure=why),))
    devices = [device for name in names if (device := _read_device(around, name))]
    readings = [Reading("pci.devices", _BUS, len(names))]
    nvidia, others = [], []
    for device in devices:
        kind = classify(device)
        readings.append(_described(device, kind))
        if kind == "gpu":
            nvidia.append(device)
        elif kind == "other":
            others.append(
                OtherGpu(_MAKERS.get(device.vendor, f"vendor {device.vendor}"), device.bus_id, device.device_id)
            )
    return PciBus(tuple(nvidia), tuple(others), tuple(readings), is_readable=True)


def classify(device: PciDevice) -> str:
    """One of gpu (NVIDIA's), nvswitch, other (another maker's GPU) or console."""
    if device.vendor == NVIDIA:
        return "nvswitch" if device.class_code == _NVSWITCH else "gpu"
    if device.vendor in _CONSOLES or device.device_id in _CONSOLE_DEVICES:
        return "console"
    return "other"


def _is_ours(vendor: str, class_code: int) -> bool:
    """Whether a function is a display controller, an NVSwitch, or AMD's accelerators, which are GPUs in class 12."""
    return (
        class_code >> 8 == _DISPLAY
        or (vendor == NVIDIA and class_code == _NVSWITCH)
        or (vendor == "1002" and class_code >> 8 == _ACCELERATOR)
    )


def _read_device(around: Surroundings, name: str) -> PciDevice | None:
    folder = f"{_BUS}/{name}"
    class_code = parse_class(around.text(f"{folder}/class", longest=32) or "")
    if class_code is None or class_code >> 8 not in {_DISPLAY, _NVSWITCH >> 8, _ACCELERATOR}:
        return None
    vendor = parse_id(around.text(f"{folder}/vendor", longest=32) or "")
    device = parse_id(around.text(f"{folder}/device", longest=32) or "")
    if vendor is None or device is None or not _is_ours(vendor, class_code):
        return None
    driver = (around.link(f"{folder}/driver") or "").rsplit("/", 1)[-1] or None
    return PciDevice(normal_bus_id(name) or name, vendor, device, class_code, driver)


def _described(device: PciDevice, kind: str) -> Reading:
    said = f"{device.device_id} class {device.class_code:04x} driver {device.driver or 'none'}"
    maker = f" ({_CONSOLES.get(device.vendor, 'server console')})" if kind == "console" else ""
    return Reading(f"pci.{kind}", f"{_BUS}/{device.bus_id}", said + maker)


# 0x030200
def parse_class(text: str) -> int | None:
    """Base class and subclass of a sysfs `class` file, without the programming interface."""
    match = re.fullmatch(r"0x([0-9a-fA-F]{4})[0-9a-fA-F]{2}", text.strip())
    return int(match[1], 16) if match else None


# 0x10de
def parse_id(text: str) -> str | None:
    """Four lower-case hexadecimal digits of a sysfs `vendor` or `device` file."""
    match = re.fullmatch(r"0x([0-9a-fA-F]{4})", text.strip())
    return match[1].lower() if match else None
