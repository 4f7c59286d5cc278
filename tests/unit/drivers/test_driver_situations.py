"""What is on the box already: another driver, holds, kernels, Secure Boot, nouveau, somebody else's driver."""

import re

import pytest
from driver_boxes import ids, machine, packages_of, plan, release, step

from provision.drivers.managers import unwanted_removals
from provision.drivers.steps import Packages, Run
from provision.errors import ExitCode, NoBuildError, NoUsableGpuError, UsageError
from provision.records import Gpu

GENERIC = "6.8.0-79-generic"


def of(*gpus, readings=(), **more):
    more.setdefault("kernel", GENERIC)
    return machine(*(gpus or ("Tesla T4",)), readings=readings, **more)


def installed(*rows):
    """Readings of dpkg-query."""
    return {"driver.packages": len(rows), "driver.package": [(name, version, "installed") for name, version in rows]}


ARCHIVE_535 = installed(
    ("nvidia-driver-535-server", "535.183.06-0ubuntu0.24.04.1"),
    ("libnvidia-compute-535-server", "535.183.06-0ubuntu0.24.04.1"),
    ("nvidia-fabricmanager-535", "535.183.06-0ubuntu0.24.04.1"),
    ("nvidia-container-toolkit", "1.17.8-1"),
)


ARCHIVE_580 = installed(
    ("nvidia-headless-no-dkms-580-server-open", "580.95.05-0ubuntu0.24.04.1"),
    ("libnvidia-compute-580-server", "580.95.05-0ubuntu0.24.04.1"),
    ("nvidia-container-toolkit", "1.17.8-1"),
)


# --- what is there ------------------------------------------------------------------------------


def test_a_right_driver_leaves_nothing_to_do():
    made = plan(of(driver=release("580.95.05")))
    assert (made.branch, made.steps, made.found) == (580, (), "580.95.05")


def test_a_branch_that_ended_is_exchanged_and_an_alive_one_kept_unless_more_was_asked_for():
    assert plan(of(driver=release("535.183.06", "proprietary"))).branch == 595
    assert plan(of(driver=release("580.95.05")), cuda="13").branch == 580
    assert plan(of(driver=release("580.95.05")), cuda="13.2").branch == 595


def test_the_module_of_the_wrong_flavour_is_exchanged():
    made = plan(of("NVIDIA B200", driver=release("580.95.05", "proprietary")))
    assert "driver" in ids(made)


def test_a_right_driver_without_its_fabric_manager_gets_that_alone():
    box = of(*["NVIDIA H100 80GB HBM3"] * 8, driver=release("580.95.05"))
    assert ids(plan(box)) == ["refresh", "fabric-manager"]
    needs = step(plan(box), "fabric-manager").needs
    assert any(re.search(proof.matches or "", "  Candidate: 580.95.05-1") for proof in needs[-1:])
    assert not any(re.search(proof.matches or "", "  Candidate: 580.126.18-1") for proof in needs[-1:])
    there = of(
        *["NVIDIA H100 80GB HBM3"] * 8, driver=release("580.95.05"), readings={"fabric.unit_files": ("manager",)}
    )
    assert ids(plan(there)) == []


def test_a_right_driver_that_upgrades_itself_is_held():
    box = of(driver=release("580.95.05"), readings={"driver.automatic_upgrades": True})
    assert ids(plan(box)) == ["no-unattended-upgrades", "hold-driver"]
    there = {**ARCHIVE_580, "driver.automatic_upgrades": True}
    assert packages_of(plan(of(readings=there)), "hold-driver") == tuple(
        name for name, *_ in ARCHIVE_580["driver.package"] if name != "nvidia-container-toolkit"
    )
    held = {"driver.automatic_upgrades": True, "driver.held": ("nvidia-utils-580-server",)}
    assert ids(plan(of(driver=release("580.95.05"), readings=held))) == []


