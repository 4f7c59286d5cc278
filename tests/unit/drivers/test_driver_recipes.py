"""Steps by distribution and kind of GPU: branch, module, names, order, and the way back."""

import re
import subprocess

import pytest
from driver_boxes import MATRIX, ids, machine, packages_of, plan, release, step

from provision.drivers.steps import Packages, Reboot, Run
from provision.errors import NoBuildError

UBUNTU = ("ubuntu", "22.04"), ("ubuntu", "24.04"), ("ubuntu", "26.04")
DISTRIBUTIONS = (
    *UBUNTU,
    *(("debian", "12"), ("debian", "13")),
    *(("rhel", "8.10"), ("rocky", "9.5"), ("almalinux", "9.4"), ("centos", "9")),
    *(("fedora", "44"), ("sles", "15.6"), ("sles", "16.0"), ("opensuse-leap", "16.0"), ("amzn", "2023")),
)
YOUNG = (("fedora", "44"), ("debian", "13"))
"""NVIDIA's repositories for these began after the last branch of Pascal and Volta."""
KERNELS = {"ubuntu": "6.8.0-79-generic", "debian": "6.1.0-40-amd64", "fedora": "6.17.4-300.fc44.x86_64"}


def of(distribution, *gpus, **more):
    os, version = distribution
    more.setdefault("kernel", KERNELS.get(os, "5.14.0-570.12.1.el9_6.x86_64"))
    return machine(*gpus, os=os, version=version, **more)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=" ".join)
@pytest.mark.parametrize(
    ("gpus", "module", "at_most"),
    [
        (("Tesla T4",), "open", None),
        (("NVIDIA H100 PCIe",), "open", None),
        (("NVIDIA GeForce RTX 5090",), "open", None),
        (("NVIDIA H100 PCIe", "Tesla T4"), "open", None),
        (("Tesla V100-SXM2-16GB", "Tesla P40"), "proprietary", 580),
        (("Tesla V100-SXM2-16GB", "NVIDIA A10"), "proprietary", 580),
    ],
)
def test_every_distribution_serves_every_kind(distribution, gpus, module, at_most):
    if at_most and distribution in YOUNG:
        with pytest.raises(NoBuildError, match="No driver branch fits"):
            plan(of(distribution, *gpus))
        return
    made = plan(of(distribution, *gpus))
    assert made.kernel_module == module
    assert at_most is None or made.branch == at_most
    assert ids(made)[-1] == "reboot"
    assert len(set(ids(made))) == len(ids(made))
    assert "-open" not in " ".join(packages_of(made)) or module == "open"
    order = [
        ids(made).index(name) for name in ("kernel-headers", "driver", "hold-driver", "reboot") if name in ids(made)
    ]
    assert order == sorted(order)
    assert [step for step in made.steps if step.id.endswith("-key")] == [] or ids(made)[0].endswith("-key")


#: Steps without a way back: lists, what is fetched, the restart, an installer that keeps no record.
WITHOUT_UNDO = re.compile(r"refresh|.*-lists|fetch-driver|remove-runfile-driver|reboot")


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=" ".join)
def test_every_step_that_changes_something_has_its_undo_and_its_proof(distribution):
    box = of(
        distribution,
        *["NVIDIA H100 80GB HBM3"] * 8,
        readings={"kernel.secure_boot": True, "driver.packages": 0},
    )
    made = plan(box, container_toolkit=True, cuda_toolkit="newest")
    for one in made.steps:
        assert re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", one.id)
        assert one.why
        assert bool(one.undo) != bool(WITHOUT_UNDO.fullmatch(one.id)), one.id
        assert one.done_when or re.fullmatch(r"refresh|.*-lists", one.id), one.id
        for proof in (*one.needs, *one.done_when):
            assert proof.means[0].islower() or proof.means.startswith(("/", "NVIDIA", "DKMS", "Ubuntu", "Secure"))
            assert re.compile(proof.matches or "")


