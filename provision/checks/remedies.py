"""Commands for this machine's distribution, shared by the checks that name them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records import Gpu, Machine

Family = Literal["ubuntu", "debian", "rhel", "suse", "other"]
_FAMILIES: tuple[tuple[frozenset[str], Family], ...] = (
    (frozenset({"ubuntu", "linuxmint", "pop"}), "ubuntu"),
    (frozenset({"debian"}), "debian"),
    (frozenset({"rhel", "fedora", "centos", "rocky", "almalinux", "ol", "amzn"}), "rhel"),
    (frozenset({"suse", "sles", "opensuse", "opensuse-leap", "opensuse-tumbleweed"}), "suse"),
)


def family(machine: Machine) -> Family:
    """Whose package tools the machine has, from ID and ID_LIKE of os-release."""
    reading = machine.reading("host.os_like")
    like = reading.value if reading else None
    words = [machine.host.os or "", *(like.split() if isinstance(like, str) else ())]
    for word in words:
        for names, found in _FAMILIES:
            if word in names:
                return found
    return "other"


_INSTALL: dict[Family, tuple[str, ...]] = {
    "ubuntu": ("sudo apt-get update && sudo ubuntu-drivers install", "sudo reboot"),
    "debian": (
        'sudo apt-get install "linux-headers-$(uname -r)" nvidia-driver    (with contrib and non-free enabled)',
        "sudo reboot",
    ),
    "rhel": ("sudo dnf install nvidia-open    (from NVIDIA's repository for this release)", "sudo reboot"),
    "suse": ("sudo zypper install nvidia-open    (from NVIDIA's repository for this release)", "sudo reboot"),
    "other": ("install the NVIDIA driver with this distribution's package manager, then reboot",),
}
_LIST: dict[Family, tuple[str, ...]] = {
    "ubuntu": ("ubuntu-drivers list",),
    "debian": ("apt-cache policy nvidia-driver",),
    "rhel": ("dnf list --available 'nvidia-open*'",),
    "suse": ("zypper search nvidia-open",),
    "other": (),
}


def see_driver_steps(machine: Machine) -> tuple[str, ...]:
    """Commands that show how the driver gets here and change nothing."""
    return ("gpusetup driver plan", *_LIST[family(machine)])


def install_driver(machine: Machine) -> tuple[str, ...]:
    """Commands that install the driver."""
    return _INSTALL[family(machine)]


_INITRAMFS: dict[Family, str] = {
    "ubuntu": "sudo update-initramfs -u",
    "debian": "sudo update-initramfs -u",
    "rhel": "sudo dracut --force",
    "suse": "sudo dracut --force",
    "other": "rebuild the initramfs",
}


def drop_nouveau(machine: Machine) -> tuple[str, ...]:
    """Commands that keep nouveau from loading at the next start."""
    blacklist = (
        r"printf 'blacklist nouveau\noptions nouveau modeset=0\n' | sudo tee /etc/modprobe.d/blacklist-nouveau.conf"
    )
    return (blacklist, _INITRAMFS[family(machine)], "sudo reboot")


_RELOAD = (
    "sudo systemctl isolate multi-user.target"
    " && sudo rmmod nvidia_drm nvidia_modeset nvidia_uvm nvidia && sudo modprobe nvidia"
)
RELOAD_MODULES = (f"{_RELOAD}    (only while nothing uses a GPU)", "sudo reboot")
"""Commands that exchange a loaded driver module for the installed one."""

_OWNER: dict[Family, str] = {
    "ubuntu": "dpkg -S '*libnvidia-ml.so.*'; grep -h nvidia /var/log/apt/history.log | tail",
    "debian": "dpkg -S '*libnvidia-ml.so.*'; grep -h nvidia /var/log/apt/history.log | tail",
    "rhel": "rpm -qa '*nvidia*'; dnf history list '*nvidia*'",
    "suse": "rpm -qa '*nvidia*'",
    "other": "",
}


def who_owns_the_driver(machine: Machine) -> tuple[str, ...]:
    """Commands that show which packages the driver's parts came from, and when."""
    owner = _OWNER[family(machine)]
    return (owner,) if owner else ()


