"""Boundaries of the checks of driver and kernel, and boxes of other kinds that have to be left in peace."""

from __future__ import annotations

import shutil
from datetime import datetime, timezone

import pytest

from provision.checks import PROBLEMS, checks_for
from provision.detect.container_files import keep_daemon_json
from tests.boxes.cases.boot import new_kernel, next_kernel
from tests.boxes.cases.driver import bare, unloaded
from tests.boxes.healthy import gh200, h100x8, l40s, rtx3090_p40, rtx5090, t4, v100
from tests.boxes.layers.boot import MODULE, boot, dkms, modinfo
from tests.boxes.layers.driver import packages

if shutil.which("gcc") is None:
    pytest.skip("the fake NVML needs gcc", allow_module_level=True)


def at(day: str) -> float:
    return datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=timezone.utc).timestamp()


def problems(box):
    told = {one.id: one.happened for one in box.results().values() if one.status in PROBLEMS}
    return {name: words for name, words in told.items() if name.startswith(("driver.", "kernel."))}


def status(box, check):
    return box.results()[check].status


# --- figures at their bars


@pytest.mark.parametrize(
    ("day", "expected", "says"),
    [
        ("2026-02-01", "pass", "supported until 2026-06-01"),
        ("2026-03-05", "pass", "87 days more"),
        ("2026-05-31", "pass", "0 days more"),
        ("2026-06-02", "warn", "ended on 2026-06-01"),
    ],
)
def test_life_of_a_branch(day, expected, says):
    found = t4("535.183.01").given(now=at(day)).results()["driver.branch_life"]
    assert (found.status, says in found.happened) == (expected, True), found.happened


def test_a_doubtful_end_of_life_does_not_warn():
    found = h100x8().results()["driver.branch_life"]
    assert found.status == "pass"
    assert "release notes of 2025 say February 2026" in found.happened


def test_nobody_knows_the_day():
    assert status(t4().given(now=None), "driver.branch_life") == "skip"


@pytest.mark.parametrize(
    ("configured", "effective", "expected"),
    [
        ("0660", "432", "pass"),
        ("0x2", "2", "pass"),
        ("-1", "4294967295", "pass"),
        ("1", "0", "warn"),
        ('"a=1;b"', "x", "pass"),
    ],
)
def test_options_are_compared_as_numbers(configured, effective, expected):
    box = t4().file("/etc/modprobe.d/n.conf", f"options nvidia NVreg_Some={configured}\n")
    box.file("/proc/driver/nvidia/params", f"Some: {effective}\n")
    assert status(box, "driver.module_options") == expected


def test_an_option_that_two_files_set_is_not_judged():
    box = t4().file("/etc/modprobe.d/a.conf", "options nvidia NVreg_EnableMSI=0\n")
    box.file("/etc/modprobe.d/b.conf", "options nvidia NVreg_EnableMSI=1\n")
    assert status(box, "driver.module_options") == "pass"


def test_options_that_can_not_be_read():
    assert status(t4().without("/proc/driver/nvidia/params"), "driver.module_options") == "unknown"


@pytest.mark.parametrize(("bit", "expected"), [(4, "fail"), (12, "pass"), (7, "pass")])
def test_marks_of_the_kernel(bit, expected):
    assert status(t4().file("/proc/sys/kernel/tainted", f"{1 << bit}\n"), "kernel.taint") == expected


def test_marks_that_can_not_be_read():
    assert status(t4().without("/proc/sys/kernel/tainted"), "kernel.taint") == "unknown"


# --- Secure Boot


def refused(**module):
    box = unloaded(rtx5090()).answer("SecureBoot of EFI", 1)
    return modinfo(box, "580.82.07", **module)


def test_an_enrolled_key_and_a_signature_of_the_distribution_pass():
    assert status(refused(), "kernel.secure_boot") == "pass"
    assert status(refused(signer="Canonical Ltd. Kernel Module Signing"), "kernel.secure_boot") == "pass"


def test_keys_that_can_not_be_listed_are_unknown():
    box = refused().command("mokutil --list-enrolled", returncode=1)
    assert status(box, "kernel.secure_boot") == "unknown"
    assert status(refused().answer("SecureBoot of EFI", None), "kernel.secure_boot") == "unknown"


# --- boxes that are well


def test_a_debian_box():
    box = rtx3090_p40()
    rows = ("libcuda1", "libnvidia-ml1", "nvidia-kernel-dkms", "nvidia-driver", "nvidia-smi")
    packages(box, "dpkg-query", *(f"ii \t{name}\t570.86.15-1~deb12u1" for name in rows))
    box.answer(MODULE, {box.kernel: "updates/dkms/nvidia-current.ko.xz"})
    dkms(box, f"nvidia-current/570.86.15, {box.kernel}, x86_64: installed\n")
    assert problems(box) == {}