def test_no_step_turns_signature_checks_off_or_pipes_a_script_into_a_shell():
    bad = re.compile(
        r"--nogpgcheck|--no-gpg-check|gpgcheck=0|trusted=yes|allow-unauthenticated|\| *(?:sudo )?(?:ba)?sh\b"
    )
    for distribution in DISTRIBUTIONS:
        made = plan(of(distribution, *["NVIDIA B200"] * 8), container_toolkit=True, cuda_toolkit="newest")
        said = repr(made.steps)
        assert not bad.search(said)
        assert "gpgcheck=1" in said or distribution[0] in ("ubuntu", "debian")


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distribution", "gpu", "wish", "names"),
    [
        (
            ("ubuntu", "24.04"),
            "Tesla T4",
            {"branch": 580},
            (
                "linux-modules-nvidia-580-server-open-generic",
                "nvidia-headless-no-dkms-580-server-open",
                "nvidia-utils-580-server",
            ),
        ),
        (
            ("ubuntu", "24.04"),
            "Tesla P40",
            {},
            (
                "linux-modules-nvidia-580-server-generic",
                "nvidia-headless-no-dkms-580-server",
                "nvidia-utils-580-server",
            ),
        ),
        (
            ("ubuntu", "24.04"),
            "NVIDIA GeForce RTX 5090",
            {"branch": 580},
            ("linux-modules-nvidia-580-server-open-generic", "nvidia-driver-580-server-open"),
        ),
        (("ubuntu", "24.04"), "Tesla T4", {"branch": 580, "origin": "nvidia"}, ("nvidia-open",)),
        (("ubuntu", "24.04"), "Tesla T4", {"branch": 570, "origin": "nvidia"}, ("nvidia-open-570",)),
        (("debian", "12"), "Tesla P40", {}, ("cuda-drivers",)),
        (("debian", "12"), "Tesla T4", {"origin": "distro"}, ("nvidia-kernel-dkms", "nvidia-driver", "nvidia-smi")),
        (("rocky", "9.5"), "Tesla T4", {}, ("nvidia-open",)),
        (("fedora", "44"), "NVIDIA A10", {}, ("nvidia-open",)),
        (("sles", "15.6"), "NVIDIA A10", {}, ("nvidia-open-driver-G07-signed-cuda-kmp-default<596",)),
        (("sles", "15.6"), "Tesla P40", {}, ("nvidia-driver-G06-kmp-default<581",)),
    ],
)
def test_the_driver_is_asked_for_by_the_names_of_its_source(distribution, gpu, wish, names):
    assert packages_of(plan(of(distribution, gpu), **wish)) == names


def test_debian_12_has_one_branch_in_its_archive_and_it_must_serve():
    made = plan(of(("debian", "12"), "Tesla T4"), origin="distro", branch=535)
    assert (made.branch, made.kernel_module) == (535, "proprietary")
    assert ids(made)[:2] == ["non-free", "refresh"]
    with pytest.raises(NoBuildError, match="No driver branch fits"):
        plan(of(("debian", "12"), "NVIDIA B200"), origin="distro")
    with pytest.raises(NoBuildError, match="has no driver branch 550"):
        plan(of(("debian", "12"), "Tesla T4"), origin="distro", branch=550)


@pytest.mark.parametrize(
    ("gpu", "stream"),
    [("Tesla T4", "nvidia-driver:595-open"), ("Tesla V100-SXM2-16GB", "nvidia-driver:580-dkms")],
)
@pytest.mark.parametrize("distribution", [("rhel", "8.10"), ("rocky", "9.5"), ("amzn", "2023")], ids=" ".join)
def test_dnf_with_modules_enables_the_stream_of_the_branch(distribution, gpu, stream):
    made = plan(of(distribution, gpu))
    assert step(made, "module-stream").actions[1] == Run(("dnf", "-y", "module", "enable", stream))
    assert ids(made).index("module-stream") < ids(made).index("driver")


def test_dnf_without_modules_locks_the_branch_before_it_installs():
    made = plan(of(("fedora", "44"), "NVIDIA A10"))
    assert step(made, "pin-branch").actions == (Packages("dnf", "hold", ("*nvidia*620*", "cuda-drivers*620*")),)
    assert ids(made).index("pin-branch") < ids(made).index("driver")
    assert "versionlock" not in ids(made)  # dnf5 has it built in


def test_rebuilds_of_rhel_take_dkms_from_epel_and_rhel_itself_is_told_to():
    assert "extra-packages" in ids(plan(of(("rocky", "9.5"), "Tesla T4")))
    made = plan(of(("rhel", "9.5"), "Tesla T4"))
    assert "extra-packages" not in ids(made)
    assert any("enable EPEL" in note for note in made.notes)


def test_amazon_linux_names_its_newer_kernels_apart():
    made = plan(of(("amzn", "2023"), "Tesla T4", kernel="6.12.40-64.114.amzn2023.x86_64"))
    assert packages_of(made, "kernel-headers")[0] == "kernel6.12-devel-6.12.40-64.114.amzn2023.x86_64"


def test_suse_takes_user_space_of_the_release_of_its_module():
    made = plan(of(("sles", "15.6"), "NVIDIA A10"))
    script = step(made, "driver").actions[1].argv[2]
    assert script.startswith('release=$(rpm -q --qf "%{VERSION}\\n" nvidia-open-driver-G07-signed-cuda-kmp-default |')
    assert '"nvidia-compute-utils-G07 = $release"' in script
    assert "kernel-headers" not in ids(made)


