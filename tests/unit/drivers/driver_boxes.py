"""Machines for tests of driver plans, and short ways to ask about their plans."""

from provision.drivers import DriverWish, plan_driver
from provision.records import Driver, Gpu, GpuState, Host, Machine, Reading
from provision.versions import DriverVersion
from tests.bench.matrix import shipped

MATRIX = shipped()
TODAY = "2026-11-24"


def machine(*gpus, os="ubuntu", version="24.04", readings=(), driver=None, **host):
    """A machine with these GPUs (names, or Gpu records) and readings as {name: value or list of values}."""
    found = tuple(Gpu(i, name=gpu) if isinstance(gpu, str) else gpu for i, gpu in enumerate(gpus))
    rows = tuple(
        Reading(name, "test", value)
        for name, values in dict(readings).items()
        for value in (values if isinstance(values, list) else [values])
    )
    return Machine(
        host=Host(system="linux", os=os, os_version=version, **host),
        gpus=found,
        driver=driver,
        gpu_state=GpuState.UNUSABLE,
        readings=rows,
    )


box = machine


def release(text, flavour="open"):
    """A driver that is loaded."""
    return Driver(driver_version=DriverVersion(text), kernel_module_version=DriverVersion(text), kernel_module=flavour)


def plan(machine, **wish):
    """The plan of a machine for the shipped matrix."""
    return plan_driver(machine, MATRIX, today=TODAY, wish=DriverWish(**wish))


def ids(made):
    """Ids of its steps, in order."""
    return [step.id for step in made.steps]


def step(made, id_):
    """The step of that id."""
    return next(one for one in made.steps if one.id == id_)


def packages_of(made, id_="driver"):
    """Names that a step hands to the package manager."""
    return tuple(name for action in step(made, id_).actions if action.kind == "packages" for name in action.names)
