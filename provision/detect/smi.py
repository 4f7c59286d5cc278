"""`nvidia-smi -q -x`, the second way to ask the driver, for when NVML could not be asked directly."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..plain_text import plain
from ..records import Driver, GpuState, Machine, Reading
from ..spellings import normal_bus_id
from ..versions import ComputeCapability, CudaVersion, DriverVersion
from .nvml import NvmlDevice, NvmlFacts

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from .surroundings import Surroundings

LONGEST_XML = 16 * 1024 * 1024
_DEEPEST = 32
_CHUNK = 65536
_NOTHING = {
    "",
    "n/a",
    "[n/a]",
    "none",
    "unknown",
    "err!",
    "[unknown error]",
    "requested functionality has been deprecated",
}


def detect_smi(around: Surroundings, *, deadline_s: float) -> NvmlFacts | None:
    """What nvidia-smi says; None when there is no such program."""
    program = find_smi(around)
    if program is None:
        return None
    source = "nvidia-smi -q -x"
    completed = around.ask(
        source, [program, "-q", "-x"], deadline_s=deadline_s, keep_bytes=LONGEST_XML, keep=kept_of_xml
    )
    if completed.failure:
        return _failed(f"{program} could not be started: {completed.failure}")
    if completed.timed_out:
        return _failed(f"{program} did not end within {deadline_s:g} s")
    if completed.returncode != 0:
        said = plain(completed.stdout or completed.stderr, longest=300)
        return _failed(f"{program} ended with status {completed.returncode}: {said}")
    try:
        facts = parse_smi_xml(completed.stdout)
    except InputError as err:
        return _failed(err.happened)
    devices, readings = _with_capabilities(around, program, facts.devices, deadline_s=deadline_s)
    summary = Reading("smi.query", source, f"{len(devices)} GPUs")
    return replace(facts, devices=devices, readings=(summary, *facts.readings, *readings))


def _with_capabilities(
    around: Surroundings, program: str, devices: tuple[NvmlDevice, ...], *, deadline_s: float
) -> tuple[tuple[NvmlDevice, ...], tuple[Reading, ...]]:
    """The devices with their compute capabilities, which the XML lacks and the query has since R510."""
    query = [program, "--query-gpu=uuid,compute_cap", "--format=csv,noheader"]
    source = "nvidia-smi --query-gpu=compute_cap"
    completed = around.ask(source, query, deadline_s=deadline_s)
    found = parse_capabilities(completed.stdout) if completed.ok else {}
    filled, readings = [], []
    for device in devices:
        capability = found.get(device.uuid or "")
        why = None if capability else completed.failure or plain(completed.stdout or "no answer", longest=160)
        value = str(capability) if capability else None
        readings.append(Reading(f"gpu.{device.index}.compute_capability", source, value, why))
        filled.append(replace(device, compute_capability=capability))
    return tuple(filled), tuple(readings)


# GPU-00000000-0000-0000-0000-000000000000, 8.0
def parse_capabilities(text: str) -> dict[str, ComputeCapability]:
    """Compute capability by UUID, from the lines of the query; lines of another form are left out."""
    lines = re.findall(r"^\s*(GPU-[0-9a-fA-F-]{8,64})\s*,\s*(\d{1,2}\.\d)\s*$", text, re.MULTILINE)
    return {uuid: ComputeCapability.parse(capability) for uuid, capability in lines}


def _failed(why: str) -> NvmlFacts:
    return NvmlFacts("failed", readings=(Reading("smi.query", "nvidia-smi -q -x", failure=why),))


def find_smi(around: Surroundings) -> str | None:
    """Path of nvidia-smi on PATH or in its usual places."""
    wsl = "/usr/lib/wsl/lib/nvidia-smi"
    return around.program("nvidia-smi") or (str(around.path(wsl)) if around.exists(wsl) else None)


# --- the XML


# <?xml version="1.0" ?>
# <!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
# <nvidia_smi_log>
#     <driver_version>535.54.03</driver_version>
#     <cuda_version>12.2</cuda_version>
#     <attached_gpus>1</attached_gpus>
#     <gpu id="00000000:01:00.0">
#         <product_name>NVIDIA A100-SXM4-80GB</product_name> ...
# R610 and newer write <kmd_version> and <cuda_umd_version> instead.
def parse_smi_xml(text: str) -> NvmlFacts:
    """Driver and GPUs of an `nvidia-smi -q -x` document; InputError when it is not one, or not safe to read."""
    root = _parse_safely(text)
    if root.tag != "nvidia_smi_log":
        raise InputError(f"not an nvidia-smi XML document: its root is <{plain(root.tag, longest=60)}>")
    driver = _first(root, "kmd_version", "driver_version")
    cuda = _first(root, "cuda_umd_version", "cuda_version")
    devices = tuple(_gpu(index, element) for index, element in enumerate(root.findall("gpu")))
    readings = (
        _reading("smi.driver_version", driver),
        _reading("smi.cuda_driver_version", cuda),
        *(reading for device in devices for reading in _device_readings(device)),
    )
    return NvmlFacts("answered", _driver_version(driver), _cuda_version(cuda), devices, readings)


def _parse_safely(text: str) -> Element:
    """Root of the tree. No document type is ever handed to the parser, so no entity can be declared."""
    from xml.etree.ElementTree import ParseError

    if len(text) > LONGEST_XML:
        raise InputError(f"nvidia-smi XML: {len(text)} characters, more than {LONGEST_XML}")
    # The document type that nvidia-smi writes names a file and declares nothing; one with an internal part is refused.
    body = re.sub(r"<!DOCTYPE\s+nvidia_smi_log\s+SYSTEM\s+\"[\w.-]*\"\s*>", "", _document(text), count=1)
    if re.search(r"<!(?:DOCTYPE|ENTITY|ELEMENT|ATTLIST)", body, re.IGNORECASE):
        raise InputError("nvidia-smi XML: it declares a document type, which is not read")
    try:
        root = _read_tree(_without_controls(body))
    except ParseError as err:
        raise InputError(f"nvidia-smi XML: {err}") from err
    if root is None:
        raise InputError("nvidia-smi XML: the document is empty")
    return root


def _document(text: str) -> str:
    """The XML alone: nvidia-smi prints warnings, such as that of a corrupted infoROM, before or after it."""
    found = re.search(r"<\?xml|<!DOCTYPE|<nvidia_smi_log", text)
    end = text.rfind("</nvidia_smi_log>")
    return text[found.start() if found else 0 : end + len("</nvidia_smi_log>") if end >= 0 else len(text)]


def _read_tree(body: str) -> Element | None:
    """Root element; read in pieces so that a document made only to be deep is refused early."""
    from xml.etree.ElementTree import XMLPullParser

    parser: Any = XMLPullParser(events=("start", "end"))  # generic in the stubs, not at run time
    root: Element | None = None
    depth = 0
    for start in range(0, len(body), _CHUNK):
        parser.feed(body[start : start + _CHUNK])
        for event, element in parser.read_events():
            root = element if root is None else root
            depth += 1 if event == "start" else -1
            if depth > _DEEPEST:
                raise InputError(f"nvidia-smi XML: nested deeper than {_DEEPEST} elements")
    parser.close()
    return root


def _without_controls(text: str) -> str:
    """Characters that XML forbids; a broken board name must not lose the whole document."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]", " ", text)