KERNEL_LOG = "sudo journalctl --dmesg --grep 'NVRM|nvidia' --no-pager | tail -n 40"
"""Command that shows what the driver wrote to the kernel log."""

_TOOLKIT: dict[Family, str] = {
    "ubuntu": "sudo apt-get install nvidia-container-toolkit    (from NVIDIA's repository)",
    "debian": "sudo apt-get install nvidia-container-toolkit    (from NVIDIA's repository)",
    "rhel": "sudo dnf install nvidia-container-toolkit    (from NVIDIA's repository)",
    "suse": "sudo zypper install nvidia-container-toolkit    (from NVIDIA's repository)",
    "other": "install nvidia-container-toolkit with this distribution's package manager",
}


def install_toolkit(machine: Machine) -> tuple[str, ...]:
    """Commands that install or update the NVIDIA container toolkit."""
    return (_TOOLKIT[family(machine)],)


_COMPILER: dict[Family, str] = {
    "ubuntu": "sudo apt-get install gcc libc6-dev",
    "debian": "sudo apt-get install gcc libc6-dev",
    "rhel": "sudo dnf install gcc glibc-devel",
    "suse": "sudo zypper install gcc glibc-devel",
    "other": "install gcc and the headers of the C library",
}


def compiler(machine: Machine) -> str:
    """Command that installs a C compiler."""
    return _COMPILER[family(machine)]


def python_headers(machine: Machine, version: str) -> str:
    """Command that installs the headers of the distribution's Python of that version (3.12.3)."""
    minor = ".".join(version.split(".")[:2])
    found: dict[Family, str] = {
        "ubuntu": f"sudo apt-get install python{minor}-dev",
        "debian": f"sudo apt-get install python{minor}-dev",
        "rhel": f"sudo dnf install python{minor}-devel",
        "suse": f"sudo zypper install python{minor.replace('.', '')}-devel",
        "other": f"install the headers of Python {minor}",
    }
    return found[family(machine)]


_FLAVOURS: dict[Family, tuple[str, str]] = {
    "ubuntu": (
        "sudo apt-get install nvidia-driver-<branch>-server-open",
        "sudo apt-get install nvidia-driver-<branch>-server    (branch 580 or older)",
    ),
    "debian": ("sudo apt-get install nvidia-open-kernel-dkms", "sudo apt-get install nvidia-kernel-dkms"),
    "rhel": (
        "sudo dnf module reset nvidia-driver && sudo dnf module install nvidia-driver:<branch>-open",
        "sudo dnf module reset nvidia-driver && sudo dnf module install nvidia-driver:580-dkms",
    ),
    "suse": (
        "sudo zypper install nvidia-open-driver-G06-signed-cuda-kmp-default",
        "sudo zypper install nvidia-driver-G06-kmp-default",
    ),
    "other": ("install the open kernel modules of the same release", "install the proprietary kernel modules"),
}


def install_flavour(machine: Machine, is_open: bool) -> tuple[str, ...]:  # noqa: FBT001  the one thing it is about
    """Commands that exchange the flavour of the kernel module."""
    if machine.host.os == "fedora":
        # Its dnf has no module streams; NVIDIA's repository has a package for each flavour.
        wanted = "nvidia-open" if is_open else "cuda-drivers"
        aside = "from NVIDIA's repository" if is_open else "from NVIDIA's repository, branch 580 or older"
        return (f"sudo dnf install --allowerasing {wanted}    ({aside})", "sudo reboot")
    return (_FLAVOURS[family(machine)][0 if is_open else 1], "sudo reboot")


_HEADERS: dict[Family, str] = {
    "ubuntu": "sudo apt-get install linux-headers-{0}",
    "debian": "sudo apt-get install linux-headers-{0}",
    "rhel": "sudo dnf install kernel-devel-{0}",
    "suse": "sudo zypper install kernel-default-devel    (of {0})",
    "other": "install the headers of kernel {0}",
}


_FIRST_PROXMOX = [6, 5]
"""Before it the kernel packages of Proxmox were named pve-."""


