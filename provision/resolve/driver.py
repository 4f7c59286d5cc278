"""The driver as the rules see it: what it implements, and which CUDA it is too old for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ..versions import DriverVersion

if TYPE_CHECKING:
    from ..matrix import Matrix
    from ..records import Driver, Machine
    from ..versions import CudaVersion
    from .devices import Device


@dataclass(frozen=True, slots=True)
class Forward:
    """A libcuda of a newer CUDA than the kernel driver implements: the compatibility package is in use."""

    cuda: CudaVersion
    """CUDA that this libcuda implements."""
    refusal: str | None
    """Why it does not work on this box; None where it does."""


@dataclass(frozen=True, slots=True, eq=False)
class DriverFacts:
    """What the rules ask about the driver of a box; all of it is empty where CPU builds are wanted."""

    driver_version: DriverVersion | None
    kernel_module: Literal["open", "proprietary"] | None
    """Flavour of the loaded kernel module; None when nobody said, and on Windows."""
    forward: Forward | None
    """The compatibility package that is in use."""
    driver_cuda_version: CudaVersion | None
    """Newest CUDA that the driver implements, as told or by its branch; of a compatibility package where it works."""
    majors_out_of_reach: frozenset[int]
    """CUDA majors that the known driver is too old for."""
    is_windows: bool
    """Windows numbers count on Windows and on WSL, where the driver is that of the Windows host."""
    wsl_floor: DriverVersion | None
    """Oldest Windows driver under which any CUDA runs in WSL; None elsewhere."""
    is_tegra: bool
    """All GPUs are Tegra: their driver numbers do not compare, only the CUDA they implement."""

    @property
    def comparable(self) -> DriverVersion | None:
        """The driver where its number compares with those of the matrix."""
        return None if self.is_tegra else self.driver_version

    @property
    def key(self) -> tuple[object, ...]:
        """Everything that the rules ask about the driver but its kernel module, so that equal keys are judged alike."""
        number, has_wsl_floor = str(self.driver_version), self.wsl_floor is not None
        return number, self.driver_cuda_version, self.is_windows, has_wsl_floor, self.is_tegra, self.forward


def driver_facts(
    machine: Machine, driver: Driver | None, devices: tuple[Device, ...], matrix: Matrix, assumptions: list[str]
) -> DriverFacts:
    """The facts about a driver with those GPUs; the CUDA that a JetPack had to tell stands in the assumptions."""
    known = [device.compute_capability for device in devices if device.compute_capability]
    is_tegra = bool(known) and all(capability in matrix.tegra for capability in known)
    is_windows = bool(machine.host.is_wsl) or machine.host.system == "windows"
    least = DriverVersion(str(matrix.wsl_branch)) if machine.host.is_wsl else None
    number = driver.driver_version if driver and not is_tegra else None
    branch = matrix.branch_of(number) if number else None
    cuda = driver.driver_cuda_version if driver else None
    forward = None if is_windows or is_tegra else forward_of(driver, devices, matrix)
    if branch and (cuda is None or (forward and forward.refusal)):
        cuda = branch.cuda
    if is_tegra and cuda is None:
        cuda = _cuda_of_jetpack(machine, matrix, assumptions)
    return DriverFacts(
        driver_version=driver.driver_version if driver else None,
        kernel_module=None if is_windows or driver is None else driver.kernel_module,
        forward=forward,
        driver_cuda_version=cuda,
        majors_out_of_reach=_out_of_reach(matrix, number, cuda, is_windows=is_windows, least=least),
        is_windows=is_windows,
        wsl_floor=least,
        is_tegra=is_tegra,
    )


def _cuda_of_jetpack(machine: Machine, matrix: Matrix, assumptions: list[str]) -> CudaVersion | None:
    jetpack = matrix.containers.jetpack_of(machine.host.l4t) if machine.host.l4t else None
    if jetpack is None:
        return None
    assumptions.append(f"CUDA {jetpack.cuda} is that of JetPack {jetpack.version} (Jetson Linux {machine.host.l4t}).")
    return jetpack.cuda


def forward_of(driver: Driver | None, devices: tuple[Device, ...], matrix: Matrix) -> Forward | None:
    """The compatibility package that is in use on a Linux box whose driver numbers compare; None when there is none."""
    if driver is None or driver.driver_version is None or driver.driver_cuda_version is None:
        return None
    branch, cuda = matrix.branch_of(driver.driver_version), driver.driver_cuda_version
    if branch is None or cuda <= branch.cuda:
        return None
    outside = next((device for device in devices if device.gpu_class not in matrix.forward.classes), None)
    classes = " or ".join(name.replace("_", " ") for name in matrix.forward.classes)
    if outside is not None:
        kind = outside.gpu_class.replace("_", " ") if outside.gpu_class else "unknown class"
        return Forward(cuda, f"{outside.label} is a board of {kind}, not {classes}")
    allowed = matrix.forward_compatible(cuda, branch.branch)
    if not allowed:
        word = "is not known to accept" if allowed is None else "refuses"
        return Forward(cuda, f"its package {word} driver branch {branch.branch}")
    return Forward(cuda, None)


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