def test_the_old_packages_go_as_late_as_possible_and_after_the_new_ones_were_fetched():
    box = of(readings={**ARCHIVE_535, "driver.held": ("nvidia-driver-535-server",)})
    made = plan(box, branch=580)
    assert ids(made)[:6] == [
        "refresh",
        "release-holds",
        "fetch-driver",
        "remove-old-driver",
        "driver",
        "no-unattended-upgrades",
    ]
    old = packages_of(made, "remove-old-driver")
    assert set(old) == {"nvidia-driver-535-server", "libnvidia-compute-535-server", "nvidia-fabricmanager-535"}
    (back,) = step(made, "remove-old-driver").undo
    assert (back.verb, back.names) == ("install", old)
    assert unwanted_removals(step(made, "driver"), back, ("libnvidia-compute-580-server", "bash")) == ("bash",)
    (fetch,) = step(made, "fetch-driver").actions
    assert (fetch.verb, fetch.names, set(fetch.without)) == ("fetch", packages_of(made), set(old))


def test_what_serves_every_branch_is_not_asked_to_leave_when_the_new_driver_is_fetched():
    rows = installed(
        ("nvidia-headless-no-dkms-580-server-open", "580.95.05-0ubuntu0.24.04.1"),
        ("libnvidia-compute-580-server", "580.95.05-0ubuntu0.24.04.1"),
        ("nvidia-firmware-580-server-580.95.05", "580.95.05-0ubuntu0.24.04.1"),
        ("linux-signatures-nvidia-6.8.0-79-generic", "6.8.0-79.79"),
        ("nvidia-settings", "510.47.03-0ubuntu4"),
    )
    made = plan(of(readings=rows), branch=595)
    (fetch,) = step(made, "fetch-driver").actions
    assert set(fetch.without) == {
        "nvidia-headless-no-dkms-580-server-open",
        "libnvidia-compute-580-server",
        "nvidia-firmware-580-server-580.95.05",
    }
    (back,) = step(made, "remove-old-driver").undo
    assert "nvidia-firmware-580-server-580.95.05" not in back.names, "the archive has the newest release alone"


@pytest.mark.parametrize(("flavour", "ending"), [("proprietary", ""), ("open", "-open")])
def test_packages_tell_the_kernel_module_of_a_driver_that_is_not_loaded(flavour, ending):
    module = f"linux-modules-nvidia-580-server{ending}-generic"
    rows = installed((module, "6.8.0-79.79"), ("libnvidia-compute-580-server", "580.95.05-0ubuntu0.24.04.1"))
    for wanted in ("open", "proprietary"):
        made = plan(of(readings=rows), branch=580, kernel_module=wanted)
        assert ("remove-old-driver" in ids(made)) == (wanted != flavour)
        if wanted != flavour:
            assert packages_of(made, "remove-old-driver") == (module,)


def test_both_modules_are_no_answer():
    rows = installed(
        ("linux-modules-nvidia-580-server-generic", "6.8.0-79.79"),
        ("linux-modules-nvidia-580-server-open-generic", "6.8.0-79.79"),
        ("libnvidia-compute-580-server", "580.95.05-0ubuntu0.24.04.1"),
    )
    assert plan(of(readings=rows), branch=580).steps == ()


def test_one_pin_takes_the_place_of_another_and_gives_it_back():
    rows = installed(
        ("nvidia-open", "595.71.05-1ubuntu1"),
        ("libnvidia-compute", "595.71.05-1ubuntu1"),
        ("nvidia-driver-pinning-595", "595-1ubuntu1"),
    )
    made = plan(of(readings=rows), branch=610, origin="nvidia")
    new, old = "nvidia-driver-pinning-610", "nvidia-driver-pinning-595"
    assert step(made, "pin-branch").actions == (Packages("apt", "install", (new,), without=(old,)),)
    purge = Run(("apt-get", "purge", "--yes", new))
    assert step(made, "pin-branch").undo == (purge, Packages("apt", "install", (old,)))
    assert old not in packages_of(made, "remove-old-driver")
    undo = step(made, "remove-old-driver").undo
    assert undo[0].names == undo[-1].names == ("nvidia-open", "libnvidia-compute")
    assert undo[1:3] == (purge, Packages("apt", "install", (old,))), "else the old names would bring the new branch"