_KEPT = frozenset(
    [
        "nvidia_smi_log",
        "driver_version",
        "kmd_version",
        "cuda_version",
        "cuda_umd_version",
        "gpu",
        "product_name",
        "uuid",
        "pci",
        "pci_bus_id",
        "pci_device_id",
        "fb_memory_usage",
        "total",
        "mig_mode",
        "current_mig",
        "mig_devices",
        "mig_device",
    ]
)
"""Elements that are read. Serial numbers, and the processes with their command lines, stay where they are."""
_LONGEST_COMPLAINT = 2000


def kept_of_xml(text: str) -> str:
    """The document without what is not read of it; of what is no such document the beginning."""
    from xml.etree.ElementTree import tostring

    if "<nvidia_smi_log" not in text:
        return text[:_LONGEST_COMPLAINT]
    try:
        root = _parse_safely(text)
    except InputError:
        # The reason stays to be found: what stands before the first GPU declares nothing about processes.
        return text.partition("<gpu")[0][:_LONGEST_COMPLAINT]
    _prune(root)
    return tostring(root, encoding="unicode")


def _prune(element: Element) -> None:
    for child in list(element):
        if child.tag in _KEPT:
            _prune(child)
        else:
            element.remove(child)


def _gpu(index: int, element: Element) -> NvmlDevice:
    mig = (_text(element, "mig_mode/current_mig") or "").lower()
    bus_id = normal_bus_id(_text(element, "pci/pci_bus_id") or element.get("id") or "")
    # <mig_devices> holds `None` where there is none
    instances = None if element.find("mig_devices") is None else len(element.findall("mig_devices/mig_device"))
    uuid, name = _text(element, "uuid"), _text(element, "product_name")
    return NvmlDevice(
        index,
        uuid=uuid,
        bus_id=bus_id,
        device_id=_device_id(_text(element, "pci/pci_device_id") or ""),
        name=name,
        # nvidia-smi's XML names no compute capability
        memory_bytes=_mebibytes(_text(element, "fb_memory_usage/total") or ""),
        mig_mode=mig if mig in {"enabled", "disabled"} else None,  # type: ignore[arg-type]
        mig_instances=instances if mig == "enabled" else None,
        failure=None if uuid or name else "nvidia-smi lists it without a name and without a UUID",
    )


