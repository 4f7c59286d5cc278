"""Checks of processors: sys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check, counted
from .sys_words import count_of_gpus, cpu_numbers, rows

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict

_CPUS_PER_SLICE = 2
_CPUS_PER_GPU = 4
"""Our proposal: one for the training process, the others for its data workers."""
_FAR = 20
"""Distance of the firmware's table from which memory is on another socket; local is 10."""


@check("sys.cpu_governor", level="instant", not_on=("paste", "vm", "container", "wsl", "jetson"))
def cpu_governor(facts: Facts, say: Verdict) -> Finding:
    """The processors may leave their lowest clock.

    What it finds
        A frequency governor that keeps processors at one clock: `powersave` above a driver that takes it literally,
        or `userspace`.

    Why it matters
        Launching kernels and preparing batches is work of the CPU. At the lowest clock a fast GPU waits for it.

    How it is decided
        `powersave` with acpi-cpufreq, intel_cpufreq, cppc_cpufreq or pcc-cpufreq and `userspace` with any driver warn.
        With intel_pstate and amd-pstate-epp `powersave` is the name of the dynamic governor and passes. Laptops
        are skipped: their owners choose.

    What to do
        Choose `performance` or `schedutil`; tuned's profile throughput-performance does it for good.

    Sources
        Linux kernel, admin-guide/pm/cpufreq and admin-guide/pm/intel_pstate.
    """
    if facts.flag("host.is_portable"):
        return say.skipped("This is a portable computer.")
    governors = rows(facts, "cpu.governor")
    if not governors:
        return say.skipped("The kernel does not scale the clock of these processors.")
    slow = [one for one in governors if one[0] == "userspace" or (one[0] == "powersave" and one[1] in _LITERAL)]
    if slow:
        name, driver, count = slow[0]
        return say.warned(
            f"The governor `{name}` of {driver} holds {counted(count, 'frequency domain')} at one clock.",
            *facts.evidence("cpu.governor"),
            safe=("sudo cpupower frequency-set -g performance", "sudo tuned-adm profile throughput-performance"),
        )
    names = ", ".join(sorted({f"{governor} ({driver})" for governor, driver, _ in governors}))
    return say.passed(f"The processors scale with {names}.", *facts.evidence("cpu.governor"))


_LITERAL = frozenset({"acpi-cpufreq", "intel_cpufreq", "cppc_cpufreq", "pcc-cpufreq"})


@check("sys.cpu_count", level="instant", not_on=("paste", "vm", "container", "wsl", "jetson"))
def cpu_count(facts: Facts, say: Verdict) -> Finding:
    """Every processor that is there is on.

    What it finds
        Processors that firmware, the kernel or somebody switched off.

    Why it matters
        A machine that lost a core to a fault, or that was throttled down by hand and forgotten, feeds its GPUs slower
        than its twins.

    How it is decided
        Fewer processors online than present warns. It passes where simultaneous multithreading was switched off,
        as that takes away half of them on purpose.

    What to do
        `lscpu` names the ones that are off. Switch them on, or look into the kernel log for the reason.

    Sources
        Linux kernel, ABI/testing/sysfs-devices-system-cpu.
    """
    present, online = facts.number("cpu.present"), facts.number("cpu.online")
    if present is None or online is None:
        return say.unknown(f"The processors were not counted: {facts.why_not('cpu.online')}.")
    smt = facts.text("cpu.smt")
    if online >= present or smt in {"off", "forceoff"}:
        word = " with multithreading off" if smt in {"off", "forceoff"} else ""
        return say.passed(f"{counted(int(online), 'processor')} of {int(present)} on{word}.")
    return say.warned(
        f"{int(present - online)} of {int(present)} processors are off.",
        Evidence("cpu.online", int(online), source="/sys/devices/system/cpu/online", needs=int(present)),
        safe=("lscpu | grep -i 'on-line\\|off-line'", "echo 1 | sudo tee /sys/devices/system/cpu/cpu<N>/online"),
    )


@check("sys.cpu_quota", level="instant", needs=("gpu",), not_on=("paste",))
def cpu_quota(facts: Facts, say: Verdict) -> Finding:
    """No limit keeps this process from having enough processors for its GPUs.

    What it finds
        A quota of a control group (docker --cpus, a Kubernetes limit, a batch job) or a CPU set that leaves less than
        four processors for each GPU.

    Why it matters
        Every training process needs one processor to launch kernels and some more to prepare batches. With fewer, the
        GPU idles, and nothing says why.

    How it is decided
        The smaller of the processors in this process' CPU set and the quota of any control group above it, divided by
        the GPUs. Below 4 warns (our proposal), but only where the machine has more processors than the limit gives. For
        a MIG instance, a part of a GPU, 2 are enough.

    What to do
        Raise the limit of the container or job: `docker run --cpus`, `resources.limits.cpu`, `--cpus-per-task`.

    Sources
        Linux kernel, admin-guide/cgroup-v2, cpu.max. The number is our proposal.
    """
    allowed, online = cpu_numbers(facts.text("cpu.affinity") or ""), facts.number("cpu.online")
    if not allowed or online is None:
        return say.unknown(f"The processors were not counted: {facts.why_not('cpu.affinity')}.")
    quota = facts.number("cpu.control_group")
    usable, gpus = min(float(len(allowed)), quota or float("inf")), max(1, count_of_gpus(facts))
    wanted = (_CPUS_PER_SLICE if facts.is_any("mig") else _CPUS_PER_GPU) * gpus
    evidence = (
        Evidence("cpu.usable", usable, source="control group and CPU set", needs=wanted),
        *facts.evidence("cpu.online", "cpu.affinity", "cpu.control_group"),
    )
    if usable < wanted and usable < online:
        return say.warned(
            f"A limit leaves this process {usable:g} of {int(online)} processors for {counted(gpus, 'GPU')}.",
            *evidence,
            safe=(
                "cat /sys/fs/cgroup/cpu.max; taskset -cp $$",
                "raise the limit: docker run --cpus, resources.limits.cpu, or --cpus-per-task of the batch system",
            ),
        )
    return say.passed(f"{usable:g} processors may be used for {counted(gpus, 'GPU')}.", *evidence)