def test_the_kernel_that_was_held_before_stays_so_after_the_undo():
    held = ("linux-image-generic", "nvidia-driver-535-server")
    made = plan(of(readings={**ARCHIVE_535, "driver.held": held}), branch=580)
    assert packages_of(made, "release-holds") == held[1:]
    (unhold,) = step(made, "hold-driver").undo
    assert "linux-image-generic" in packages_of(made, "hold-driver")
    assert "linux-image-generic" not in unhold.names


def test_names_that_old_and_new_share_are_not_taken_for_old_ones_a_second_time():
    box = of(
        os="debian",
        version="12",
        kernel="6.1.0-40-amd64",
        readings=installed(("nvidia-open", "575.57.08-1"), ("libcuda1", "575.57.08-1")),
    )
    proof = step(plan(box, branch=580), "remove-old-driver").done_when[0]
    before = "installed bash 5.2\ninstalled nvidia-open 575.57.08-1\n"
    after = "installed bash 5.2\ninstalled nvidia-open 580.95.05-1\n"
    assert not re.search(proof.matches, before)
    assert re.search(proof.matches, after)


def test_nvidias_own_installer_goes_first_and_is_told():
    made = plan(of(readings={**ARCHIVE_535, "driver.runfile": "/usr/bin/nvidia-uninstall"}))
    assert step(made, "remove-runfile-driver").actions == (Run(("nvidia-uninstall", "--silent")),)
    assert ids(made).index("fetch-driver") < ids(made).index("remove-runfile-driver") < ids(made).index("driver")
    assert [finding.id for finding in made.findings] == ["mixed-driver-sources"]


def test_packages_of_both_sources_are_a_finding_and_one_source_goes():
    mixed = installed(
        ("nvidia-utils-580", "580.95.05-0ubuntu0.24.04.1"), ("libnvidia-compute-580", "580.95.05-0ubuntu1")
    )
    made = plan(of(readings=mixed, driver=release("580.95.05")), branch=580)
    assert made.findings[0].happened.startswith("Driver packages come from two sources: nvidia-utils-580")


# --- kernels ------------------------------------------------------------------------------------


def test_modules_are_built_for_the_running_kernel_and_for_the_next():
    box = of(
        os="debian",
        version="12",
        kernel="6.1.0-40-amd64",
        readings={"kernel.next": "6.1.0-41-amd64", "kernel.next_is_sure": False},
    )
    made = plan(box)
    assert packages_of(made, "kernel-headers") == ("linux-headers-6.1.0-40-amd64", "linux-headers-6.1.0-41-amd64")
    assert step(made, "reboot").needs[0].argv == ("modinfo", "-k", "6.1.0-41-amd64", "-F", "version", "nvidia")


@pytest.mark.parametrize(
    ("kernel", "version", "flavour"),
    [
        ("6.8.0-79-generic", "24.04", "generic"),
        ("6.17.0-40-generic", "24.04", "generic-hwe-24.04"),
        ("5.15.0-151-generic", "22.04", "generic"),
        ("6.8.0-79-generic", "22.04", "generic-hwe-22.04"),
        ("7.0.0-30-generic", "26.04", "generic"),
        ("6.8.0-1021-aws", "24.04", "aws"),
        ("6.8.0-1014-nvidia-64k", "24.04", "nvidia-64k"),
    ],
)
def test_the_signed_modules_follow_the_kernel_package_of_the_box(kernel, version, flavour):
    made = plan(of("NVIDIA A10", kernel=kernel, version=version))
    assert packages_of(made)[0] == f"linux-modules-nvidia-595-server-open-{flavour}"
    assert f"linux-image-{flavour}" in packages_of(made, "hold-driver")
    assert not made.is_dkms