def test_a_fedora_box_that_builds_at_the_start():
    box = boot(v100(), "5.14.0-503.el9.x86_64").file("/etc/default/grub", "GRUB_DEFAULT=saved\n")
    box.answer(MODULE, {box.kernel: "extra/nvidia/nvidia.ko.xz", "5.14.0-503.el9.x86_64": ""})
    rows = ("akmod-nvidia", f"kmod-nvidia-{box.kernel}", "xorg-x11-drv-nvidia-cuda-libs")
    packages(box, "rpm", *(f"ii\t{name}\t3:580.82.07-1.fc42" for name in rows))
    box.program("dkms", None)
    found = box.results()["kernel.next_boot_module"]
    assert found.status == "warn"
    assert set(problems(box)) == {"kernel.next_boot_module"}


def test_old_modules_of_old_kernels_are_no_mix():
    box = v100()
    rows = (
        "akmod-nvidia\t3:580.82.07-1",
        "kmod-nvidia-5.14.0-300.el9\t3:570.86.15-1",
        "nvidia-driver-libs\t3:580.82.07-1",
    )
    packages(box, "rpm", *(f"ii\t{row}" for row in rows))
    assert status(box, "driver.package_mix") == "pass"


def test_a_driver_that_lives_in_a_container():
    """Kubernetes' GPU operator loads the module from a container: nothing of it is on the host's disk."""
    box = packages(h100x8(), "dpkg-query").answer(MODULE, {"6.8.0-79-generic": ""}).program("dkms", None)
    box.command("modinfo nvidia", returncode=1).command("modinfo nvidia-current", returncode=1)
    assert problems(box) == {}
    assert status(box, "kernel.next_boot_module") == "skip"


def test_a_box_without_efi_dkms_and_packages():
    box = l40s().without("/sys/firmware/efi", "/etc/apt").program("dpkg-query", None).program("modinfo", None)
    assert problems(box) == {}
    assert status(box, "driver.package_mix") == "unknown"


def test_peermem_without_an_adapter_is_not_missed():
    box = gh200().file("/etc/modules-load.d/nvidia.conf", "nvidia-peermem\n")
    assert status(box, "kernel.peer_modules") == "pass"


def test_held_packages():
    box = rtx5090().command("apt-mark showhold", "nvidia-driver-580\n")
    event = ["2026-11-02 06:12:33", True, "libnvidia-compute-580", "580.65.06", "580.82.07"]
    assert status(box.answer("driver upgrades in the history of apt", [event]), "driver.packages_held") == "pass"


def test_missing_links_do_not_matter_without_the_runtime_or_with_cgroupfs():
    box = l40s().without("/dev/char")
    assert status(box, "driver.dev_char_links") == "pass"
    box.file("/usr/bin/nvidia-container-runtime", "")
    daemon = keep_daemon_json('{"exec-opts": ["native.cgroupdriver=cgroupfs"]}')
    box.answer("kept of /etc/docker/daemon.json", {"state": "read", **daemon})
    assert status(box, "driver.dev_char_links") == "pass"


def test_a_kernel_newer_than_the_table_with_a_module_passes():
    box = rtx5090()
    box.kernel = "7.0.0-14-generic"
    box.file("/proc/sys/kernel/osrelease", f"{box.kernel}\n")
    assert status(boot(box, box.kernel), "kernel.driver_range") == "pass"


def test_the_other_kernel_is_only_probably_next():
    assert status(next_kernel("saved", "kernel/nvidia-535srv/nvidia.ko"), "kernel.reboot_required") == "pass"


# --- causes before symptoms


def test_what_the_missing_headers_explain():
    cause, folded = new_kernel(has_headers=False).diagnosis()
    assert cause == "kernel.headers"
    assert {"kernel.dkms", "kernel.next_boot_module", "driver.module_loaded", "driver.nvml_init"} <= set(folded)


def test_no_driver_at_all_is_no_fault_of_the_kernel():
    assert {name.split(".")[0] for name in problems(bare(rtx5090()))} == {"driver"}


def test_nothing_is_judged_of_a_machine_that_nobody_looked_at():
    for check in checks_for("quick"):
        if check.component in {"driver", "kernel"}:
            finding = check.evaluate(_pasted())
            assert finding.status not in {"warn", "fail", "crashed"}, finding


def _pasted():
    from provision.records import Gpu, GpuState, Machine

    return Machine(gpus=(Gpu(0, name="Tesla T4", in_nvml=True),), gpu_state=GpuState.USABLE)