def _text(element: Element, path: str) -> str | None:
    found = plain(element.findtext(path) or "")
    return None if found.lower() in _NOTHING or found.lower().startswith("gpu is lost") else found


def _first(root: Element, *tags: str) -> str | None:
    """First of the tags that has a version, without a note behind it; not a sentence such as "Deprecated, see ..."."""
    texts = (_text(root, tag) for tag in tags)
    return next((text.split()[0] for text in texts if text and re.match(r"\d", text)), None)


def _driver_version(text: str | None) -> DriverVersion | None:
    try:
        return DriverVersion(text) if text else None
    except ValueError:
        return None


def _cuda_version(text: str | None) -> CudaVersion | None:
    try:
        return CudaVersion.parse(text) if text else None
    except ValueError:
        return None


# 20B210DE
def _device_id(text: str) -> str | None:
    match = re.fullmatch(r"(?:0x)?([0-9a-fA-F]{4})([0-9a-fA-F]{4})", text)
    return f"{match[2]}:{match[1]}".lower() if match else None


# 81920 MiB
def _mebibytes(text: str) -> int | None:
    match = re.fullmatch(r"(\d{1,9}) MiB", text)
    return int(match[1]) << 20 if match and int(match[1]) else None


def _reading(name: str, value: str | None) -> Reading:
    source = "nvidia-smi -q -x"
    return Reading(name, source, value) if value else Reading(name, source, failure="the XML gives no value")


def _device_readings(device: NvmlDevice) -> tuple[Reading, ...]:
    source, prefix = "nvidia-smi -q -x", f"gpu.{device.index}"
    facts = (
        ("uuid", device.uuid),
        ("pci_bus_id", device.bus_id),
        ("pci_device_id", device.device_id),
        ("name", device.name),
        ("memory_bytes", device.memory_bytes),
    )
    found = tuple(
        Reading(f"{prefix}.{fact}", source, value, None if value else "the XML gives no value") for fact, value in facts
    )
    lost = (Reading(f"{prefix}.usable", source, failure=device.failure),) if device.failure else ()
    return (*found, *lost)


def machine_from_smi_xml(text: str) -> Machine:
    """The machine that an `nvidia-smi -q -x` document describes; its host is not in it and stays unknown."""
    from .assemble import join_gpus

    facts = parse_smi_xml(text)
    return Machine(
        driver=Driver(driver_version=facts.driver_version, driver_cuda_version=facts.cuda_version),
        gpus=join_gpus((), facts),
        gpu_state=GpuState.USABLE if facts.healthy else GpuState.NONE,
        readings=facts.readings,
    )
