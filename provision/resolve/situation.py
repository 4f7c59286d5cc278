"""The machine as the rules see it: every fact that decides, read once, and what stands in for missing ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from ..matrix.model import PLATFORMS
from ..records import GpuState
from ..versions import DriverVersion
from .devices import devices_of, forward_of
from .wishes import Wishes, understand

if TYPE_CHECKING:
    from ..matrix import Matrix
    from ..matrix.model import Architecture, Numbers
    from ..records import Interpreter, Machine, Request
    from ..versions import ComputeCapability, CudaVersion, Glibc
    from .candidates import Catalogue
    from .devices import Device, Forward

OTHER_NAMES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
MUSL_SYSTEMS: Final = frozenset(("alpine", "chimera", "postmarketos"))


@dataclass(frozen=True, slots=True, eq=False)
class Situation:
    """Everything that the rules ask about one machine and one request."""

    catalogue: Catalogue
    wishes: Wishes
    is_cpu: bool
    """Whether CPU builds are wanted: asked for, or no GPU is there."""
    platform: str
    """linux_x86_64, also for a system that no wheel is listed for, such as linux_ppc64le."""
    devices: tuple[Device, ...]
    boards: tuple[tuple[object, ...], ...]
    """Distinct GPUs: name, compute capability, class, kernel module."""
    unknown_devices: tuple[Device, ...]
    """GPUs whose compute capability nobody knows."""
    dropped_devices: tuple[tuple[Device, Architecture], ...]
    """GPUs that the driver branch no longer serves."""
    unserved_devices: tuple[tuple[Device, Architecture], ...]
    """GPUs that the driver does not serve yet."""
    wrong_module_devices: tuple[Device, ...]
    """GPUs that need the other kernel module than the one that is loaded."""
    split_devices: tuple[Device, ...]
    """GPUs in MIG mode without an instance."""
    vgpus_without_cuda: tuple[Device, ...]
    """vGPUs of a series on which CUDA does not run."""
    capabilities: tuple[ComputeCapability, ...]
    """Distinct known compute capabilities, lowest first."""
    driver_version: DriverVersion | None
    kernel_module: Literal["open", "proprietary"] | None
    """Flavour of the loaded kernel module; None when nobody said, and on Windows."""
    forward: Forward | None
    """The compatibility package that is in use."""
    driver_cuda_version: CudaVersion | None
    """Newest CUDA that the driver implements, as told or by its branch; of a compatibility package where it works."""
    majors_out_of_reach: frozenset[int]
    """CUDA majors that the known driver is too old for."""
    is_windows_driver: bool
    """Windows numbers count on Windows and on WSL, where the driver is that of the Windows host."""
    wsl_floor: DriverVersion | None
    """Oldest Windows driver under which any CUDA runs in WSL; None elsewhere."""
    is_tegra: bool
    """All GPUs are Tegra: their driver numbers do not compare, only the CUDA they implement."""
    glibc: Glibc | None
    glibc_failure: str | None
    """Why a machine that was looked at has no glibc number."""
    is_musl: bool
    macos: Numbers | None
    """Release of macOS; None elsewhere and where nobody named it."""
    pythons: tuple[str, ...]
    """Pythons that may be used, the preferred first: 3.12, 3.14t."""
    python_failure: str | None
    assumptions: tuple[str, ...]

    @property
    def asked_builds(self) -> tuple[str | None, str | None] | None:
        """The words of --torch and --cuda; None when neither was given."""
        torch, cuda = self.wishes.torch, self.wishes.cuda
        return (torch.text if torch else None, cuda.text if cuda else None) if torch or cuda else None

    @property
    def key(self) -> tuple[object, ...]:
        """Everything that the rules ask about, so that equal keys are judged alike."""
        wishes = self.wishes
        asked = (wishes.torch, wishes.cuda, wishes.transformers)
        return (
            self.platform,
            self.is_cpu,
            self.boards,
            str(self.driver_version),
            self.driver_cuda_version,
            self.forward,
            self.kernel_module,
            self.is_windows_driver,
            self.wsl_floor is not None,
            self.glibc,
            self.glibc_failure,
            self.is_musl,
            self.macos,
            self.pythons,
            self.python_failure,
            tuple([wish.text if wish else None for wish in asked]),
        )


def python_of(interpreter: Interpreter) -> str:
    """3.12, or 3.14t; another implementation keeps its name: pypy3.10; a version that is none stays as it is."""
    try:
        major, minor = interpreter.minor
    except ValueError:
        return f"{interpreter.implementation} {interpreter.version}"
    prefix = "" if interpreter.implementation == "cpython" else interpreter.implementation
    return f"{prefix}{major}.{minor}{'t' if interpreter.is_free_threaded else ''}"


def situate(machine: Machine, request: Request, catalogue: Catalogue) -> Situation:
    """The situation of a machine with a request."""
    matrix, wishes = catalogue.matrix, understand(request)
    assumptions = list(machine.assumptions)
    # GPUs that are listed count even where nobody judged their state: they never become a CPU plan in silence.
    is_cpu = request.cpu or (machine.gpu_state is GpuState.NONE and not machine.gpus)
    devices = () if is_cpu else devices_of(machine, matrix, assumptions)
    capabilities = tuple(sorted({device.compute_capability for device in devices if device.compute_capability}))
    driver = None if is_cpu else machine.driver
    is_tegra = bool(capabilities) and all(capability in matrix.tegra for capability in capabilities)
    driver_version = driver.driver_version if driver and not is_tegra else None
    branch = matrix.branch_of(driver_version) if driver_version else None
    cuda = driver.driver_cuda_version if driver else None
    platform = _platform(machine, assumptions)
    number = branch.branch if branch else None
    served = [(device, device.architecture) for device in devices if device.architecture]
    is_windows_driver = bool(machine.host.is_wsl) or machine.host.system == "windows"
    least = DriverVersion(str(matrix.wsl_branch)) if machine.host.is_wsl else None
    module = None if is_windows_driver or driver is None else driver.kernel_module
    forward = None if is_windows_driver or is_tegra else forward_of(driver, devices, matrix)
    if branch and (cuda is None or (forward and forward.refusal)):
        cuda = branch.cuda
    if is_tegra and cuda is None and machine.host.l4t:
        jetpack = matrix.containers.jetpack_of(machine.host.l4t)
        cuda = jetpack.cuda if jetpack else None
        if jetpack:
            assumptions.append(f"CUDA {cuda} is that of JetPack {jetpack.version} (Jetson Linux {machine.host.l4t}).")
    is_musl = _is_musl(machine)
    glibc_failure = machine.failure_of("host.glibc")
    if platform.startswith("linux") and machine.host.glibc is None and not is_musl and glibc_failure is None:
        assumptions.append("The glibc is not known: the plan takes it to be new enough for the wheel.")
    macos = _macos(machine)
    if platform.startswith("darwin") and macos is None:
        assumptions.append("The release of macOS is not known: the plan takes it to be new enough for the wheel.")
    pythons, python_failure = _pythons(machine, wishes, matrix, assumptions)
    return Situation(
        catalogue=catalogue,
        wishes=wishes,
        is_cpu=is_cpu,
        platform=platform,
        devices=devices,
        boards=tuple(dict.fromkeys(device.board for device in devices)),
        unknown_devices=tuple(device for device in devices if device.compute_capability is None),
        dropped_devices=tuple(pair for pair in served if _is_past(number, pair[1].last_branch)),
        unserved_devices=tuple(
            (device, row)
            for device, row in served
            if driver_version
            and (oldest := row.oldest_driver(device.compute_capability, is_windows=is_windows_driver))
            and driver_version < oldest
        ),
        wrong_module_devices=tuple(d for d in devices if module and d.kernel_module not in (None, "either", module)),
        split_devices=tuple(device for device in devices if device.is_split_to_nothing),
        vgpus_without_cuda=tuple(device for device in devices if device.is_vgpu_without_cuda),
        capabilities=capabilities,
        driver_version=driver.driver_version if driver else None,
        kernel_module=module,
        forward=forward,
        driver_cuda_version=cuda,
        majors_out_of_reach=_out_of_reach(matrix, driver_version, cuda, is_windows=is_windows_driver, least=least),
        is_windows_driver=is_windows_driver,
        wsl_floor=least,
        is_tegra=is_tegra,
        glibc=machine.host.glibc,
        glibc_failure=glibc_failure,
        is_musl=is_musl,
        macos=macos,
        pythons=pythons,
        python_failure=python_failure,
        assumptions=tuple(dict.fromkeys(assumptions)),
    )


def _out_of_reach(
    matrix: Matrix,
    driver: DriverVersion | None,
    cuda: CudaVersion | None,
    *,
    is_windows: bool,
    least: DriverVersion | None,
) -> frozenset[int]:
    """CUDA majors whose floor lies above the driver; by the CUDA that it implements where its number is not known."""
    if driver is None:
        return frozenset(row.major for row in matrix.cuda_majors if cuda is not None and cuda.major < row.major)
    if least is not None and driver < least:
        return frozenset(row.major for row in matrix.cuda_majors)
    floors = {row.major: row.windows if is_windows else row.linux for row in matrix.cuda_majors}
    return frozenset(major for major, floor in floors.items() if driver < floor)


def _is_past(branch: int | None, limit: int | None) -> bool:
    return branch is not None and limit is not None and branch > limit


def _is_musl(machine: Machine) -> bool:
    if machine.host.glibc is not None:
        return False
    if machine.host.os in MUSL_SYSTEMS:
        return True
    texts = [f"{reading.value} {reading.failure}" for reading in machine.readings if reading.name.startswith("host.")]
    return any("musl" in text for text in texts)


def _platform(machine: Machine, assumptions: list[str]) -> str:
    system, arch = machine.host.system, machine.host.arch
    if system is None:
        assumptions.append("The system is not known: Linux is assumed.")
    # Every Mac on sale has an Arm processor, and torch ended its wheels for the others with 2.2.2.
    usual = "arm64" if system == "darwin" else "x86_64"
    if arch is None:
        assumptions.append(f"The processor architecture is not known: {usual} is assumed.")
    processor = (arch or usual).lower()
    processor = OTHER_NAMES.get(processor, processor)
    if system == "darwin" and processor == "aarch64":
        processor = "arm64"
    name = f"{system or 'linux'}_{processor}"
    if name == "windows_x86_64":
        assumptions.append("Windows wheels are taken to hold code for the same GPUs as the Linux wheels.")
    return name


def _macos(machine: Machine) -> Numbers | None:
    """(14, 1) of macOS 14.1; None on other systems and where the release is no number."""
    text = machine.host.os_version or ""
    if machine.host.system != "darwin" or not re.fullmatch(r"[0-9]{1,4}(?:\.[0-9]{1,4}){0,3}", text):
        return None
    major, minor = (int(part) for part in f"{text}.0".split(".")[:2])
    return major, minor


def _pythons(
    machine: Machine, wishes: Wishes, matrix: Matrix, assumptions: list[str]
) -> tuple[tuple[str, ...], str | None]:
    if wishes.python:
        return (wishes.python,), None
    found = [machine.python] if machine.python else []
    # Of the others the default builds come first: compiled companions have wheels for them.
    others = sorted(machine.interpreters, key=lambda other: other.is_free_threaded or other.implementation != "cpython")
    names = dict.fromkeys(python_of(interpreter) for interpreter in (*found, *others))
    if names:
        return tuple(names), None
    if failure := machine.failure_of("python.version"):
        return (), failure
    assumptions.append(f"The Python is not known: {' or '.join(matrix.assumed_pythons)} is assumed.")
    return matrix.assumed_pythons, None


def is_listed(platform: str) -> bool:
    """Whether torch wheels are listed for the platform at all."""
    return platform in PLATFORMS
