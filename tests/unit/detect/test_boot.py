"""What the probes of kernel and modules read: real lines of each file and program."""

from __future__ import annotations

import pytest

from provision.detect.probes import boot, kernel_modules
from provision.detect.surroundings import Kernel, Surroundings
from provision.process import Completed
from provision.records import GpuState, Machine

KERNEL = "6.8.0-79-generic"
WITH_GPU = Machine(gpu_state=GpuState.USABLE)


def around(tree, runner=None):
    return Surroundings(
        root=tree.root,
        environ={},
        kernel=Kernel("Linux", KERNEL, "x86_64", "box"),
        **({"runner": runner} if runner else {}),
    )


def told(readings, name):
    found = [reading for reading in readings if reading.name == name]
    assert found, name
    return [one.value for one in found] if len(found) > 1 else found[0].value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BOOT_IMAGE=/boot/vmlinuz root=UUID=1 ro quiet splash\n", ()),
        ("ro nomodeset pci=realloc,noaer nouveau.modeset=1", ("nomodeset", "pci=realloc,noaer", "nouveau.modeset=1")),
        ("modprobe.blacklist=nouveau", ()),
        (
            "rd.driver.blacklist=nvidia module_blacklist=nvidia_drm",
            ("rd.driver.blacklist=nvidia", "module_blacklist=nvidia_drm"),
        ),
        ("nvidia-drm.modeset=1 pci=nocrs", ()),
    ],
)
def test_words_of_the_command_line(text, expected):
    assert boot.parse_flags(text) == expected


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("updates/dkms/nvidia.ko.zst: kernel/drivers/acpi/video.ko.zst", "updates/dkms/nvidia.ko.zst"),
        ("kernel/nvidia-535srv/nvidia.ko:", "kernel/nvidia-535srv/nvidia.ko"),
        ("weak-updates/nvidia/nvidia.ko.xz: kernel/x.ko.xz", "weak-updates/nvidia/nvidia.ko.xz"),
        ("updates/dkms/nvidia-current.ko.xz:", "updates/dkms/nvidia-current.ko.xz"),
        ("updates/dkms/nvidia-current-open.ko.xz:", "updates/dkms/nvidia-current-open.ko.xz"),
        ("updates/dkms/nvidia-current-drm.ko: updates/dkms/nvidia-current.ko", None),
        ("updates/dkms/nvidia-uvm.ko: updates/dkms/nvidia.ko", None),
        ("kernel/drivers/video/fbdev/nvidia/nvidiafb.ko: kernel/drivers/video/vgastate.ko", None),
        ("kernel/drivers/platform/x86/nvidia-wmi-ec-backlight.ko: kernel/wmi.ko", None),
    ],
)
def test_the_driver_in_modules_dep(line, path):
    assert boot.parse_modules_dep(f"kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko\n{line}\n") == path


def test_both_forms_of_dkms_status():
    text = (
        "nvidia/535.183.01, 6.8.0-79-generic, x86_64: installed\n"
        "nvidia/535.183.01, 6.8.0-90-generic, x86_64: built\n"
        "nvidia, 470.256.02, 5.15.0-91-generic, x86_64: installed (original_module exists)\n"
        "nvidia-fs/2.17.5, 6.8.0-79-generic, x86_64: installed\n"
        "nvidia-srv/570.124.06: added\n"
        "zfs/2.2.2, 6.8.0-79-generic, x86_64: installed\n"
    )
    assert kernel_modules.parse_dkms(text) == (
        ("nvidia", "535.183.01", "6.8.0-79-generic", "installed"),
        ("nvidia", "535.183.01", "6.8.0-90-generic", "built"),
        ("nvidia", "470.256.02", "5.15.0-91-generic", "installed"),
        ("nvidia-srv", "570.124.06", None, "added"),
    )


def test_errors_of_a_make_log():
    text = (
        "DKMS make.log for nvidia-535.183.01 for kernel 6.5.0-14-generic (x86_64)\n"
        "  CONFTEST: set_memory_uc\n"
        "gcc: error: unrecognized command-line option '-ftrivial-auto-var-init=zero'\n"
        "gcc: error: unrecognized command-line option '-ftrivial-auto-var-init=zero'\n"
        "make[2]: *** [scripts/Makefile.build:251: nvidia.o] Error 1\n"
    )
    assert kernel_modules.parse_make_log(text) == (
        "gcc: error: unrecognized command-line option '-ftrivial-auto-var-init=zero'",
        "make[2]: *** [scripts/Makefile.build:251: nvidia.o] Error 1",
    )


