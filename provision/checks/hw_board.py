"""Checks of the boards themselves: hw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import Check, bus_ids, check, counted
from .gpu_answers import named
from .log_faults import ACTIONS, SUPPORT
from .log_lines import explains_lost, is_recent, lines, numbered, told

if TYPE_CHECKING:
    from ..matrix.faults import RecoveryAction
    from ..records import Finding, Gpu
    from .base import Facts, Verdict


@check(
    "hw.power_connector",
    level="quick",
    needs=("gpu",),
    not_on=("wsl", "jetson", "paste"),
    leads=(
        "pci.count_vs_nvml",
        "pci.count_vs_expected",
        "pci.driver_binding",
        "driver.device_nodes",
        "driver.nvml_init",
        "kernel.xid_fatal",
        "hw.recovery_action",
    ),
    explains=explains_lost,
)
def power_connector(facts: Facts, say: Verdict) -> Finding:
    """Every board has its auxiliary power.

    What it finds
        Boards whose extra power connector is not plugged in, or loose.

    Why it matters
        The driver does not start such a GPU, or loses it under load.

    How it is decided
        NVML's error 8 for the handle of a GPU fails. So does Xid 54 of the last day or the driver's line about missing
        power cables, while NVML does not answer for that GPU or the line is of the last day.

    What to do
        Switch the machine off, plug in every connector of the board until it clicks, on separate cables of the power
        supply.

    Sources
        NVML, NVML_ERROR_INSUFFICIENT_POWER; NVIDIA, Xid 54; open-gpu-kernel-modules osinit.c (read 2026-11).
    """
    refused = tuple(
        gpu for gpu in facts.machine.gpus if (facts.failure(f"gpu.{gpu.index}.handle") or "").endswith("(NVML code 8)")
    )
    said = (*(line for line in numbered(facts, "xid") if line.code == _XID_POWER), *lines(facts, "power_cables"))
    working = {gpu.pci_bus_id for gpu in facts.gpus}
    standing = tuple(line for line in said if line.device not in working or is_recent(facts, line))
    if refused or standing:
        where = bus_ids(refused) or ", ".join(dict.fromkeys(line.device or "a GPU" for line in standing))
        return say.failed(
            f"A power connector is missing on {where}.",
            *facts.evidence(*(f"gpu.{gpu.index}.handle" for gpu in refused)),
            *told(standing),
            safe=(ACTIONS["check-power"],),
            risky=("switch the machine off before touching a connector, then on again",),
        )
    if facts.nvml_outcome != "answered" and facts.value("kernel.log") is None:
        return say.unknown("Neither NVML nor the kernel log could be asked about power connectors.")
    return say.passed("No board misses its auxiliary power.")


_XID_POWER = 54


@check("hw.inforom", level="quick", needs=("nvml",), not_on=("wsl", "vgpu-guest"))
def inforom(facts: Facts, say: Verdict) -> Finding:
    """The small memory on each board that keeps its settings and counters is sound.

    What it finds
        A corrupted InfoROM.

    Why it matters
        Counters of errors and retired memory get lost, and nvidia-smi ends with status 14, which stops scripts. CUDA
        itself still works.

    How it is decided
        nvmlDeviceValidateInforom: corrupted fails. A GPU that does not support the question is left out.

    What to do
        Ask the vendor for a repair or an exchange; until then the GPU can be used.

    Sources
        NVML, nvmlDeviceValidateInforom; DCGM, DCGM_FR_CORRUPT_INFOROM (read 2026-11).
    """
    return _flagged(
        facts,
        say,
        "inforom_valid",
        bad=False,
        happened="The InfoROM of {where} is corrupted",
        well="The InfoROM of {count} is sound.",
        evidence=("inforom_image_version",),
    )


@check(
    "hw.unrepairable_memory",
    level="quick",
    needs=("nvml",),
    not_on=("wsl", "vgpu-guest"),
    leads=("gpu.remap_failed", "gpu.ecc_unc_volatile"),
)
def unrepairable_memory(facts: Facts, say: Verdict) -> Finding:
    """No GPU has memory that can't be repaired.

    What it finds
        GPUs whose driver gave up on repairing memory, and repairs that wait for a reset.

    Why it matters
        Work on broken memory ends in errors or in wrong results.

    How it is decided
        NVML's flag of unrepairable memory fails. A repair of a memory channel or of a part of the chip that waits for a
        reset warns.

    What to do
        Unrepairable: have the board exchanged. Waiting: reset the GPU at the next pause.

    Sources
        NVML, nvmlDeviceGetUnrepairableMemoryFlag and nvmlDeviceGetRepairStatus; DCGM, memory health (read 2026-11).
    """
    waiting = tuple(
        gpu
        for gpu in facts.gpus
        if facts.flag(f"gpu.{gpu.index}.channel_repair_pending") or facts.flag(f"gpu.{gpu.index}.tpc_repair_pending")
    )
    if waiting and not any(facts.flag(f"gpu.{gpu.index}.unrepairable_memory") for gpu in facts.gpus):
        return say.warned(
            f"A repair of {bus_ids(waiting)} waits for a reset.",
            *_of(facts, waiting, "channel_repair_pending", "tpc_repair_pending"),
            safe=("nvidia-smi -q | grep -A4 -i repair",),
            risky=tuple(ACTIONS["reset-gpu"].format(device=gpu.pci_bus_id or gpu.index) for gpu in waiting),
        )
    return _flagged(
        facts,
        say,
        "unrepairable_memory",
        bad=True,
        happened="The memory of {where} can't be repaired any more",
        well="No memory of {count} is beyond repair.",
    )


def _of(facts: Facts, gpus: tuple[Gpu, ...], *names: str) -> tuple[Evidence, ...]:
    return facts.evidence(*(f"gpu.{gpu.index}.{name}" for gpu in gpus for name in names))


def _flagged(
    facts: Facts,
    say: Verdict,
    name: str,
    *,
    bad: bool,
    happened: str,
    well: str,
    evidence: tuple[str, ...] = (),
) -> Finding:
    known = tuple(gpu for gpu in facts.gpus if facts.flag(f"gpu.{gpu.index}.{name}") is not None)
    wrong = tuple(gpu for gpu in known if facts.flag(f"gpu.{gpu.index}.{name}") is bad)
    if wrong:
        return say.failed(
            f"{happened.format(where=bus_ids(wrong))}.", *_of(facts, wrong, name, *evidence), safe=(SUPPORT,)
        )
    if known:
        return say.passed(well.format(count=counted(len(known), "GPU")))
    failures = [facts.failure(f"gpu.{gpu.index}.{name}") or "" for gpu in facts.gpus]
    if any(why and not why.endswith(("(NVML code 3)", "(NVML code 13)")) for why in failures):
        return say.unknown(f"NVML did not tell: {next(why for why in failures if why)}.", *_of(facts, facts.gpus, name))
    return say.skipped("These GPUs, or this driver, do not support the question.")


@check(
    "hw.recovery_action",
    level="quick",
    needs=("nvml",),
    leads=("gpu.remap_pending", "pci.count_vs_nvml", "cuda.init", "cuda.context"),
)
def recovery_action(facts: Facts, say: Verdict) -> Finding:
    """The driver asks for no recovery of any GPU.

    What it finds
        What the driver itself wants done: a reset of the GPU, a restart, or no new work.

    Why it matters
        It is the driver's own summary of all errors of a GPU; work that is started before will fail or be wrong.

    How it is decided
        NVML's recovery action. `none` passes; the others fail or warn as the table of the matrix has it. Drivers that
        do not know the question are left out.

    What to do
        Exactly what is named, after all work on the GPU has ended.

    Sources
        NVML, NVML_FI_DEV_GET_GPU_RECOVERY_ACTION; DCGM, software test, recovery state (read 2026-11).
    """
    asked = {gpu: facts.text(f"gpu.{gpu.index}.recovery_action") for gpu in facts.gpus}
    known = {gpu: word for gpu, word in asked.items() if word}
    wanting = {gpu: word for gpu, word in known.items() if word != "none"}
    if not known:
        return say.skipped("This driver does not say what it wants done.")
    if not wanting:
        return say.passed(f"The driver asks nothing of {counted(len(known), 'GPU')}.")
    rows = {gpu: _row(facts, word) for gpu, word in wanting.items()}
    worst = next((gpu for gpu, row in rows.items() if row is None or row.severity == "fail"), next(iter(rows)))
    row = rows[worst]
    said = "; ".join(f"{gpu.pci_bus_id or gpu.index}: {row.name if row else wanting[gpu]}" for gpu, row in rows.items())
    risky = tuple(
        ACTIONS[row.action].format(device=gpu.pci_bus_id or gpu.index)
        for gpu, row in rows.items()
        if row and row.action in ACTIONS
    )
    is_fault = row is None or row.severity == "fail"
    return (say.failed if is_fault else say.warned)(
        f"The driver asks for a recovery ({said}).",
        *(
            Evidence(f"gpu.{gpu.index}.recovery_action", word, source="nvml", needs="none")
            for gpu, word in wanting.items()
        ),
        safe=("nvidia-smi -q | grep -A2 'Recovery Action'",),
        risky=tuple(dict.fromkeys(risky)) or ((row.do,) if row else ()),
    )


def _row(facts: Facts, word: str) -> RecoveryAction | None:
    rows = facts.matrix.faults.recovery_actions if facts.matrix else ()
    return next((row for row in rows if row.name.lower().replace(" ", "-") == word), None)


@check("hw.vbios_consistent", level="quick", needs=("nvml",), not_on=("wsl", "vgpu-guest"))
def vbios_consistent(facts: Facts, say: Verdict) -> Finding:
    """Boards of one part number run one firmware.

    What it finds
        Boards of the same part number with different VBIOS versions.

    Why it matters
        They differ in clocks, power limits and fixed faults: one of them slows a job of many, or fails alone.

    How it is decided
        NVML's VBIOS version grouped by board part number: several warn. Boards without a part number, such as most
        desktop cards, are not compared, for their makers ship their own.

    What to do
        The vendor's firmware bundle for the board or the server, on all of them.

    Sources
        NVML, nvmlDeviceGetVbiosVersion; Azure NHC, azure_gpu_vbios (read 2026-11).
    """
    groups: dict[str, dict[str, list[Gpu]]] = {}
    for gpu in facts.gpus:
        part = facts.text(f"gpu.{gpu.index}.board_part_number")
        version = facts.text(f"gpu.{gpu.index}.vbios_version")
        if part and version:
            groups.setdefault(part, {}).setdefault(version, []).append(gpu)
    mixed = {part: versions for part, versions in groups.items() if len(versions) > 1}
    if mixed:
        part, versions = next(iter(mixed.items()))
        table = "; ".join(f"{version} on {named(gpus)}" for version, gpus in versions.items())
        return say.warned(
            f"Boards {part} run {len(versions)} firmware versions: {table}.",
            *_of(facts, facts.gpus, "vbios_version"),
            safe=("nvidia-smi --query-gpu=pci.bus_id,vbios_version,inforom.img --format=csv",),
            risky=("bring all of them to one version with the vendor's firmware bundle",),
        )
    if not groups:
        return say.skipped("No board tells its part number and firmware.")
    return say.passed(f"{counted(len(groups), 'kind')} of board, each with one firmware.")


_SAME = 0.01
"""Share by which the memory of two boards of one name may differ."""


@check("hw.homogeneous", level="quick", needs=("nvml",))
def homogeneous(facts: Facts, say: Verdict) -> Finding:
    """GPUs of one name are alike, and a box of several kinds is known as such.

    What it finds
        GPUs of one name that differ in memory or power limit; boxes with GPUs of several kinds.

    Why it matters
        A job over all GPUs runs at the pace of the weakest and with the memory of the smallest. A build must fit all
        compute capabilities.

    How it is decided
        Several kinds are information and pass: the plan reckons with all of them. GPUs of one name and PCI device warn
        when their memory differs by more than 1 % (our proposal) or their power limits differ. Limits that are each
        board's own default are those of its maker and pass.

    What to do
        Less memory: look at remapped rows and retired channels of that GPU. A lower power limit: set it as on the
        others, if nobody wanted it.

    Sources
        NVML, nvmlDeviceGetMemoryInfo and nvmlDeviceGetPowerManagementLimit; DCGM runs one kind per test (read 2026-11).
    """
    kinds: dict[tuple[str, str | None], list[Gpu]] = {}
    for gpu in facts.gpus:
        kinds.setdefault((gpu.name or "unnamed", gpu.pci_device_id), []).append(gpu)
    for (name, _), gpus in kinds.items():
        sizes = [gpu.memory_bytes for gpu in gpus if gpu.memory_bytes]
        if sizes and max(sizes) - min(sizes) > _SAME * max(sizes):
            least = tuple(gpu for gpu in gpus if gpu.memory_bytes == min(sizes))
            return say.warned(
                f"{bus_ids(least)} has less memory than the other GPUs named {name}.",
                *_of(facts, tuple(gpus), "memory_bytes"),
                safe=("nvidia-smi -q -d MEMORY,ROW_REMAPPER",),
            )
        limits = {limit for gpu in gpus if (limit := facts.number(f"gpu.{gpu.index}.power_limit_w"))}
        if len(limits) > 1 and not all(_has_default_limit(facts, gpu) for gpu in gpus):
            told_limits = ", ".join(f"{limit:.0f} W" for limit in sorted(limits))
            return say.warned(
                f"GPUs named {name} have different power limits: {told_limits}.",
                *_of(facts, tuple(gpus), "power_limit_w"),
                safe=("nvidia-smi --query-gpu=index,power.limit,power.default_limit --format=csv",),
                risky=(f"sudo nvidia-smi --power-limit={max(limits):.0f}",),
            )
    if len(kinds) > 1:
        table = ", ".join(f"{len(gpus)} {name}" for (name, _), gpus in kinds.items())
        return say.passed(f"The box has {len(kinds)} kinds of GPU, and a build must fit all of them: {table}.")
    return say.passed(f"{counted(len(facts.gpus), 'GPU')} of one kind.")


def _has_default_limit(facts: Facts, gpu: Gpu) -> bool:
    limit = facts.number(f"gpu.{gpu.index}.power_limit_w")
    return limit is not None and limit == facts.number(f"gpu.{gpu.index}.power_limit_default_w")


CHECKS: tuple[Check, ...] = (
    power_connector,
    unrepairable_memory,
    recovery_action,
    inforom,
    vbios_consistent,
    homogeneous,
)