def test_a_kernel_that_the_boot_loader_is_told_to_start_gets_a_module_of_its_own():
    box = of(
        readings={
            "kernel.next": "6.8.0-71-generic",
            "kernel.next_is_sure": True,
            "kernel.installed": ("6.8.0-71-generic", GENERIC),
        }
    )
    made = plan(box)
    assert made.is_dkms
    assert "linux-headers-6.8.0-71-generic" in packages_of(made, "kernel-headers")
    assert packages_of(made)[0] == "nvidia-dkms-595-server-open"


def test_the_next_kernel_without_a_module_gets_one_though_the_driver_is_right():
    readings = {"kernel.next": "6.8.0-90-generic", "kernel.driver_module": [("6.8.0-90-generic", None)]}
    made = plan(of(driver=release("580.95.05"), readings=readings))
    assert packages_of(made, "next-kernel-module") == ("linux-modules-nvidia-580-server-open-6.8.0-90-generic",)
    debian = of(
        os="debian",
        version="12",
        driver=release("580.95.05"),
        kernel="6.1.0-40-amd64",
        readings={"kernel.next": "6.1.0-41-amd64", "kernel.driver_module": [("6.1.0-41-amd64", None)]},
    )
    assert step(plan(debian), "next-kernel-module").actions == (Run(("dkms", "autoinstall", "-k", "6.1.0-41-amd64")),)


def test_a_branch_that_does_not_build_on_the_kernel_is_not_chosen_and_told_when_it_was_named():
    box = of(kernel="7.0.0-30-generic", version="26.04")
    made = plan(box, branch=590)
    assert any("590.48.01" in note for note in made.notes)
    assert plan(box).branch == 595
    assert any("595.91.07 or newer" in note for note in plan(box).notes)


def test_proxmox_has_headers_of_its_own():
    made = plan(of(os="debian", version="12", kernel="6.8.12-15-pve"))
    assert packages_of(made, "kernel-headers") == ("proxmox-headers-6.8.12-15-pve",)
    assert any("Proxmox host" in note for note in made.notes)


# --- Secure Boot, nouveau -----------------------------------------------------------------------


def test_a_signed_module_needs_no_key_and_a_built_one_does():
    on = {"kernel.secure_boot": True}
    assert "enrol-key" not in ids(plan(of(readings=on)))
    built = plan(of(os="debian", version="12", kernel="6.1.0-40-amd64", readings=on))
    assert step(built, "enrol-key").actions[0].argv == ("mokutil", "--import", "/var/lib/dkms/mok.pub")
    assert step(built, "enrol-key").actions[0].asks
    assert ids(built).index("driver") < ids(built).index("enrol-key") < ids(built).index("reboot")
    assert any("console is needed then" in note for note in built.notes)
    cloud = plan(of(os="debian", version="12", kernel="6.1.0-40-cloud-amd64", readings=on, virtualization="kvm"))
    assert any("many clouds do not give" in note for note in cloud.notes)


def test_an_unknown_secure_boot_is_said_to_be_unknown():
    made = plan(of(os="debian", version="12", kernel="6.1.0-40-amd64"))
    assert "enrol-key" not in ids(made)
    assert any(note.startswith("Whether Secure Boot is on is not known") for note in made.notes)


def test_nouveau_is_kept_away_where_it_holds_a_gpu_and_only_there():
    bound = Gpu(0, name="Tesla T4", kernel_driver="nouveau")
    made = plan(machine(bound, kernel=GENERIC))
    assert step(made, "without-nouveau").actions[1] == Run(("update-initramfs", "-u", "-k", "all"))
    assert step(made, "without-nouveau").undo[-1] == Run(("update-initramfs", "-u", "-k", "all"))
    assert "without-nouveau" not in ids(plan(of()))
    rpm = plan(machine(bound, os="rocky", version="9.5", kernel="5.14.0-570.el9.x86_64"))
    assert step(rpm, "without-nouveau").actions[1].argv[0] == "dracut"