def test_serials_of_enrolled_keys():
    text = (
        "[key 1]\nSHA1 Fingerprint: 76:a0\n        Serial Number:\n            0b:94:1a:4c\n"
        "        Issuer: C=GB\n[key 2]\n        Serial Number: 1 (0x1)\n"
    )
    assert kernel_modules.parse_mokutil(text) == ("b941a4c", "1")
    assert kernel_modules.hex_digits("0B:94:1A:4C") == "b941a4c"


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("6.8.0-79-generic", "6.8.0-1021-aws"),
        ("5.14.0-427.el9.x86_64", "5.14.0-427.5.1.el9.x86_64"),
        ("6.1.0-38-amd64", "6.12.41+deb13-amd64"),
        ("6.4.0-150600.23.7-default", "6.4.0-150600.23.33-default"),
        ("5.14.0-427.el9.x86_64+debug", "5.14.0-427.el9.x86_64"),
    ],
)
def test_order_of_kernels(older, newer):
    assert boot.kernel_order(older) < boot.kernel_order(newer)


RHEL = ["5.14.0-427.el9.x86_64", "5.14.0-503.el9.x86_64"]
UBUNTU = ["6.8.0-1021-gcp", "6.8.0-1030-aws", "6.8.0-79-generic"]


@pytest.mark.parametrize(
    ("installed", "defaults", "env", "expected"),
    [
        (RHEL, {"GRUB_DEFAULT": "saved"}, {"saved_entry": f"ffff-{RHEL[0]}"}, (RHEL[0], True)),
        (RHEL, {"GRUB_DEFAULT": "saved"}, {}, (RHEL[1], False)),
        (RHEL, {"GRUB_DEFAULT": "0"}, {"saved_entry": f"ffff-{RHEL[0]}"}, (RHEL[1], True)),
        (RHEL, {"GRUB_DEFAULT": "0"}, {"next_entry": f"ffff-{RHEL[0]}"}, (RHEL[0], True)),
        (RHEL, {}, {}, (RHEL[1], False)),
        (UBUNTU, {"GRUB_DEFAULT": "0"}, {}, (UBUNTU[1], True)),
        (UBUNTU, {"GRUB_DEFAULT": "0", "GRUB_FLAVOUR_ORDER": "gcp"}, {}, (UBUNTU[0], True)),
        (UBUNTU, {"GRUB_DEFAULT": f"Advanced options>Ubuntu, with Linux {UBUNTU[2]}"}, {}, (UBUNTU[2], True)),
    ],
)
def test_kernel_of_the_next_start(installed, defaults, env, expected):
    found = boot.next_kernel(installed, installed[0], defaults, env)
    assert (found[0], found[2]) == expected


def test_no_kernel_is_installed():
    assert boot.next_kernel([], KERNEL, {}, {}) is None


def test_settings_of_grub():
    texts = ("GRUB_DEFAULT=0\n#GRUB_DEFAULT=saved\n", 'GRUB_DEFAULT="saved"\nGRUB_FLAVOUR_ORDER=gcp\n')
    assert boot.parse_grub_defaults(texts) == {"GRUB_DEFAULT": "saved", "GRUB_FLAVOUR_ORDER": "gcp"}
    assert boot.parse_grubenv("# GRUB Environment Block\nsaved_entry=a-b=c\nnext_entry=\n####") == {
        "saved_entry": "a-b=c",
        "next_entry": "",
    }


def test_kernels_on_a_real_tree(tree):
    for name, dep in ((KERNEL, "updates/dkms/nvidia.ko:\n"), ("6.8.0-90-generic", "kernel/x.ko:\n")):
        tree.write(f"/boot/vmlinuz-{name}", "")
        tree.write(f"/lib/modules/{name}/modules.dep", dep)
    tree.write(f"/lib/modules/{KERNEL}/build/Makefile", "")
    tree.write("/lib/modules/5.4.0-1-generic/modules.builtin", "")  # left over, without an image
    tree.write("/etc/default/grub", "GRUB_DEFAULT=0\n")
    readings = list(boot._disk(around(tree), WITH_GPU))
    assert told(readings, "kernel.installed") == (KERNEL, "6.8.0-90-generic")
    assert told(readings, "kernel.next") == "6.8.0-90-generic"
    assert told(readings, "kernel.next_is_sure") is True
    assert told(readings, "kernel.driver_module") == [(KERNEL, "updates/dkms/nvidia.ko"), ("6.8.0-90-generic", None)]
    assert told(readings, "kernel.headers") == [(KERNEL, True), ("6.8.0-90-generic", False)]