def install_headers(machine: Machine, kernel: str) -> str:
    """Command that installs the headers of a kernel."""
    # Proxmox and Oracle's own kernel have packages of other names than the distribution that they are made of.
    if kernel.endswith("-pve"):
        numbers = [int(one) for one in kernel.split("-", 1)[0].split(".")[:2] if one.isdigit()]
        return f"sudo apt-get install {'proxmox' if numbers >= _FIRST_PROXMOX else 'pve'}-headers-{kernel}"
    if "uek" in kernel and family(machine) == "rhel":
        return f"sudo dnf install kernel-uek-devel-{kernel}"
    return _HEADERS[family(machine)].format(kernel)


def build_module(machine: Machine, kernel: str, *, with_dkms: bool = True) -> tuple[str, ...]:
    """Commands that give a kernel the driver's module."""
    prebuilt = {
        "ubuntu": (f"or the prebuilt one: sudo apt-get install linux-modules-nvidia-<branch>-server-open-{kernel}",),
        "suse": ("or the signed one: sudo zypper install nvidia-open-driver-G06-signed-cuda-kmp-default",),
    }
    found = prebuilt.get(family(machine), ())
    if not with_dkms and found:
        return tuple(command.partition(": ")[2] for command in found)
    return (f"{install_headers(machine, kernel)} && sudo dkms autoinstall -k {kernel}", *found)


_HOLD: dict[Family, str] = {
    "ubuntu": r"sudo apt-mark hold $(dpkg-query -W -f='${Package}\n' '*nvidia*')",
    "debian": r"sudo apt-mark hold $(dpkg-query -W -f='${Package}\n' '*nvidia*')",
    "rhel": "sudo dnf versionlock add 'nvidia-*' 'kmod-nvidia*' 'libnvidia-*'",
    "suse": "sudo zypper addlock 'nvidia-*'",
    "other": "",
}


def hold_driver(machine: Machine) -> tuple[str, ...]:
    """Command that keeps the driver's packages as they are until somebody lets them go."""
    command = _HOLD[family(machine)]
    return (command,) if command else ()


def rebuild_initramfs(machine: Machine) -> tuple[str, ...]:
    """Commands that put present files of the driver, and of modprobe.d, into the initramfs, and start with them."""
    return (_INITRAMFS[family(machine)], "sudo reboot")


def own_key(machine: Machine, *, with_akmods: bool = False) -> str:
    """File of the key with which DKMS, or akmods, signs modules on this machine."""
    if with_akmods:
        return "/etc/pki/akmods/certs/public_key.der"
    return "/var/lib/shim-signed/mok/MOK.der" if family(machine) == "ubuntu" else "/var/lib/dkms/mok.pub"


def reset_gpus(machine: Machine, gpus: Sequence[Gpu]) -> tuple[str, ...]:
    """Commands that reset these GPUs; whatever runs on them is lost."""
    places = ",".join(gpu.pci_bus_id or str(gpu.index) for gpu in gpus)
    which = f" -i {places}" if len(gpus) == 1 or len(gpus) < len(machine.gpus) else ""
    reset = f"sudo nvidia-smi --gpu-reset{which}    (only while nothing uses them; joined by NVLink, all at once)"
    if machine.host.is_wsl:
        return ("restart Windows",)
    if machine.host.container:
        return (f"on the host of this container: {reset}",)
    return (reset, "sudo reboot")


def look_at(machine: Machine, gpus: Sequence[Gpu], subject: str) -> str:
    """Command that shows one subject of nvidia-smi (ECC, POWER, ...) for these GPUs."""
    one = f" -i {gpus[0].pci_bus_id or gpus[0].index}" if len(gpus) == 1 and not machine.host.is_wsl else ""
    return f"nvidia-smi -q -d {subject}{one}"


HAVE_IT_EXCHANGED = "sudo nvidia-bug-report.sh    (the vendor asks for its file before a board is exchanged)"
"""Command that collects what an exchange of a board needs."""


_KEEPERS: dict[Family, str] = {
    "ubuntu": "systemd-timesyncd",
    "debian": "systemd-timesyncd",
    "rhel": "chronyd",
    "suse": "chronyd",
    "other": "chronyd",
}


def keep_the_clock(machine: Machine) -> tuple[str, ...]:
    """Commands that show how well the clock is kept, and start what keeps it."""
    return ("timedatectl; chronyc tracking", f"sudo systemctl enable --now {_KEEPERS[family(machine)]}")
