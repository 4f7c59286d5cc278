"""Checks of how the driver is set up: driver."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..records import Evidence
from .base import check, counted, from_a_warning_too
from .driver_facts import NOT_THE_HOST, WITHOUT_MODULE, explains_without_module, is_data_center, loaded_release
from .gpu_answers import named
from .remedies import KERNEL_LOG, rebuild_initramfs

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Facts, Verdict


@check(
    "driver.module_options",
    level="instant",
    needs=("gpu",),
    not_on=NOT_THE_HOST,
    leads=WITHOUT_MODULE,
    explains=explains_without_module,
)
def module_options(facts: Facts, say: Verdict) -> Finding:
    """The driver's module may load, with the options that are configured.

    What it finds
        A line that keeps the module from loading (`blacklist nvidia`, as `prime-select intel` writes it on laptops),
        and options in modprobe.d that the loaded module does not have.

    Why it matters
        With the line there is no driver, and nothing says why. An option that did not take effect, or was taken back
        while the module stayed loaded, changes the box at its next start.

    How it is decided
        blacklist and install lines about nvidia in the folders of modprobe.d fail while no module is loaded. Each
        NVreg_ option there that is a number, and that one file alone sets, is compared with /proc/driver/nvidia/params.
        A difference warns.

    What to do
        Remove the line, or the other one; rebuild the initramfs, since it holds a copy; restart. On a laptop:
        `sudo prime-select nvidia`.

    Sources
        modprobe.d(5); NVIDIA driver README, "Module parameters"; ubuntu-drivers-common, prime-select (read 2026-11).
    """
    against = facts.readings("driver.kept_from_loading")
    if against and loaded_release(facts) is None:
        line = f"{against[0].value} in {against[0].source}"
        return say.failed(
            f"The driver's module is kept from loading: {line}.",
            *facts.evidence("driver.kept_from_loading"),
            safe=("grep -rE 'nvidia' /etc/modprobe.d /lib/modprobe.d", "prime-select query    (on a laptop)"),
            risky=(
                "sudo prime-select nvidia    (on a laptop; else remove the line)",
                *rebuild_initramfs(facts.machine),
            ),
        )
    if loaded_release(facts) is None:
        return say.skipped("No module of the driver is loaded whose options could be compared.")
    if facts.failure("driver.params"):
        return say.unknown(f"The module's options were not read ({facts.failure('driver.params')}).")
    rows = [value for value in facts.values("driver.module_option") if isinstance(value, tuple)]
    given: dict[str, list[tuple[str, int | None, int | None]]] = {}
    for name, wanted, found in rows:
        given.setdefault(str(name), []).append((str(wanted), _number(str(wanted)), _number(str(found))))
    # Where two files differ, which one counts is not for us to guess; texts come back in other forms.
    wrong = [
        (name, told[0][0], str(told[0][2]))
        for name, told in given.items()
        if len(told) == 1 and None not in told[0] and told[0][1] != told[0][2]
    ]
    if wrong:
        said = "; ".join(f"{name} is {found}, configured {wanted}" for name, wanted, found in wrong)
        return say.warned(
            f"The loaded module has other options than modprobe.d: {said}.",
            *(
                Evidence(name, found, source="/proc/driver/nvidia/params", needs=wanted)
                for name, wanted, found in wrong
            ),
            safe=("cat /proc/driver/nvidia/params", "grep -r NVreg_ /etc/modprobe.d"),
            risky=rebuild_initramfs(facts.machine),
        )
    return say.passed(f"The module has the {counted(len(rows), 'option')} that modprobe.d gives it.")


def _number(value: str) -> int | None:
    """Value of an option as the kernel reads it: 0660 is octal, 0x10 is 16, -1 a mask of 32 bits; None for a text."""
    for pattern, base in ((r"0[0-7]+", 8), (r"0x[0-9a-fA-F]+", 16), (r"-?\d+", 10)):
        if re.fullmatch(pattern, value):
            return int(value, base) % 2**32
    return None


@check(
    "driver.gsp",
    level="quick",
    needs=("gpu", "driver"),
    not_on=NOT_THE_HOST,
    leads=("pci.count_vs_nvml", "driver.nvml_init", "cuda.init"),
)
def gsp(facts: Facts, say: Verdict) -> Finding:
    """The GPU's own processor runs the firmware of this driver.

    What it finds
        Firmware files of the loaded driver that are not installed, firmware of another release, and a GPU that runs
        without it where that is not the default.

    Why it matters
        The open kernel module starts no GPU without its firmware ("No firmware image found", RmInitAdapter failed).

    How it is decided
        Where NVML lists no GPU and the open module is loaded: no gsp*.bin in /lib/firmware/nvidia/<release> fails.
        Where GPUs answer: a firmware release other than the driver's warns, and so does a mode that is off while its
        default is on.

    What to do
        Install the driver's firmware package again and rebuild the initramfs. A mode that is off was switched off by
        NVreg_EnableGpuFirmware=0; somebody may have had a reason.

    Sources
        NVIDIA driver README, "GSP firmware"; NVML API reference, nvmlDeviceGetGspFirmwareMode (read 2026-11).
    """
    release = loaded_release(facts)
    if not facts.gpus:
        flavour = facts.machine.driver.kernel_module if facts.machine.driver else None
        if flavour == "open" and facts.texts("driver.gsp_firmware") == ():
            return say.failed(
                f"No GPU answers, and the firmware of driver {release} is not in /lib/firmware/nvidia/{release}.",
                *facts.evidence("driver.gsp_firmware"),
                safe=(f"ls /lib/firmware/nvidia/{release}", KERNEL_LOG),
                risky=("install the driver's firmware package again", *rebuild_initramfs(facts.machine)),
            )
        return say.skipped("No GPU answers that could tell its firmware.")
    other, off, known = [], [], 0
    for gpu in facts.gpus:
        version = facts.text(f"gpu.{gpu.index}.gsp_version")
        mode, default = (facts.text(f"gpu.{gpu.index}.{name}") for name in ("gsp_mode", "gsp_mode_default"))
        known += mode is not None
        if mode == "enabled" and version and release and version != str(release):
            other.append((gpu.index, version))
        if mode == "disabled" and default == "enabled":
            off.append(gpu.index)
    if other:
        return say.warned(
            f"GPU {other[0][0]} runs firmware {other[0][1]} under driver {release}.",
            *(
                Evidence(f"gpu.{index}.gsp_version", version, source="nvml", needs=str(release))
                for index, version in other
            ),
            safe=("nvidia-smi -q | grep -i gsp", f"ls /lib/firmware/nvidia/{release}"),
            risky=("install the driver's firmware package again", *rebuild_initramfs(facts.machine)),
        )
    if off:
        which = tuple(gpu for gpu in facts.gpus if gpu.index in off)
        return say.warned(
            f"The firmware is off although it is on by default: {named(which)}.",
            *(one for index in off for one in facts.evidence(f"gpu.{index}.gsp_mode", f"gpu.{index}.gsp_mode_default")),
            safe=(
                "grep -r NVreg_EnableGpuFirmware /etc/modprobe.d; grep EnableGpuFirmware /proc/driver/nvidia/params",
            ),
        )
    if not known:
        return say.skipped("No GPU here tells of such firmware.")
    return say.passed(f"Firmware and its mode are as they should be on {counted(known, 'GPU')}.")


@check("driver.persistence", level="quick", needs=("nvml",), not_on=("wsl", "jetson", "vgpu-guest"))
def persistence(facts: Facts, say: Verdict) -> Finding:
    """Data-centre boards stay initialised between programs.

    What it finds
        Persistence mode off on data-centre boards.

    Why it matters
        Without it the driver tears the GPU down when the last program ends: the next one waits seconds, and clock
        limits, power limits and pending repairs are forgotten.

    How it is decided
        nvmlDeviceGetPersistenceMode of boards that the matrix calls data-centre ones; off warns. Other boards may do as
        they like. In containers it is the host's business, and images of virtual machines come with it off: there it
        passes and is told. A driver that answers slowly for want of it has a finding of its own, driver.query_latency.

    What to do
        Enable nvidia-persistenced, which the driver's packages bring.

    Sources
        NVIDIA, Driver Persistence (read 2026-11).
    """
    boards = [gpu for gpu in facts.gpus if is_data_center(facts, gpu)]
    modes = {gpu.index: facts.value(f"gpu.{gpu.index}.persistence_mode") for gpu in boards}
    off = [index for index, mode in modes.items() if mode == 0]
    if off and facts.is_any("container", "vm"):
        kind = "container" if facts.is_any("container") else "virtual machine"
        return say.passed(
            f"Persistence mode is off on {counted(len(off), 'data-centre board')}, as is usual in a {kind}; each first"
            " program waits for the GPU.",
            *facts.evidence("driver.persistence_daemon"),
        )
    if off:
        which = tuple(gpu for gpu in boards if gpu.index in off)
        return say.warned(
            f"Persistence mode is off on {counted(len(off), 'data-centre board')}: {named(which)}.",
            *(one for index in off for one in facts.evidence(f"gpu.{index}.persistence_mode")),
            *facts.evidence("driver.persistence_daemon"),
            safe=("sudo systemctl enable --now nvidia-persistenced", "sudo nvidia-smi -pm 1"),
        )
    if not any(mode is not None for mode in modes.values()):
        return say.skipped("No data-centre board here tells its persistence mode.")
    return say.passed(f"Persistence mode is on for {counted(len(modes), 'data-centre board')}.")


@check("driver.graphics_clients", level="quick", needs=("nvml",), not_on=("container", "wsl", "jetson", "vgpu-guest"))
def graphics_clients(facts: Facts, say: Verdict) -> Finding:
    """No desktop runs on data-centre boards.

    What it finds
        Graphics programs, such as a display server, on a data-centre board.

    Why it matters
        They hold memory, keep the GPU from being reset or put into MIG mode, and keep the modules from being reloaded.

    How it is decided
        NVML's list of graphics processes of boards that the matrix calls data-centre ones; any warns (our proposal).
        Other boards have screens, and it passes.

    What to do
        `sudo systemctl set-default multi-user.target`, and stop the display manager. A farm that renders may keep them.

    Sources
        NVML API reference, nvmlDeviceGetGraphicsRunningProcesses (read 2026-11).
    """
    pids = {gpu.index: facts.value(f"gpu.{gpu.index}.graphics_pids") for gpu in facts.gpus}
    busy = {index: found for index, found in pids.items() if isinstance(found, tuple) and found}
    boards = [gpu.index for gpu in facts.gpus if is_data_center(facts, gpu) and gpu.index in busy]
    if boards:
        return say.warned(
            f"Graphics programs run on data-centre boards: {len(busy[boards[0]])} on GPU {boards[0]}.",
            *(
                one
                for i in boards
                for one in facts.evidence(f"gpu.{i}.graphics_pids", f"gpu.{i}.graphics_memory_bytes")
            ),
            safe=("nvidia-smi -q -d PIDS", "systemctl get-default; systemctl status display-manager"),
            risky=("sudo systemctl isolate multi-user.target    (ends the desktop)",),
        )
    if busy:
        return say.passed(f"Graphics programs run on {counted(len(busy), 'GPU')}, none of them a data-centre board.")
    if not any(isinstance(found, tuple) for found in pids.values()):
        return say.skipped("No GPU here lists its graphics programs.")
    return say.passed("No graphics program runs on a GPU.")


@check(
    "driver.dev_char_links",
    level="instant",
    needs=("gpu", "driver"),
    not_on=NOT_THE_HOST,
    leads=("ctr.device_loss_risk", "ctr.running_lost"),
    explains=from_a_warning_too,
)
def dev_char_links(facts: Facts, say: Verdict) -> Finding:
    """Containers keep their GPUs when systemd reloads.

    What it finds
        Device nodes of the driver without their link in /dev/char, on a box that gives GPUs to containers by the NVIDIA
        runtime under systemd.

    Why it matters
        systemd looks devices up under /dev/char. Without the link, `systemctl daemon-reload`, which every package
        upgrade calls, takes the GPUs away from running containers: "Failed to initialize NVML: Unknown Error".

    How it is decided
        A node /dev/nvidia* whose major:minor has no entry in /dev/char, with nvidia-container-runtime installed,
        systemd running, and Docker not told to use cgroupfs, warns. Without that runtime it passes.

    What to do
        `nvidia-ctk system create-dev-char-symlinks --create-all`, and the udev rule that repeats it at every start; or
        give GPUs by CDI.

    Sources
        NVIDIA Container Toolkit, troubleshooting, and its issue 48 (read 2026-11).
    """
    missing = facts.texts("driver.dev_char_missing")
    if missing is None:
        return say.unknown("The links in /dev/char were not read.")
    is_used = facts.value("driver.container_runtime") and facts.flag("driver.has_systemd")
    if missing and is_used and facts.text("ctr.docker_config_cgroup_driver") != "cgroupfs":
        return say.warned(
            f"{counted(len(missing), 'device node')} of the driver without a link in /dev/char: {', '.join(missing)}.",
            *facts.evidence("driver.dev_char_missing", "driver.container_runtime"),
            safe=("ls -l /dev/char/195:*", "sudo nvidia-ctk system create-dev-char-symlinks --create-all"),
        )
    aside = "; no container is given GPUs by the NVIDIA runtime" if not is_used else ""
    return say.passed(f"{counted(len(missing), 'device node')} without a link in /dev/char{aside}.")


CHECKS = (module_options, gsp, persistence, graphics_clients, dev_char_links)
