"""Checks of what the driver wrote to the kernel log: kernel.xid_*, kernel.sxid, kernel.nvrm_unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import Check, check, counted
from .log_faults import ACTIONS, DRIVER_FAULTS, Fault, fatal_xids, judged_xid, steps, xidless
from .log_lines import explains_lost, is_recent, left_out, lines, numbered, recent, told, when, why_no_log
from .remedies import KERNEL_LOG

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict
    from .log_lines import Line


@check(
    "kernel.xid_fatal",
    level="quick",
    leads=(
        "pci.count_vs_nvml",
        "pci.count_vs_expected",
        "pci.aer",
        "pci.link_width",
        "pci.driver_binding",
        "driver.device_nodes",
        "driver.nvml_init",
        "driver.query_latency",
        "driver.dstate",
        "hw.recovery_action",
        "kernel.hung_task",
        "kernel.xid_app",
        "cuda.init",
        "cuda.context",
        "gpu.ecc_unc_volatile",
        "gpu.remap_pending",
        "gpu.remap_failed",
        "link.nvlink_up",
        "link.nvlink_errors",
        "fabric.state",
    ),
    explains=explains_lost,
)
def xid_fatal(facts: Facts, say: Verdict) -> Finding:
    """The driver reports no fault of a GPU that needs a reset, a restart or a repair.

    What it finds
        Xid errors of the hardware and reset classes since the machine started, GPUs that were lost or did not start
        without an Xid (fallen off the bus, RmInitAdapter failed, WPR2 already up), and a driver that can't set up
        unified memory.

    Why it matters
        After such an error results can't be trusted or the next CUDA call hangs; nvidia-smi may still look well.

    How it is decided
        The class of an Xid is that of the compatibility matrix, by its number and the words of its line. One of the
        last 24 hours fails. An older one fails while the GPU does not answer, while NVML asks for a recovery, or when
        only a restart helps; else it warns, for a reset may have mended it. The window of a day is that of the
        catalogue. Lines about a GPU that did not start count while NVML does not list it; where another line names
        the reason (wrong kind of module, firmware, power, memory windows), that finding is left to its own check.
        Trouble with unified memory warns: whether CUDA starts is asked elsewhere.

    What to do
        What the row of the Xid says: end the work, reset the GPU, restart or switch off the machine, check power and
        seating. `gpusetup explain` knows each number. An error that comes back after it is the vendor's:
        nvidia-bug-report.sh collects what they ask for.

    Sources
        NVIDIA, Xid Errors and Xid catalog; open-gpu-kernel-modules osinit.c, kernel_gsp.c, uvm_pmm_gpu.c; gpud's
        matchers of lines without an Xid (read 2026-11).
    """
    if skipped := why_no_log(facts, say):
        return skipped
    found = (*fatal_xids(facts), *xidless(facts))
    if not found:
        return say.passed("No fatal error of a GPU since the machine started.", *facts.evidence("kernel.log"))
    if any(fault.code is not None for fault in found) and facts.matrix is None:
        return say.unknown("What Xids mean is not known without the matrix.", *told(fault.line for fault in found))
    standing = tuple(fault for fault in found if fault.stands)
    shown = standing or found
    happened = "; ".join(fault.told + when(facts, fault.line) for fault in shown[:4])
    more = f"; and {len(shown) - 4} more" if len(shown) > 4 else ""  # noqa: PLR2004 -- what one sentence bears
    hotplug = recent(facts, lines(facts, "hotplug_down"))
    is_lost = any(fault.is_lost for fault in shown)
    aside = ", after the hot-plug controller saw the link go down" if hotplug and is_lost else ""
    evidence = (*told(fault.line for fault in shown), *(told(hotplug) if aside else ()))
    safe, risky = steps(shown)
    if aside:
        safe = (*safe, "switch PCIe hot-plug off for this slot in the firmware's setup, and update the firmware")
    if standing and any(not fault.is_doubtful for fault in standing):
        return say.failed(f"{happened}{more}{aside}.", *evidence, safe=safe, risky=risky)
    past = "" if standing else "; the GPU answers again"
    return say.warned(f"{happened}{more}{aside}{past}.", *evidence, safe=safe, risky=risky)


_MANY = 10
"""Different minutes of one day with an Xid of a program on one GPU. Our proposal."""
_NOT_THE_PROGRAM = frozenset({94})
"""Xids that end a program and still come from the GPU: the memory behind a contained error is broken."""


@check("kernel.xid_app", level="quick", needs=("gpu",))
def xid_app(facts: Facts, say: Verdict) -> Finding:
    """Xids that programs cause are few, and none of them asks for a reset.

    What it finds
        Xids of the application class (page fault, illegal instruction, a channel that timed out), Xids that only
        inform, crashes inside NCCL.

    Why it matters
        They end the program, not the GPU: the code is looked at first. The same Xids from many different programs on
        one GPU of several make the GPU suspect.

    How it is decided
        They are information and pass. It warns when one GPU had them in ten different minutes of the last 24 hours and
        from more than one program (our proposal: one crash writes many lines within a minute), when within a day one
        asks for a reset of the GPU or stands for broken memory (63, 94), and when a program crashed inside NCCL.

    What to do
        Look at the program first: CUDA_LAUNCH_BLOCKING=1 and compute-sanitizer name the kernel. When sound programs
        fail on one GPU and run on its neighbours, test that GPU. After a crash in NCCL read the Xids before it, then
        compare the NCCL releases of all ranks.

    Sources
        NVIDIA, Xid Errors; NVIDIA k8s-device-plugin, Xids that it does not count against a GPU (read 2026-11).
    """
    if skipped := why_no_log(facts, say):
        return skipped
    mild = tuple((line, judged) for line in numbered(facts, "xid") if not (judged := judged_xid(facts, line)).is_fatal)
    many = tuple(line for line, _ in mild if line.minutes >= _MANY and (line.process is None or "," in line.process))
    asking = tuple(
        (line, judged)
        for line, judged in mild
        if is_recent(facts, line) and (judged.action == "reset-gpu" or line.code in _NOT_THE_PROGRAM)
    )
    crashes = recent(facts, lines(facts, "nccl_segfault"))
    if asking:
        line, judged = asking[0]
        safe, risky = steps(tuple(Fault(line, judged.told, judged.action, do=judged.do) for line, judged in asking))
        return say.warned(
            f"{judged.told}{when(facts, line)}; the GPU should be reset at the next pause.",
            *told(line for line, _ in asking),
            safe=safe,
            risky=risky,
        )
    if many:
        return say.warned(
            f"Xid {many[0].code} on {many[0].device} in {many[0].minutes} different minutes of the last day, from more"
            " than one program or from programs that are not named.",
            *told(many),
            safe=(
                "compute-sanitizer <program>    (names the faulty access)",
                "run one of these programs on another GPU: an error that stays with the GPU is the GPU's",
            ),
        )
    if crashes:
        names = ", ".join(line.process or "a program" for line in crashes)
        return say.warned(
            f"{names} crashed inside NCCL{when(facts, crashes[-1])}.",
            *told(crashes),
            safe=(KERNEL_LOG, "compare the NCCL releases of all ranks: NCCL_DEBUG=VERSION <program>"),
        )
    if not mild:
        return say.passed("No Xid of a program since the machine started.", *facts.evidence("kernel.log"))
    named = ", ".join(f"Xid {line.code} ({judged.name}) {line.count}x" for line, judged in mild[:4])
    return say.passed(f"Programs failed on a GPU, the GPU is well: {named}.", *told(line for line, _ in mild))


@check(
    "kernel.sxid",
    level="quick",
    leads=("kernel.xid_fatal", "link.nvlink_up", "link.nvlink_errors", "fabric.state", "fabric.manager"),
)
def sxid(facts: Facts, say: Verdict) -> Finding:
    """The NVSwitches report no error.

    What it finds
        SXid lines of the first three generations of NVSwitch since the machine started.

    Why it matters
        A fatal one ends every job on the links of a port, or on the whole fabric, and shows as Xid 74 on GPUs that are
        in order.

    How it is decided
        The class is that of the matrix, by the number and by the line itself, which says Fatal or Non-fatal. One that
        ends all jobs until a restart fails. A fatal one fails within 24 hours and warns later. Others warn within
        24 hours, and later are only mentioned.

    What to do
        Fatal: end the jobs, reset all GPUs of the fabric together and restart the fabric manager. When all jobs are
        lost: restart the machine. Non-fatal: watch how often it comes; GPUs that are being reset cause some.

    Sources
        NVIDIA, Fabric Manager User Guide, NVSwitch SXid errors (read 2026-11).
    """
    if skipped := why_no_log(facts, say):
        return skipped
    found = numbered(facts, "sxid")
    if not found:
        return say.passed("No SXid since the machine started.", *facts.evidence("kernel.log"))
    classes = {line: _sxid_class(facts, line) for line in found}
    fatal = tuple(line for line in found if classes[line] != "non_fatal")
    standing = tuple(line for line in fatal if classes[line] == "always_fatal" or is_recent(facts, line))
    worst = (standing or fatal or found)[0]
    row = facts.matrix.sxid(worst.code or 0) if facts.matrix else None
    name = f" ({row.name})" if row else ""
    said = f"SXid {worst.code}{name} on NVSwitch {worst.device}{when(facts, worst)}"
    reset = ("end all jobs, then sudo nvidia-smi --gpu-reset    (all GPUs at once)", ACTIONS["restart-fabric"])
    safe = ("nvidia-smi nvlink -s", "sudo journalctl -u nvidia-fabricmanager -n 50 --no-pager")
    if standing:
        lost = any(classes[line] == "always_fatal" for line in standing)
        risky = (ACTIONS["reboot"],) if lost else reset
        return say.failed(f"{said}: fatal to jobs on the fabric.", *told(standing), safe=safe, risky=risky)
    if fatal:
        return say.warned(f"{said}: it was fatal to jobs on the fabric.", *told(fatal), safe=safe, risky=reset)
    if recent(facts, found):
        return say.warned(f"{said}: not fatal.", *told(recent(facts, found)), safe=safe)
    return say.passed(f"{said}: not fatal, and none in the last day.", *told(found))


def _sxid_class(facts: Facts, line: Line) -> str:
    row = facts.matrix.sxid(line.code or 0) if facts.matrix else None
    if row is not None:
        return row.judged(line.texts[0] if line.texts else "")
    words = " ".join(line.texts).casefold()
    return "fatal" if "fatal," in words.replace("non-fatal,", "") else "non_fatal"


_FLOOD = 1000
"""Driver lines without a rule, since the machine started, that are worth a word. Our proposal."""


@check("kernel.nvrm_unknown", level="quick", needs=("gpu",))
def nvrm_unknown(facts: Facts, say: Verdict) -> Finding:
    """What else the driver wrote to the kernel log is little.

    What it finds
        Lines of the driver (NVRM) that no rule of gpusetup knows.

    Why it matters
        They are for people who look for the reason of something else. Most are harmless. A driver that writes without
        end fills the disk and hides what matters.

    How it is decided
        They are information and pass. More than 1,000 of one wording since the machine started warn; our proposal.

    What to do
        Read them around the time of the trouble, and search NVIDIA's issue tracker for the wording.

    Sources
        The idea of a list of known lines: imbue cluster-health, dmesg_whitelist (read 2026-11).
    """
    if skipped := why_no_log(facts, say):
        return skipped
    found = lines(facts, "nvrm")
    others = tuple(line for kind in DRIVER_FAULTS for line in lines(facts, kind))
    number = sum(line.count for line in found) + left_out(facts, "nvrm")
    if number > _FLOOD:
        return say.warned(
            f"The driver wrote {number} lines to the kernel log that gpusetup does not know.",
            Evidence("kernel.line.nvrm", number, source=found[0].reading.source if found else None, needs=_FLOOD),
            *told(found),
            safe=(KERNEL_LOG,),
        )
    if found:
        return say.passed(f"{counted(number, 'line')} of the driver without a rule.", *told((*found, *others)))
    evidence = (*facts.evidence("kernel.log"), *told(others))
    return say.passed("Every line of the driver in the kernel log is known.", *evidence)


CHECKS: tuple[Check, ...] = (sxid, xid_fatal, xid_app, nvrm_unknown)
