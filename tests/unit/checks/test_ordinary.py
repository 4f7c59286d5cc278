"""What ordinary machines are forgiven has an end: the same signs of a real fault are still told."""

from __future__ import annotations

import shutil

import pytest

from tests.boxes import healthy, ordinary
from tests.boxes.layers import boot, system
from tests.boxes.layers import pci as bus

if shutil.which("gcc") is None:
    pytest.skip("the fake NVML needs gcc", allow_module_level=True)


def status(box, check):
    return box.results()[check].status


def test_gpus_of_other_jobs_are_told_apart():
    box = ordinary.slurm_job()
    results = box.results()
    assert "6 of other GPUs are kept from it" in results["driver.device_nodes"].happened
    assert "6 GPUs of the host not granted to this job" in results["pci.count_vs_nvml"].happened
    assert len(box.facts().machine.gpus) == 2


def test_a_gpu_of_this_job_that_is_lost_is_missed():
    box = ordinary.slurm_job().nvml(count=1)
    assert status(box, "pci.count_vs_nvml") == "fail"


def test_a_job_without_any_gpu_is_told():
    box = ordinary.slurm_job()
    for number in range(8):
        box.node(f"/dev/nvidia{number}", minor=number, may_open=False)
    assert status(box.nvml(count=0), "driver.device_nodes") == "fail"


def test_a_closed_control_node_is_told():
    box = ordinary.slurm_job().node("/dev/nvidiactl", minor=255, may_open=False)
    assert status(box, "driver.device_nodes") == "fail"


def test_persistence_is_wanted_on_bare_metal():
    box = ordinary.held().nvml(**{"*.persistence": 0})
    assert status(box, "driver.persistence") == "warn"
    assert status(ordinary.gcp_g2(), "driver.persistence") == "pass"


@pytest.mark.parametrize(
    ("make", "status_"), [(ordinary.gcp_a2, "warn"), (ordinary.aws_g4dn, "pass"), (ordinary.dgx1, "warn")]
)
def test_a_small_window_matters_where_the_board_can_have_a_large_one(make, status_):
    assert status(make().nvml(**{"*.bar1_total": 256 * 2**20}), "pci.bar1_size") == status_


@pytest.mark.parametrize(
    ("make", "mask", "wanted"),
    [
        (ordinary.pascal, 0x20, "pass"),
        (ordinary.pascal, 0x48, "fail"),
        (ordinary.pascal, 0x80, "fail"),
        (ordinary.optimus, 0x88, "pass"),
        (ordinary.optimus, 0x48, "warn"),
        (ordinary.training, 0x24, "warn"),
    ],
)
def test_what_slows_a_gpu_is_weighed_by_its_kind(make, mask, wanted):
    assert status(make().nvml(**{"*.throttle": mask}), "gpu.throttle_now") == wanted


def test_a_full_gpu_that_idles_is_told():
    assert status(ordinary.training().nvml(**{"*.util": 49}), "gpu.foreign_procs") == "warn"
    assert status(ordinary.training().nvml(**{"*.util": 50}), "gpu.foreign_procs") == "pass"


def test_a_board_with_a_lowered_limit_differs_from_its_twin():
    assert status(ordinary.two_makers().nvml(**{"1.power_limit_mw": 300000}), "hw.homogeneous") == "warn"


def test_other_services_than_powerd_are_missed():
    said = "nvidia-powerd.service loaded failed failed x\nnvidia-persistenced.service loaded failed failed x\n"
    result = ordinary.fedora().command(system.SERVICES, said).results()["sys.services"]
    assert (result.status, result.happened) == ("warn", "1 service of the GPUs failed: nvidia-persistenced.")


def test_words_on_the_command_line_count_while_the_driver_is_not_loaded():
    box = ordinary.runfile_server()
    assert status(box, "kernel.cmdline") == "pass"
    box.without("/sys/module/nvidia", "/proc/driver/nvidia/version")
    assert status(box, "kernel.cmdline") == "warn"


def test_a_slice_of_a_gpu_wants_two_processors():
    assert status(ordinary.pod_with_slice(), "sys.cpu_quota") == "pass"
    box = ordinary.pod_with_slice().file("/sys/fs/cgroup/cpu.max", "150000 100000\n")
    assert status(box, "sys.cpu_quota") == "warn"


def test_a_workstation_board_on_a_quarter_of_its_lanes_is_told():
    assert status(ordinary.rtx_pro(), "pci.link_width") == "pass"
    assert status(bus.width(ordinary.rtx_pro(), "0000:01:00.0", 4), "pci.link_width") == "warn"


def test_a_crash_beside_the_console_record_is_told():
    box = ordinary.jetson().file("/sys/fs/pstore/dmesg-ramoops-0", "")
    assert status(box, "kernel.panic_prev") == "warn"


def test_root_in_a_container_is_bound_by_the_limit():
    box = ordinary.ib_partly_used()
    assert status(box, "ib.memlock") == "pass"
    assert status(box.copy().answer("user", {"uid": 1000, "gids": [1000]}), "ib.memlock") == "warn"


def test_a_restart_is_told_when_the_system_asks_for_it():
    box = ordinary.old_server()
    assert "brings another kernel" in box.results()["kernel.reboot_required"].happened
    assert status(box.file("/run/reboot-required", ""), "kernel.reboot_required") == "warn"


def test_an_old_branch_is_told_where_a_later_one_serves_the_gpus():
    assert "last that serves" in ordinary.k80().results()["driver.branch_life"].happened
    box = healthy.v100()
    box.file("/sys/module/nvidia/version", "470.256.02\n").nvml(driver="470.256.02", nvml="470.256.02")
    assert status(box, "driver.branch_life") == "warn"


def test_a_machine_with_a_mirror_needs_no_index_of_pytorch():
    rows = [["https://mirror.example/simple", "pip.conf", None, 9, 0.1], ["https://x", "matrix", "not reached", 0, 0.1]]
    result = ordinary.runner().answer("package sources", rows).results("standard")["net.index"]
    assert (result.status, "not needed" in result.happened) == ("pass", True)
    rows[1][1] = "pip.conf"
    assert ordinary.runner().answer("package sources", rows).results("standard")["net.index"].status == "warn"


def test_podman_on_a_desktop_wants_no_toolkit_and_docker_does():
    assert status(ordinary.fedora(), "ctr.toolkit") == "pass"


def test_the_bench_builds_both_kernels():
    """The box with two kernels has the module of both, so that nothing hides behind the passing check."""
    box = ordinary.secure_boot()
    boot.dkms(box, f"nvidia/580.126.09, {box.kernel}, x86_64: installed\n")
    box.answer(boot.MODULE, {box.kernel: "updates/dkms/nvidia.ko.zst", "6.14.0-36-generic": ""})
    assert status(box, "kernel.next_boot_module") == "fail"
