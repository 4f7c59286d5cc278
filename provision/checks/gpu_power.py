"""Checks of temperatures and power: gpu."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from .base import check, counted
from .gpu_answers import answers, fact, is_consumer, is_data_center, is_mobile, named, number, shown
from .remedies import look_at

if TYPE_CHECKING:
    from ..records import Finding, Gpu
    from .base import Facts, Verdict

_LEAST_LEFT_C = 5.0


@check("gpu.temp_core", level="quick", needs=("nvml",))
def temp_core(facts: Facts, say: Verdict) -> Finding:
    """Every GPU is cooler than the temperature at which it slows down.

    What it finds
        GPUs within 5 °C of the temperature at which they lower their clocks, or beyond it.

    Why it matters
        Beyond it training slows down; far beyond it the board switches itself off.

    How it is decided
        The margin that NVML tells (nvmlDeviceGetMarginTemperature), else the slowdown threshold less the temperature:
        5 °C or less warns (our proposal). A GeForce lets its chip warm to a target near the zero of the margin, so
        there only the slowdown's own margin counts. An idle GPU is far below in any case; under load this tells more.

    What to do
        Airflow, fans, dust; passive boards need the wind of a server. `nvidia-smi -pl` lowers heat for the time being.

    Sources
        NVML API reference, nvmlDeviceGetMarginTemperature, nvmlTemperatureThresholds_t; leptonai/gpud temperature
        (read 2026-11).
    """
    left = {gpu: degrees for gpu in facts.gpus if (degrees := _left(facts, gpu)) is not None}
    hot = tuple(gpu for gpu, degrees in left.items() if degrees <= _least_left(facts, gpu))
    if hot:
        least = min(left[gpu] for gpu in hot)
        where = f"{least:.0f} °C below it" if least > 0 else "at it or beyond it"
        return say.warned(
            f"Near the temperature of slowdown: {named(hot)}{', the hottest' if len(hot) > 1 else ''} {where}.",
            *shown(facts, hot, "temperature_c", "temperature_margin_c", "temperature_slowdown_c"),
            safe=(look_at(facts.machine, hot, "TEMPERATURE"), "look at airflow, fans and dust"),
        )
    if left:
        return say.passed(
            f"{counted(len(left), 'GPU')} at least {min(left.values()):.0f} °C below the temperature of slowdown."
        )
    return answers(facts, "temperature_c").rest(
        say, "The GPUs tell their temperature and no limit for it.", lacking="No GPU here tells its temperature."
    )


def _left(facts: Facts, gpu: Gpu) -> float | None:
    """°C until the clocks fall; None where NVML tells too little."""
    margin = number(facts, gpu, "temperature_margin_c")
    if margin is None:
        now, limit = number(facts, gpu, "temperature_c"), number(facts, gpu, "temperature_slowdown_c")
        return None if now is None or limit is None else limit - now
    if not is_consumer(gpu):
        return margin
    slowdown = number(facts, gpu, "temperature_slowdown_tlimit_c")
    return None if slowdown is None else margin - slowdown


def _least_left(facts: Facts, gpu: Gpu) -> float:
    """°C that must be left: none on a GeForce that tells a margin, because it is made to warm to the edge."""
    return 0.0 if is_consumer(gpu) and number(facts, gpu, "temperature_margin_c") is not None else _LEAST_LEFT_C


@check("gpu.temp_memory", level="quick", needs=("nvml",))
def temp_memory(facts: Facts, say: Verdict) -> Finding:
    """The memory of every GPU is cooler than its highest working temperature.

    What it finds
        Memory within 5 °C of the highest temperature that it may work at.

    Why it matters
        Hot memory is slowed down, and gets more errors.

    How it is decided
        The field NVML_FI_DEV_MEMORY_TEMP against the threshold for memory: 5 °C below it or less warns (our proposal).
        Boards that tell one of the two only are skipped.

    What to do
        Airflow, fans, dust, thermal pads.

    Sources
        NVML API reference, nvmlTemperatureThresholds_t; leptonai/gpud temperature (read 2026-11).
    """
    left = {
        gpu: limit - now
        for gpu in facts.gpus
        if (now := number(facts, gpu, "temperature_memory_c")) is not None
        and (limit := number(facts, gpu, "temperature_memory_max_c")) is not None
    }
    hot = tuple(gpu for gpu, degrees in left.items() if degrees <= _LEAST_LEFT_C)
    if hot:
        return say.warned(
            f"Memory near its highest temperature, on {named(hot)}: {min(left[gpu] for gpu in hot):.0f} °C below it.",
            *shown(facts, hot, "temperature_memory_c", limit="temperature_memory_max_c"),
            safe=(look_at(facts.machine, hot, "TEMPERATURE"), "look at airflow, fans and dust"),
        )
    if left:
        return say.passed(
            f"Memory of {counted(len(left), 'GPU')} at least {min(left.values()):.0f} °C below its limit."
        )
    return say.skipped("No GPU here tells the temperature of its memory and the limit for it.")


_LEAST_OF_DEFAULT = 0.95


@check("gpu.power_limit", level="quick", needs=("nvml",), not_on=("wsl", "vgpu-guest", "jetson"))
def power_limit(facts: Facts, say: Verdict) -> Finding:
    """Every GPU may draw the power that it may draw by default.

    What it finds
        GPUs whose power limit somebody lowered, and boards of one model with different limits.

    Why it matters
        The power limit is the speed limit of a busy GPU; in a group the lowest one is the speed of all.

    How it is decided
        The enforced limit below 95 % of the default warns. Where data center boards of one model and one default differ
        and some are below it, that fails: the whole group is as slow as those. Notebooks move power between processor
        and GPU and are left out.

    What to do
        `sudo nvidia-smi -pl <default>`, after asking who lowered it: a chassis with weak power supplies may need it.

    Sources
        NVML API reference, nvmlDeviceGetEnforcedPowerLimit; NVIDIA/DCGM (power limit) (read 2026-11).
    """
    asked = tuple(gpu for gpu in facts.gpus if not is_mobile(gpu))
    if not asked:
        return say.skipped("Notebooks move power between processor and GPU.")
    limits = answers(facts, "power_limit_enforced_w", asked)
    low = tuple(gpu for gpu in limits.gpus if _is_low(facts, gpu))
    if not low:
        return limits.rest(
            say,
            f"{counted(len(limits.told), 'GPU')} may draw the default power.",
            lacking="No GPU here has a limit of power that can be set.",
        )
    evidence = shown(facts, low, "power_limit_enforced_w", "power_limit_max_w", limit="power_limit_default_w")
    safe = (look_at(facts.machine, low, "POWER"),)
    # Whoever lowered it may have done so for weak power supplies, and a machine that draws too much goes down.
    risky = tuple(
        f"sudo nvidia-smi -i {gpu.pci_bus_id or gpu.index} -pl {number(facts, gpu, 'power_limit_default_w'):.0f}"
        for gpu in low
    )
    if _differ(facts, limits.gpus, low):
        happened = f"Boards of one model have different power limits: lowered on {named(low)}."
        return say.failed(happened, *evidence, safe=safe, risky=risky)
    return say.warned(f"The power limit is below the default on {named(low)}.", *evidence, safe=safe, risky=risky)


def _is_low(facts: Facts, gpu: Gpu) -> bool:
    now, default = number(facts, gpu, "power_limit_enforced_w"), number(facts, gpu, "power_limit_default_w")
    return bool(now and default and now < _LEAST_OF_DEFAULT * default)


def _differ(facts: Facts, gpus: tuple[Gpu, ...], low: tuple[Gpu, ...]) -> bool:
    peers: dict[tuple[str | None, float | None], set[bool]] = defaultdict(set)
    for gpu in gpus:
        peers[gpu.name, number(facts, gpu, "power_limit_default_w")].add(gpu in low)
    mixed = {name for (name, _), found in peers.items() if len(found) > 1}
    return any(gpu.name in mixed and is_data_center(facts, gpu) for gpu in low)


@check("gpu.power_readable", level="quick", needs=("nvml",), not_on=("wsl", "vgpu-guest", "jetson"))
def power_readable(facts: Facts, say: Verdict) -> Finding:
    """Every GPU that manages its power tells how much it draws.

    What it finds
        GPUs whose power draw can't be read although the board measures it.

    Why it matters
        A broken sensor or power controller shows first as a figure that is missing; limits then can't hold either.

    How it is decided
        nvmlDeviceGetPowerUsage fails: with any error but "not supported" it warns, and with that one on boards for
        servers that have a power limit. Notebooks often do not tell it.

    What to do
        Restart the machine; when it stays, look for newer firmware or driver.

    Sources
        NVML API reference, nvmlDeviceGetPowerUsage; NVIDIA/DCGM (power unreadable) (read 2026-11).
    """
    asked = tuple(gpu for gpu in facts.gpus if not is_mobile(gpu))
    power = answers(facts, "power_w", asked)
    sick = tuple(gpu for gpu in asked if gpu in dict(power.odd) or _should_tell(facts, gpu))
    if sick:
        return say.warned(
            f"The power draw can't be read on {named(sick)}.",
            *shown(facts, sick, "power_w", "power_limit_enforced_w"),
            safe=(look_at(facts.machine, sick, "POWER"),),
            risky=("sudo reboot",),
        )
    return power.rest(
        say, f"The power drawn is read on {counted(len(power.told), 'GPU')}.", lacking="No GPU here measures its power."
    )


def _should_tell(facts: Facts, gpu: Gpu) -> bool:
    is_silent = facts.failure(fact(gpu, "power_w")) is not None
    return is_silent and number(facts, gpu, "power_limit_enforced_w") is not None and is_data_center(facts, gpu)


CHECKS = (temp_core, temp_memory, power_limit, power_readable)
