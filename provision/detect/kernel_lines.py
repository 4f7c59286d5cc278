"""What the kernel log says about GPUs and the machine around them: lines sorted into kinds. Pure.

Only lines of a kind below are ever kept, shortened, without the host's name and without arguments of programs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..spellings import normal_bus_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST_LINE: Final = 300
"""Characters of a line that are kept."""
_FIRST, _LAST = 20, 200
"""Lines of one kind that are kept from its start and from its end: a broken card writes thousands."""

# Kinds in the order in which they are tried; a line has one kind. How the lines look: open-gpu-kernel-modules
# (kernel-open/nvidia, src/nvidia), linux (drivers/pci, kernel/hung_task.c, mm/oom_kill.c), gpud's matchers.
_KINDS: Final = (
    # NVRM: Xid (PCI:0000:05:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.
    ("xid", r"NVRM: Xid \("),
    # nvidia-nvswitch3: SXid (PCI:0000:05:00.0): 12028, Non-fatal, Link 32 egress non-posted PRIV error (First)
    ("sxid", r"SXid \("),
    # NVRM: GPU 0000:18:00.0: GPU has fallen off the bus.
    ("fallen_off_bus", r"NVRM:.*fallen off the bus"),
    # NVRM: _kgspBootGspRm: unexpected WPR2 already up, cannot proceed with booting GSP
    ("gsp_wpr2", r"WPR2 already up"),
    # nvidia 0000:01:00.0: Direct firmware load for nvidia/550.54.14/gsp_ga10x.bin failed with error -2
    ("gsp_firmware", r"NVRM:.*No firmware image found|^nvidia .*[Dd]irect firmware load for nvidia/.*failed"),
    # NVRM: GPU 0000:41:00.0: GPU does not have the necessary power cables connected.
    ("power_cables", r"necessary power cables"),
    # NVRM: installed in this system requires use of the NVIDIA open kernel modules.
    ("open_modules_required", r"requires use of the NVIDIA open kernel modules"),
    # NVRM: nvidia.ko because it does not include the required GPU
    ("no_gsp", r"does not include the required GPU"),
    # NVRM: ignoring the legacy GPU 0000:01:00.0
    ("legacy_gpu", r"ignoring the legacy GPU"),
    # NVRM: This PCI I/O region assigned to your NVIDIA device is invalid: NVRM: BAR1 is 0M @ 0x0 (PCI:0000:01:00.0)
    ("bar_invalid", r"PCI I/O region assigned to your NVIDIA device is invalid|NVRM:.*request_mem_region failed"),
    # NVRM: The NVIDIA GPU 0000:01:00.0 (PCI ID: 10de:0dc4) NVRM: installed in this system is not supported by the ...
    ("not_supported", r"NVRM:.*is not supported by the"),
    # NVRM: GPU 0000:01:00.0: RmInitAdapter failed! (0x22:0x56:884)
    ("rm_init_failed", r"RmInitAdapter failed|rm_init_adapter failed|RmInitAdapter: Cannot initialize"),
    # NVRM: API mismatch: the client has the version 535.183.01, but this kernel module has the version 535.161.08.
    ("api_mismatch", r"NVRM: API mismatch"),
    # NVRM: The NVIDIA probe routine was not called for 1 device(s).
    ("probe_not_called", r"NVIDIA probe routine was not called"),
    # NVRM: The NVIDIA probe routine failed for 1 device(s).
    ("probe_failed", r"NVIDIA probe routine failed"),
    # nvidia-uvm: uvm_pmm_gpu.c:3176 devmem_alloc_pagemap[pid:812] request_free_mem_region() err -34
    ("uvm_hmm", r"devmem_alloc_pagemap.*request_free_mem_region\(\) err -34"),
    ("uvm_vgpu", r"UVM is not supported in legacy virtualization mode"),
    # pci 0000:01:00.0: BAR 1: no space for [mem size 0x800000000 64bit pref]
    ("bar_unassigned", r"BAR \d+.*(?:no space|failed to assign)"),
    # mlx5_core 0000:5c:00.0: mlx5_pcie_event:299:(pid 268): Detected insufficient power on the PCIe slot (27W).
    ("nic_power", r"insufficient power on the PCIe slot"),
    # pcieport 0000:00:01.1: pciehp: Slot(0): Link Down
    ("hotplug_down", r"pciehp.*Link Down"),
    # pcieport 0000:00:01.0: AER: Uncorrectable (Fatal) error message received from 0000:01:00.0
    ("aer_fatal", r"(?:AER|PCIe Bus Error):.*Uncorrect\w+ \(Fatal\)"),
    ("aer_nonfatal", r"(?:AER|PCIe Bus Error):.*Uncorrect\w+ \(Non-Fatal\)"),
    ("aer_corrected", r"(?:AER|PCIe Bus Error):.*[Cc]orrected"),
    # pci 0000:01:00.0: 63.008 Gb/s available PCIe bandwidth, limited by 8.0 GT/s PCIe x8 link at 0000:00:01.0
    ("link_limited", r"available PCIe bandwidth, limited by"),
    # Out of memory: Killed process 4711 (python) total-vm:90210kB, anon-rss:80000kB, ...
    ("oom", r"[Oo]ut of memory.*Kill(?:ed)? process \d+"),
    # INFO: task nvidia-smi:4711 blocked for more than 122 seconds.
    ("hung_task", r"INFO: task .*blocked for more than \d+ seconds"),
    # watchdog: BUG: soft lockup - CPU#12 stuck for 26s! [python:4711]
    ("soft_lockup", r"soft lockup|hard LOCKUP"),
    # python[4711]: segfault at 0 ip 00007f... sp 00007f... error 4 in libnccl.so.2.21.5[7f...]
    ("nccl_segfault", r"segfault at.*in libnccl\.so"),
    # audit: type=1400 audit(1.2:3): avc:  denied  { read } for  pid=7 comm="nvidia-smi" name="params" ...
    ("lsm", r"(?:avc:\s+denied|apparmor=\"DENIED\").*nvidia"),
    # EDAC MC0: 1 UE memory read error on CPU_SrcID#0_MC#0_Chan#0_DIMM#0
    ("hardware_error", r"EDAC \S+ \d+ (?:CE|UE) |\[Hardware Error\]: Machine Check"),
    # EXT4-fs (nvme0n1p2): Remounting filesystem read-only
    ("fs_read_only", r"Remounting filesystem read-only|forced readonly|Shutting down filesystem"),
    # nvme nvme0: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0x10
    ("nvme_reset", r"nvme nvme\d+: .*(?:controller is down; will reset|timeout, reset|Removing after probe failure)"),
    # Loading of module with unavailable key is rejected        (linux, kernel/module/signing.c)
    # Lockdown: modprobe: unsigned module loading is restricted; see man kernel_lockdown.7
    ("module_rejected", r"^Loading of .*is rejected|unsigned module loading is restricted"),
    # PM: suspend exit
    ("resumed", r"PM: suspend exit"),
)
_PATTERNS: Final = tuple((name, re.compile(pattern)) for name, pattern in _KINDS)
# Driver lines that a machine in good health writes as well.
_ORDINARY: Final = re.compile(
    r"NVRM: (?:loading NVIDIA|Persistence mode is deprecated|GPU at PCI:|GPU Board Serial|A GPU crash dump|"
    r"objClInitPcieChipset|This can occur when|Try unloading|reloading|Please see|No NVIDIA GPU found)"
)
# One cheap search before the thirty others: most lines of a log are none of ours.
_MAYBE: Final = re.compile(
    r"NVRM|SXid|WPR2|power|nvidia|BAR \d|pciehp|AER|PCIe|ut of memory|blocked for more|lockup|LOCKUP|segfault|EDAC|"
    r"Hardware Error|is rejected|is restricted|read-only|readonly|Shutting down|nvme|suspend exit|legacy virtualization"
)


_NOT_THE_KERNEL: Final = re.compile(r"(audit[:( ])|[\w.@-]{1,64}\[\d+\]: |(?:Kernel c|C)ommand line: ")


def kind_of(text: str) -> str | None:
    """Kind of a message; `nvrm` for a line of the driver that no rule knows, None for one that is not kept."""
    if not _MAYBE.search(text):
        return None
    if match := _NOT_THE_KERNEL.match(text):
        # audit quotes the arguments of programs, and services write to the kernel's log, too
        allowed = "lsm" if match[1] else "nccl_segfault"
        return allowed if dict(_PATTERNS)[allowed].search(text) else None
    for name, pattern in _PATTERNS:
        if pattern.search(text):
            return name
    return "nvrm" if text.startswith("NVRM:") and not _ORDINARY.match(text) else None


# --- records


@dataclass(frozen=True, slots=True)
class Record:
    """One message of the kernel."""

    at: float | None
    """Seconds since 1970, None where the line has no time."""
    text: str


# 1795000000.123456 myhost kernel: NVRM: loading NVIDIA UNIX Open Kernel Module
_UNIX = re.compile(r"(\d{9,}\.\d+) (?:\S+ )?kernel(?:\[\d+\])?: (.*)")
# [   12.345678] NVRM: loading ...      <6>[   12.345678][    T1] NVRM: ...
_SINCE_BOOT = re.compile(r"(?:<\d+>)?\[\s*(\d+\.\d+)\](?:\[\s*[TC]\d+\])? (.*)")
# Nov 23 16:59:01 myhost kernel: [   12.345678] NVRM: ...      2026-11-23T16:59:01.1+00:00 myhost kernel: NVRM: ...
_SYSLOG = re.compile(r"(?:[A-Z][a-z]{2} +\d+ [\d:]{8}|\d{4}-\d\d-\d\dT\S+) \S+ kernel: (?:\[\s*(\d+\.\d+)\] ?)?(.*)")
_TIMELESS: Final = "- - kernel: "
"""Before a kept line whose time is not known."""
# The driver writes some messages over several lines, each with NVRM: before it.
_OPENS = re.compile(r"NVRM: (?:The NVIDIA GPU|This PCI I/O region)")
_MOST_JOINED = 6
_LONGEST_READ: Final = 1024
_NEAR_S = 0.05


def records(lines: Iterable[str], booted_at: float | None) -> Iterator[Record]:
    """Messages with their times; a line without a time belongs to the message of the driver before it, or to none."""
    last: Record | None = None
    joined = 0
    for line in lines:
        # The kernel's own are never longer (LOG_LINE_MAX), and the patterns below take the square of the length.
        line = line[:_LONGEST_READ]  # noqa: PLW2901
        found = _record(line, booted_at)
        if found is None and not (last and last.text.startswith("NVRM:") and joined < _MOST_JOINED):
            continue  # not a line of the kernel
        if last and (found is None or _goes_on(last, found, joined)):
            more = found.text if found else line.replace("#012", " ").strip()
            last = Record(last.at, f"{last.text} {more}")
            joined += 1
            continue
        if last:
            yield last
        last, joined = found, 0
    if last:
        yield last


def _record(line: str, booted_at: float | None) -> Record | None:
    if match := _UNIX.match(line):
        return Record(float(match[1]), match[2])
    if line.startswith(_TIMELESS):
        return Record(None, line[len(_TIMELESS) :])
    match = _SINCE_BOOT.match(line) or _SYSLOG.match(line)
    if match is None:
        return None
    at = None if match[1] is None or booted_at is None else round(booted_at + float(match[1]), 3)
    return Record(at, match[2].replace("#012", " "))


def _goes_on(last: Record, found: Record, joined: int) -> bool:
    is_near = last.at is None or found.at is None or found.at - last.at < _NEAR_S
    return bool(
        is_near
        and joined < _MOST_JOINED
        and _OPENS.match(last.text)
        and found.text.startswith("NVRM: ")
        and not _OPENS.match(found.text)
        and not found.text.startswith(("NVRM: GPU ", "NVRM: The NVIDIA probe", "NVRM: Xid", "NVRM: loading"))
    )


# --- keeping little


def kept(text: str, booted_at: float | None) -> str:
    """The lines of a log that are of a kind, in a form that `records` reads, under a line with their number.

    Of each kind the first 20 and the last 200 stay.
    """
    by_kind: dict[str, list[tuple[int, str]]] = {}
    read = 0
    for read, record in enumerate(records(text.splitlines(), booted_at), start=1):
        kind = kind_of(record.text)
        if kind:
            at = f"{record.at:.3f} kernel: " if record.at is not None else _TIMELESS
            by_kind.setdefault(kind, []).append((read, at + _shortened(kind, record.text)))
    found: list[tuple[int, str]] = []
    left_out = []
    for kind, lines in by_kind.items():
        found += lines[:_FIRST] + lines[max(_FIRST, len(lines) - _LAST) :]
        if len(lines) > _FIRST + _LAST:
            left_out.append(f"# left out {len(lines) - _FIRST - _LAST} {kind}")
    return "\n".join([f"# read {read}", *left_out, *(line for _, line in sorted(found)), ""])


# comm="nvidia-smi"   profile="docker-default"   scontext=system_u:system_r:container_t:s0:c1,c2
_LSM_FIELDS = re.compile(
    r'(?:apparmor|operation|profile|comm|name|path|scontext|tcontext|tclass|permissive)=(?:"[^"]*"|\S+)'
)
_OOM = re.compile(r"(Memory cgroup )?[Oo]ut of memory.*?Kill(?:ed)? process (\d+) \(([^)]*)\)")


def _shortened(kind: str, text: str) -> str:
    if kind == "lsm":
        action = "avc:  denied" if "avc:" in text else 'apparmor="DENIED"'
        fields = (one for one in _LSM_FIELDS.findall(text) if not one.startswith("apparmor="))
        text = " ".join((action, *fields))
    elif kind == "oom" and (match := _OOM.search(text)):
        text = f"{match[1] or ''}{'out' if match[1] else 'Out'} of memory: Killed process {match[2]} ({match[3]})"
    return text[:LONGEST_LINE]


# --- parsing what was kept


@dataclass(frozen=True, slots=True)
class Counted:
    """Lines that say the same about the same device."""

    kind: str
    code: int | None
    """Number of an Xid or SXid."""
    device: str | None
    """0000:05:00.0; None where the line names none."""
    processes: tuple[str, ...]
    """Names of the programs, without arguments."""
    count: int
    first: float | None
    last: float | None
    minutes: int
    """Different minutes of the last day in which there were such lines: one crash may write a hundred."""
    texts: tuple[str, ...]
    """What the lines say, newest first, those that differ by numbers alone told once."""


@dataclass(frozen=True, slots=True)
class KernelLog:
    """What became of a log."""

    read: int = 0
    """Messages that were there."""
    counted: tuple[Counted, ...] = ()
    left_out: tuple[tuple[str, int], ...] = ()
    """Lines beyond those kept, by kind."""


_PLACE = r"(?:([0-9a-fA-F]{4,8}):)?([0-9a-fA-F]{2}):([0-9a-fA-F]{2})"
# NVRM: Xid (PCI:0000:01:00): 31, pid=4711, name=python3, Ch 00000010     NVRM: Xid (PCI:0000:D8:00 GPU-I:02): 94, ...
_XID = re.compile(rf"NVRM: Xid \((?:PCI:)?{_PLACE}[^)]*\): (\d+),?\s*(.*)")
_SXID = re.compile(rf"SXid \((?:PCI:)?{_PLACE}[^)]*\): (\d+),?\s*(.*)")
_DEVICE = re.compile(rf"(?<![0-9a-fA-F:]){_PLACE}\.([0-7])\b|PCI:{_PLACE}")
_PID = re.compile(r"pid='?(?:\d+|<unknown>)'?,?\s*")
_NAME = re.compile(r"name=([^,]*),?\s*")
_PROCESS: Final = {
    "oom": re.compile(r"process \d+ \(([^)]*)\)"),
    "hung_task": re.compile(r"INFO: task (.+?):\d+ blocked"),
    "soft_lockup": re.compile(r"\[(.+?):\d+\]"),
    "nccl_segfault": re.compile(r"^(\S+?)\[\d+\]: segfault"),
    "lsm": re.compile(r'comm="([^"]*)"'),
}
_NUMBERS = re.compile(r"0x[0-9a-fA-F]{3,}|\b[0-9a-fA-F]{6,}\b|\b\d{2,}\b")
_MOST_TEXTS, _MOST_NAMES = 6, 4
_DAY_S = 86400.0


def parse_kernel_log(text: str, *, booted_at: float | None, now: float) -> KernelLog:
    """Kinds, devices and times of a log, kept or raw."""
    lines = text.splitlines()
    heads = [line for line in lines if line.startswith("# ")]
    left_out = tuple((words[4], int(words[3])) for words in map(str.split, heads) if words[1:3] == ["left", "out"])
    found: dict[tuple[str, int | None, str | None, str], list[tuple[Record, str, str | None]]] = {}
    read = 0
    for record in records((line for line in lines if not line.startswith("# ")), booted_at):
        read += 1
        kind = kind_of(record.text)
        if kind is None:
            continue
        code, device, process, said = _told(kind, record.text)
        # Programs of an Xid belong together; of other lines each program is a case of its own.
        whose = "" if kind in ("xid", "sxid") else process or ""
        found.setdefault((kind, code, device, whose), []).append((record, said, process))
    told = next((int(words[2]) for words in map(str.split, heads) if words[1] == "read"), read)
    return KernelLog(told, tuple(_counted(key, rows, now) for key, rows in found.items()), left_out)


def _told(kind: str, text: str) -> tuple[int | None, str | None, str | None, str]:
    """Number, device, program and message of a line."""
    if kind in ("xid", "sxid") and (match := (_XID if kind == "xid" else _SXID).search(text)):
        name = _NAME.search(match[5])
        process = name[1].strip() if name else None
        said = _NAME.sub("", _PID.sub("", match[5], count=1), count=1)
        return int(match[4]), _bus_id(match[1], match[2], match[3]), process if process != "<unknown>" else None, said
    match = _DEVICE.search(text)
    device = None
    if match:
        place = match.groups()
        device = _bus_id(place[0], place[1], place[2], place[3]) if match[2] else _bus_id(*place[4:7])
    pattern = _PROCESS.get(kind)
    name = pattern.search(text) if pattern else None
    return None, device, name[1] if name else None, text


def _bus_id(domain: str | None, bus: str, device: str, function: str = "0") -> str:
    spelled = f"{domain or '0000'}:{bus}:{device}.{function}"
    return normal_bus_id(spelled) or spelled.lower()


def _counted(
    key: tuple[str, int | None, str | None, str], rows: list[tuple[Record, str, str | None]], now: float
) -> Counted:
    times = [record.at for record, _, _ in rows if record.at is not None]
    texts: dict[str, str] = {}
    for _, said, _ in reversed(rows):
        texts.setdefault(_NUMBERS.sub("#", said), said)
    return Counted(
        kind=key[0],
        code=key[1],
        device=key[2],
        processes=tuple(dict.fromkeys(name for _, _, name in rows if name))[:_MOST_NAMES],
        count=len(rows),
        first=min(times, default=None),
        last=max(times, default=None),
        minutes=len({int(at // 60) for at in times if now - at < _DAY_S}),
        texts=tuple(texts.values())[:_MOST_TEXTS],
    )
