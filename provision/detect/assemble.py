"""All parts of detection joined into one machine. Pure: it only weighs what the probes brought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..records import Driver, Gpu, GpuState, Host, Interpreter, Machine, Reading

if TYPE_CHECKING:
    from .driver_files import DriverFiles
    from .nvml import NvmlDevice, NvmlFacts
    from .pci import PciBus, PciDevice


@dataclass(frozen=True, slots=True)
class Parts:
    """What every probe found."""

    host: Host
    python: Interpreter | None
    interpreters: tuple[Interpreter, ...]
    pci: PciBus
    files: DriverFiles
    nvml: NvmlFacts
    smi: NvmlFacts | None = None
    readings: tuple[Reading, ...] = ()
    """Those of the host, of Python and of the environment."""
    integrated: Gpu | None = None
    """The GPU of a Jetson's chip, which no bus shows."""


def assemble(parts: Parts) -> Machine:
    """The machine that the parts describe."""
    asked = _best(parts)
    listed, hidden = _split_granted(parts, asked)
    gpus = join_gpus(listed, asked)
    if not gpus and parts.integrated is not None:
        gpus = (parts.integrated,)
    return Machine(
        host=parts.host,
        python=parts.python,
        interpreters=parts.interpreters,
        driver=_driver(parts.files, parts.nvml, asked),
        gpus=gpus,
        other_gpus=parts.pci.others,
        gpu_state=gpu_state(parts, gpus),
        readings=(
            *parts.readings,
            *parts.pci.readings,
            *parts.files.readings,
            *parts.nvml.readings,
            *(parts.smi.readings if parts.smi else ()),
            *(Reading("pci.not_granted", "/dev", device.bus_id) for device in hidden),
            *(Reading("gpu.sign", "detect", sign) for sign in (() if gpus else signs_of_gpu(parts))),
        ),
    )


def _best(parts: Parts) -> NvmlFacts:
    """NVML's own answer, or nvidia-smi's where only that one lists working devices."""
    if not parts.nvml.healthy and parts.smi is not None and parts.smi.healthy:
        return parts.smi
    return parts.nvml


def _driver(files: DriverFiles, nvml: NvmlFacts, asked: NvmlFacts) -> Driver | None:
    """The driver, None when no part of one was found."""
    user_version = files.nvml_library.version if files.nvml_library else None
    driver = Driver(
        driver_version=asked.driver_version or nvml.driver_version or files.module_version,
        driver_cuda_version=asked.cuda_version or nvml.cuda_version,
        kernel_module=files.flavour,
        kernel_module_version=files.module_version,
        user_library_version=user_version,
    )
    return None if driver == Driver() else driver


# --- GPUs


def _split_granted(parts: Parts, asked: NvmlFacts) -> tuple[tuple[PciDevice, ...], tuple[PciDevice, ...]]:
    """PCI devices of this box, and those that a container or a job sees on the bus without having been given them.

    A container that was given no GPU at all keeps them: they are there and can't be used.
    """
    devices = parts.pci.nvidia
    nodes = {node.path for node in parts.files.gpu_nodes if not node.is_withheld}
    if not asked.healthy or (parts.host.container is None and len(nodes) == len(parts.files.gpu_nodes)):
        return devices, ()
    known = {device.bus_id for device in asked.devices}
    minors = dict(parts.files.minors)
    if any(device.bus_id is None for device in asked.devices):
        return devices, ()  # a lost one has no bus id: it can't be told from one that was not given

    def is_hidden(device: PciDevice) -> bool:
        if device.bus_id in known:
            return False
        minor = minors.get(device.bus_id)
        return len(nodes) <= len(known) if minor is None else f"/dev/nvidia{minor}" not in nodes

    return tuple(one for one in devices if not is_hidden(one)), tuple(one for one in devices if is_hidden(one))


def join_gpus(devices: tuple[PciDevice, ...], asked: NvmlFacts) -> tuple[Gpu, ...]:
    """One record per GPU: NVML's, in its order, completed from PCI; then those that only the bus shows."""
    by_bus_id = {device.bus_id: device for device in devices}
    unclaimed = [one for one in devices if one.bus_id not in {listed.bus_id for listed in asked.devices}]
    nameless = [listed for listed in asked.devices if listed.bus_id is None]
    # NVML lists devices in the order of the bus, so as many nameless as unclaimed ones are the same devices.
    guessed = (
        dict(zip((one.index for one in nameless), unclaimed, strict=True)) if len(nameless) == len(unclaimed) else {}
    )
    gpus = [
        _from_nvml(listed, by_bus_id.get(listed.bus_id or "") or guessed.get(listed.index)) for listed in asked.devices
    ]
    claimed = {gpu.pci_bus_id for gpu in gpus}
    was_asked = asked.outcome == "answered" or bool(asked.devices)
    for device in devices:
        if device.bus_id not in claimed:
            gpus.append(_from_pci(len(gpus), device, was_asked=was_asked))
    return tuple(gpus)


def _from_nvml(listed: NvmlDevice, device: PciDevice | None) -> Gpu:
    return Gpu(
        index=listed.index,
        name=listed.name,
        gpu_uuid=listed.uuid,
        pci_bus_id=listed.bus_id or (device.bus_id if device else None),
        pci_device_id=listed.device_id or (device.device_id if device else None),
        compute_capability=listed.compute_capability,
        memory_bytes=listed.memory_bytes,
        mig_mode=listed.mig_mode,
        mig_instances=listed.mig_instances,
        kernel_driver=device.driver if device else None,
        in_nvml=listed.failure is None,
    )


def _from_pci(index: int, device: PciDevice, *, was_asked: bool) -> Gpu:
    return Gpu(
        index=index,
        pci_bus_id=device.bus_id,
        pci_device_id=device.device_id,
        kernel_driver=device.driver,
        in_nvml=False if was_asked else None,
    )


# --- state


def gpu_state(parts: Parts, gpus: tuple[Gpu, ...]) -> GpuState:
    """Usable with at least one GPU that answers; unusable when something shows that one is there; else none."""
    if any(gpu.in_nvml for gpu in gpus) or parts.integrated in gpus:
        return GpuState.USABLE  # a Jetson's own GPU is not asked through NVML; the plan names what it stands on
    return GpuState.UNUSABLE if gpus or signs_of_gpu(parts) else GpuState.NONE


def signs_of_gpu(parts: Parts) -> tuple[str, ...]:
    """What shows that the box has a GPU although nothing lists it, as where a sandbox hides the PCI bus."""
    files, nvml = parts.files, parts.nvml
    signs = [f"{node.path} exists" for node in files.gpu_nodes]
    signs += [f"the loaded driver serves {bus_id}" for bus_id, _ in files.minors]
    if nvml.outcome == "answered" and not nvml.devices:
        return tuple(signs)
    if files.has_wsl_library:
        signs.append("Windows provides its driver's libraries")
    library = files.nvml_library
    if library is None:
        return tuple(signs)
    if nvml.outcome in {"version-mismatch", "gpu-lost", "no-permission", "failed", "timed-out", "crashed"}:
        signs.append(f"the driver's library {library.path} is there and asking it ended so: {nvml.outcome}")
    # Left-over libraries on a machine without a GPU say the same. They are not what somebody pointed the loader at.
    if nvml.outcome in {"driver-not-loaded", "no-module"} and (library.is_injected or not parts.pci.is_readable):
        signs.append(f"the driver's library was given to this process: {library.path}")
    return tuple(signs)