def test_suse_is_asked_whether_the_branch_is_there_before_the_newest_below_the_next_one_is_taken():
    made = plan(of(("sles", "15.6"), "NVIDIA A10"))
    (proof,) = [one for one in step(made, "driver").needs if "of branch 595" in one.means]
    row = "   | nvidia-open-driver-G07-signed-cuda-kmp-default | package | {} | x86_64 | cuda-sles15"
    assert re.search(proof.matches, row.format("595.71.05_k6.4.0_150700.53.22-1"))
    assert not re.search(proof.matches, row.format("590.48.01_k6.4.0_150700.53.22-1"))


@pytest.mark.parametrize("distribution", [("rhel", "9.5"), ("amzn", "2023"), ("fedora", "42")], ids=" ".join)
def test_dnf_locks_what_is_installed_and_no_pattern(distribution):
    hold = step(plan(of(distribution, "Tesla T4"), branch=580), "hold-driver")
    (lock,) = hold.actions
    assert "*" not in lock.argv[2]
    assert "rpm -q " in lock.argv[2]
    assert not [one for one in hold.actions if isinstance(one, Packages)]


def test_a_driver_that_is_there_is_locked_by_its_release():
    box = of(
        ("rhel", "9.5"),
        "Tesla T4",
        driver=release("580.95.05"),
        readings={"driver.automatic_upgrades": True},
    )
    (lock,) = step(plan(box), "hold-driver").actions
    assert lock.argv[2].startswith("release=580.95.05;")


@pytest.mark.parametrize("distribution", [("rhel", "9.5"), ("sles", "15.6")], ids=" ".join)
def test_rpm_repositories_give_the_fabric_manager_of_the_drivers_release(distribution):
    install, _ = step(plan(of(distribution, *["NVIDIA H100 80GB HBM3"] * 8)), "fabric-manager").actions
    assert "$release" in install.argv[2].rpartition("nvidia-fabricmanager")[2]


# --- fabric -------------------------------------------------------------------------------------


def test_an_hgx_board_gets_the_fabric_manager_of_the_branch():
    made = plan(of(("ubuntu", "24.04"), *["NVIDIA H100 80GB HBM3"] * 8), branch=580)
    assert packages_of(made, "fabric-manager") == ("nvidia-fabricmanager-580",)
    assert "nvidia-fabricmanager-580" in packages_of(made, "hold-driver")
    assert ids(made).index("driver") < ids(made).index("fabric-manager") < ids(made).index("hold-driver")


def test_nvlink_5_brings_its_subnet_manager_from_nvidias_repository():
    made = plan(of(("ubuntu", "24.04"), *["NVIDIA B200"] * 8))
    assert (made.origin, made.kernel_module) == ("nvidia", "open")
    assert packages_of(made, "nvlink5") == ("nvlsm", "infiniband-diags")
    assert packages_of(made, "fabric-manager") == ("nvidia-fabricmanager",)


@pytest.mark.parametrize(
    "gpus",
    [("NVIDIA H100 PCIe",) * 8, ("NVIDIA H100 80GB HBM3",), ("NVIDIA GH200 480GB",), ("NVIDIA L40S",) * 4],
)
def test_no_fabric_manager_without_switches(gpus):
    assert "fabric-manager" not in ids(plan(of(("ubuntu", "24.04"), *gpus)))


def test_a_part_of_a_baseboard_in_a_guest_has_its_switches_elsewhere():
    box = of(("ubuntu", "24.04"), *["NVIDIA H100 80GB HBM3"] * 2, virtualization="kvm")
    assert "fabric-manager" not in ids(plan(box))
    assert "fabric-manager" in ids(plan(box, fabric_manager=True))
    seen = of(
        ("ubuntu", "24.04"),
        *["NVIDIA H100 80GB HBM3"] * 2,
        virtualization="kvm",
        readings={"fabric.switch_devices": 4},
    )
    assert "fabric-manager" in ids(plan(seen))


# --- arm ----------------------------------------------------------------------------------------


def test_a_grace_hopper_gets_the_open_module_of_arm_servers():
    box = of(("debian", "12"), "NVIDIA GH200 480GB", arch="aarch64", kernel="6.1.0-40-arm64")
    made = plan(box)
    assert made.kernel_module == "open"
    assert step(made, "cuda-debian12-sbsa-key").actions[0].url.endswith("/debian12/sbsa/3bf863cc.pub")
    with pytest.raises(NoBuildError, match="need the open kernel module"):
        plan(box, kernel_module="proprietary")