def test_no_list_of_modules_is_unknown_and_not_absent(tree):
    tree.write(f"/lib/modules/{KERNEL}/vmlinuz", "")
    readings = list(boot._disk(around(tree), WITH_GPU))
    failed = next(reading for reading in readings if reading.name == "kernel.driver_module")
    assert (failed.value, failed.failure) == (None, f"/lib/modules/{KERNEL}/modules.dep can't be read")


def test_a_machine_without_a_gpu_is_not_searched(tree):
    tree.write(f"/boot/vmlinuz-{KERNEL}", "")
    assert list(boot._disk(around(tree), Machine())) == []
    assert [reading.name for reading in boot._kernel(around(tree), Machine())] == [
        "kernel.cmdline_flags",
        "kernel.tainted",
    ]


@pytest.mark.parametrize(("content", "expected"), [(b"\x06\0\0\0\x01", True), (b"\x06\0\0\0\0", False), (b"x", None)])
def test_secure_boot_of_efi(tree, content, expected):
    tree.write(boot._SECURE_BOOT, content)
    assert told(boot._kernel(around(tree), WITH_GPU), "kernel.secure_boot") is expected


def test_a_start_without_efi_has_no_secure_boot(tree):
    tree.write("/sys/firmware/acpi/x", "")
    assert told(boot._kernel(around(tree), WITH_GPU), "kernel.secure_boot") is False


def test_modules_that_the_machine_asks_for(tree):
    tree.write("/etc/modules", "# /etc/modules\nloop\n")
    tree.write("/etc/modules-load.d/gds.conf", "nvidia-fs\n;x\n")
    tree.write("/sys/module/nvidia_uvm/refcnt", "0")
    readings = list(boot._kernel(around(tree), WITH_GPU))
    assert told(readings, "kernel.modules_wanted") == ("nvidia_fs",)
    assert told(readings, "kernel.peer_modules") == ("nvidia_uvm",)


MODINFO = f"""filename:       /lib/modules/{KERNEL}/updates/dkms/nvidia.ko.zst
alias:          char-major-195-*
version:        580.82.07
supported:      external
license:        Dual MIT/GPL
srcversion:     0D1E6F1B
sig_id:         PKCS#7
signer:         box Secure Boot Module Signature key
sig_key:        3A:6F:10
"""


def test_programs(tree):
    for name in ("modinfo", "dkms"):
        tree.write(f"/usr/bin/{name}", "").chmod(0o755)
    tree.write("/var/lib/dkms/nvidia/580.82.07/build/make.log", "x.c:1: error: implicit declaration of function 'f'\n")
    tree.write(f"/lib/modules/{KERNEL}/updates/dkms/nvidia.ko.zst", "")
    outputs = {"modinfo": MODINFO, "dkms": "nvidia/580.82.07: added\n"}

    def runner(argv, **_):
        return Completed(tuple(argv), returncode=0, stdout=outputs[argv[2].rsplit("/", 1)[-1]], stderr="")

    readings = list(kernel_modules._programs(around(tree, runner), WITH_GPU))
    assert told(readings, "driver.modinfo_version") == "580.82.07"
    assert told(readings, "driver.modinfo_license") == "Dual MIT/GPL"
    assert told(readings, "driver.modinfo_sig_key") == "3A:6F:10"
    assert told(readings, "driver.module_file_changed_at") > 0
    assert told(readings, "kernel.dkms") == ("nvidia", "580.82.07", None, "added")
    assert told(readings, "kernel.dkms_log") == ("x.c:1: error: implicit declaration of function 'f'",)


def test_programs_that_are_not_installed(tree):
    readings = list(kernel_modules._programs(around(tree), WITH_GPU))
    assert {reading.name: reading.failure for reading in readings} == {
        "driver.modinfo_version": "modinfo is not installed",
        "kernel.dkms": "dkms is not installed",
    }