@check("sys.clocksource", level="instant", not_on=("paste", "vm", "container", "wsl", "jetson"))
def clocksource(facts: Facts, say: Verdict) -> Finding:
    """The kernel reads the time from the processor's own counter.

    What it finds
        An x86 machine that fell back to hpet or acpi_pm because the kernel found its TSC unstable.

    Why it matters
        Every reading of the time then goes to a slow device: tens of times slower, felt by all that takes many
        timestamps, such as profilers and the schedulers of collectives.

    How it is decided
        hpet, acpi_pm, jiffies or refined-jiffies on a machine without a hypervisor warns. Other architectures have a
        counter of their own.

    What to do
        The kernel log says why the TSC was given up (`dmesg | grep -i tsc`). It is mostly firmware: update it.

    Sources
        Linux kernel, admin-guide/kernel-parameters, clocksource= and tsc=.
    """
    if facts.machine.host.arch != "x86_64":
        return say.skipped("This architecture has one clock source.")
    source = facts.text("clock.source")
    if source is None:
        return say.unknown(f"The clock source was not read: {facts.why_not('clock.source')}.")
    if source in {"hpet", "acpi_pm", "jiffies", "refined-jiffies"}:
        return say.warned(
            f"The kernel reads the time from {source} and not from the processor's counter.",
            Evidence("clock.source", source, source="sysfs", needs="tsc"),
            *facts.evidence("clock.sources"),
            safe=("sudo dmesg | grep -iE 'tsc|clocksource'",),
            risky=("update the firmware, then reboot",),
        )
    return say.passed(f"The clock source is {source}.", *facts.evidence("clock.source"))


@check("sys.numa", level="instant", needs=("gpu",), not_on=("paste", "wsl", "jetson"))
def numa(facts: Facts, say: Verdict) -> Finding:
    """Processors and memory near to the GPUs may be used.

    What it finds
        A GPU on a node without memory, which is a socket whose DIMMs are missing or failed, and a process that may
        only run on another socket than all GPUs.

    Why it matters
        Copies to a GPU then cross the link between the sockets: less bandwidth, more latency, and collectives over
        the network suffer most.

    How it is decided
        On boxes with several nodes: a GPU's node without memory warns. So does a CPU set of which every processor is
        far from every GPU: distance 20 or more in the firmware's table (our proposal; local is 10). A GPU whose node
        is not known is the business of pci.numa_node. Automatic balancing is told and not judged: it is a default.

    What to do
        For the first, look at the DIMMs of that socket. For the second, bind to the GPU's node: `numactl
        --cpunodebind`, `--gpu-bind` and `--cpu-bind` of Slurm, the topology manager of Kubernetes.

    Sources
        Linux kernel, admin-guide/mm/numaperf and ABI/stable/sysfs-devices-node.
    """
    nodes = {one[0]: one for one in rows(facts, "numa.node")}
    if len(nodes) <= 1:
        return say.skipped("The machine has one node.")
    places = [(bus, node) for bus, node in rows(facts, "numa.gpu") if node in nodes]
    if not places:
        return say.skipped("The firmware does not say which node the GPUs are on.", *facts.evidence("numa.gpu"))
    bare = [(bus, node) for bus, node in places if not nodes[node][2]]
    if bare:
        return say.warned(
            f"GPU {bare[0][0]} is on node {bare[0][1]}, which has no memory.",
            *facts.evidence("numa.node", "numa.gpu"),
            safe=("numactl --hardware", "sudo dmidecode -t memory | grep -E 'Locator|Size'"),
        )
    allowed = cpu_numbers(facts.text("cpu.affinity") or "")
    mine = {node for node, one in nodes.items() if cpu_numbers(one[1]) & allowed}
    if mine and all(_distance(nodes, node, mine) >= _FAR for _, node in places):
        return say.warned(
            f"This process may only run on node {', '.join(map(str, sorted(mine)))}, and no GPU is near to it.",
            *facts.evidence("cpu.affinity", "numa.node", "numa.gpu"),
            safe=("numactl --show", f"numactl --cpunodebind={places[0][1]} --membind={places[0][1]} <command>"),
        )
    balancing = _balancing(facts)
    return say.passed(f"{len(nodes)} nodes; the GPUs' own can be used{balancing}.", *facts.evidence("numa.gpu"))


def _balancing(facts: Facts) -> str:
    """Whether the kernel moves pages between nodes, as the end of a sentence."""
    value = facts.number("numa.balancing")
    return "" if value is None else f"; automatic balancing is {'on' if value else 'off'}"


def _distance(nodes: dict[int, tuple[object, ...]], node: int, others: set[int]) -> float:
    """Least distance between a node and others; 0 where the table does not say."""
    words = str(nodes[node][3]).split()
    table = dict(zip(sorted(nodes), (int(word) for word in words if word.isdigit()), strict=False))
    return 0 if len(table) != len(nodes) else min(table[other] for other in others)


CHECKS = (cpu_count, cpu_governor, cpu_quota, clocksource, numa)