def test_ubuntu_drivers_is_used_where_it_is_there():
    made = plan(of(readings={"driver.has_ubuntu_drivers": True}), branch=580)
    assert step(made, "driver").actions[0] == Run(("ubuntu-drivers", "install", "--gpgpu", "nvidia:580-server-open"))
    assert step(made, "driver").actions[1].verb == "install"
    assert not any("ubuntu-drivers" in note for note in made.notes)
    without = plan(of(), branch=580)
    assert any("ubuntu-drivers install --gpgpu nvidia:580-server-open" in note for note in without.notes)


# --- wishes -------------------------------------------------------------------------------------


def test_cuda_and_torch_narrow_the_choice():
    assert plan(of(), cuda="13.2").branch == 595
    assert plan(of("Tesla V100-SXM2-16GB"), torch="2.9").branch == 580
    with pytest.raises(NoBuildError, match="No driver branch fits"):
        plan(of("Tesla V100-SXM2-16GB"), cuda="13.2")
    with pytest.raises(NoBuildError, match="has code for these GPUs"):
        plan(of("Tesla K80"), torch="2.9")


@pytest.mark.parametrize(
    ("wish", "part"),
    [
        ({"cuda": "twelve"}, "--cuda: found 'twelve'"),
        ({"torch": "two"}, "--torch: found 'two'"),
        ({"torch": "99"}, "no torch 99"),
        ({"branch": 577}, "no driver branch 577"),
        ({"cuda_toolkit": "x"}, "--with cuda-toolkit: found 'x'"),
        ({"cuda_toolkit": "12.7"}, "no CUDA toolkit 12.7"),
    ],
)
def test_words_that_can_not_be_read_are_named(wish, part):
    with pytest.raises(UsageError, match=re.escape(part)):
        plan(of(), **wish)


def test_a_branch_that_does_not_serve_the_gpu_is_refused():
    with pytest.raises(NoBuildError, match="590 does not serve Pascal"):
        plan(of("Tesla P40"), branch=590)


def test_a_toolkit_that_the_driver_can_not_start_is_refused():
    with pytest.raises(NoBuildError, match=re.escape("CUDA 13.0 do not start on driver branch 570")):
        plan(of(), branch=570, cuda_toolkit="13.0")


# --- somebody else's driver ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "part"),
    [
        (of(is_wsl=True), "that of Windows"),
        (of(container="docker"), "belongs on its host"),
        (of(l4t="36.4.3", arch="aarch64"), "comes with JetPack"),
        (of("GRID A100-40C"), "vGPU guest driver"),
        (of(readings={"gpu.0.virtualization_mode": "vgpu"}), "vGPU guest driver"),
    ],
)
def test_a_driver_that_is_not_this_systems_is_refused_with_whose_it_is(box, part):
    with pytest.raises(NoBuildError, match=part) as caught:
        plan(box)
    assert caught.value.code == "driver-of-another"
    assert caught.value.do


def test_gpus_for_virtual_machines_are_left_to_them():
    both = machine(Gpu(0, name="Tesla T4", kernel_driver="vfio-pci"), Gpu(1, name="Tesla T4"), kernel=GENERIC)
    assert any("kept for virtual machines" in note for note in plan(both).notes)
    with pytest.raises(NoUsableGpuError) as caught:
        plan(machine(Gpu(0, name="Tesla T4", kernel_driver="vfio-pci"), kernel=GENERIC))
    assert (caught.value.code, caught.value.exit_code) == ("driver-of-another", ExitCode.NO_GPU)


@pytest.mark.parametrize(("os", "version"), [("ubuntu", "25.10"), ("ubuntu", None), ("arch", "1"), ("sles", "12.5")])
def test_releases_that_are_not_written_are_named(os, version):
    with pytest.raises(NoBuildError) as caught:
        plan(machine("Tesla T4", os=os, version=version))
    assert caught.value.code == "distribution-not-covered"


def test_a_derivative_is_served_by_what_it_is_like():
    box = machine("Tesla T4", os="pop", version="24.04", readings={"host.os_like": "ubuntu debian"}, kernel=GENERIC)
    assert plan(box).distribution == "ubuntu 24.04"