def test_a_repository_without_arm_packages_is_said_so():
    with pytest.raises(NoBuildError, match="no repository for fedora 44 on aarch64"):
        plan(of(("fedora", "44"), "NVIDIA GH200 480GB", arch="aarch64"))


# --- keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("distribution", [("rhel", "10.0"), ("fedora", "43")], ids=" ".join)
def test_a_key_whose_fingerprint_nobody_read_is_trusted_by_no_step(distribution):
    with pytest.raises(NoBuildError) as caught:
        plan(of(distribution, "Tesla T4"))
    assert caught.value.code == "repository-key-unknown"
    row = MATRIX.driver_sources.repository(f"cuda-{distribution[0]}{distribution[1].partition('.')[0]}")
    configured = of(
        distribution,
        "Tesla T4",
        readings={"driver.rpm_repository": [("cuda.repo", row.address_for("x86_64"))]},
    )
    assert not [name for name in ids(plan(configured)) if name.endswith("-key")]


def test_a_repository_that_is_configured_is_not_added_again():
    address = "https://developer.download.nvidia.com/compute/cuda/repos/debian12/x86_64"
    box = of(
        ("debian", "12"),
        "Tesla T4",
        readings={"driver.repository": [("cuda.list", address, "/usr/share/keyrings/cuda-archive-keyring.gpg")]},
    )
    assert ids(plan(box))[0] == "refresh"


def test_every_repository_pins_a_fingerprint_that_ends_like_its_key_or_says_that_it_is_unknown():
    for row in MATRIX.driver_sources.repositories:
        file = row.key.rpartition("/")[2].partition(".")[0].upper()
        assert row.fingerprint is None or file == "GPGKEY" or row.fingerprint.endswith(file)
        assert row.fingerprint or row.doubtful


# --- extras -------------------------------------------------------------------------------------


def test_extras_come_before_the_restart_and_toolkits_leave_the_distributions_driver_alone():
    made = plan(of(("ubuntu", "24.04"), "Tesla T4"), container_toolkit=True, cuda_toolkit="12.8")
    assert packages_of(made, "cuda-toolkit") == ("cuda-toolkit-12-8",)
    assert ids(made).index("keep-distro-driver") < ids(made).index("cuda-ubuntu2404-x86-64-repository")
    assert ids(made)[-1] == "reboot"
    assert isinstance(made.steps[-1].actions[0], Reboot)


def test_rpm_distributions_have_the_container_toolkit_in_the_same_repository():
    made = plan(of(("rocky", "9.5"), "Tesla T4"), container_toolkit=True)
    assert [name for name in ids(made) if name.endswith("-key")] == ["cuda-rhel9-key"]
    assert packages_of(made, "container-toolkit") == ("nvidia-container-toolkit",)


def test_a_right_driver_with_extras_gets_the_extras_alone():
    box = of(("ubuntu", "24.04"), "Tesla T4", driver=release("580.95.05"))
    assert ids(plan(box)) == []
    assert ids(plan(box, container_toolkit=True))[-1] == "container-toolkit"
    assert "driver" not in ids(plan(box, container_toolkit=True))


@pytest.mark.parametrize(
    ("os", "version", "origin"),
    [("ubuntu", "24.04", "nvidia"), ("ubuntu", "24.04", "distro"), ("debian", "12", "nvidia")],
)
def test_on_apt_every_package_of_the_branch_is_held(os, version, origin):
    made = plan(machine("Tesla T4", os=os, version=version), origin=origin, branch=595)
    _, every = step(made, "hold-driver").actions
    chosen = re.search(r"sed -nE '([^']*)'", every.argv[2])[1]
    rows = (
        "installed 595.71.05-1ubuntu1 libnvidia-compute:amd64",
        "installed 3:595.71.05-1 nvidia-open",
        "installed 595-1ubuntu1 nvidia-driver-pinning-595",
        "installed 595.71-1 nvidia-driver-pinning-595.71",
        "not-installed 595.71.05-1 nvidia-fs",
        "installed 1.595.2-1 bash",
        "installed 590-1ubuntu0.22.04.2 less",
    )
    ran = subprocess.run(["sed", "-nE", chosen], input="\n".join(rows), capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["libnvidia-compute:amd64", "nvidia-open"]
    proof = step(made, "hold-driver").done_when[-1]
    held = "hold 595.71.05-1 nvidia-open\ninstall 595-1 nvidia-driver-pinning-595\ninstall 5.2-1 bash\n"
    assert re.search(proof.matches, held)
    assert not re.search(proof.matches, held + "install 595.71.05-1 libnvidia-gl\n")
