"""Evidence as people read it: alike things are one line, figures have a unit."""

import pytest

from provision.records import CheckResult, Evidence
from provision.report.check_evidence import fold_evidence, ranges, shown_value
from provision.report.check_text import render_check_text
from provision.report.style import Style


def of_gpu(index, value, name="ecc_mode"):
    return Evidence(f"gpu.{index}.{name}", value, source=f"nvml, 0000:{index}b:00.0", needs="enabled")


def test_what_eight_gpus_show_alike_is_one_line():
    folded = fold_evidence([of_gpu(index, "disabled") for index in range(8)])
    assert folded == (Evidence("gpu.0-7.ecc_mode", "disabled", source="nvml, 0000:*b:00.0", needs="enabled"),)


def test_the_odd_one_out_stands_alone():
    folded = fold_evidence([of_gpu(index, "off" if index == 3 else "on") for index in range(5)])
    assert [(item.name, item.value) for item in folded] == [("gpu.0-2,4.ecc_mode", "on"), ("gpu.3.ecc_mode", "off")]


def test_rows_of_devices_list_the_devices():
    rows = [
        Evidence("ib.port", (f"mlx5_{n}/1", "InfiniBand", "DOWN" if n == 1 else "ACTIVE"), source=f"/sys/mlx5_{n}")
        for n in range(3)
    ]
    folded = fold_evidence(rows)
    assert [(item.value, item.source) for item in folded] == [
        (("mlx5_0/1, mlx5_2/1: InfiniBand", "ACTIVE"), "/sys/mlx5_*"),
        (("mlx5_1/1", "InfiniBand", "DOWN"), "/sys/mlx5_1"),
    ]


def test_functions_of_the_bus_and_equal_names_are_one_line():
    found = [Evidence(f"pci.0000:{bus}:00.0.iommu", "DMA", source="iommu_groups") for bus in ("01", "02")]
    found += [Evidence("pci.nvswitch", "10de:22a3", source=f"/sys/{bus}") for bus in ("05", "06")]
    assert [(item.name, item.source) for item in fold_evidence(found)] == [
        ("pci.0000:0*:00.0.iommu", "iommu_groups"),
        ("pci.nvswitch", "/sys/0*"),
    ]


def test_different_facts_and_different_needs_stay_apart():
    found = (of_gpu(0, "on"), of_gpu(0, "on", "mig_mode"), Evidence("gpu.1.ecc_mode", "on", source="nvml", needs="off"))
    assert fold_evidence(found) == found


@pytest.mark.parametrize(("numbers", "told"), [((0,), "0"), ((3, 1, 0, 2), "0-3"), ((0, 2, 3, 7), "0,2-3,7")])
def test_ranges(numbers, told):
    assert ranges(numbers) == told


@pytest.mark.parametrize(
    ("name", "value", "unit", "told"),
    [
        ("gpu.0.memory_bytes", 85520809984, None, "79.6 GiB"),
        ("pci.x.bar1_bytes", 0, None, "0"),
        ("kernel.started_at", 1794913600, None, "2026-11-17 11:06:40 UTC"),
        ("gpu.0.inforom_valid", False, None, "no"),
        ("ib.port", ("mlx5_8/1", None, True), None, "mlx5_8/1, -, yes"),
        ("gpu.0.clock", 1980.0, "MHz", "1980 MHz"),
        ("x", 12.5, "s", "12.5 s"),
        ("x", None, None, "not known"),
        ("x", (), None, "none"),
        ("x", "", None, "empty"),
        ("memory of the GPUs", 684166479872, "bytes", "637.2 GiB"),
    ],
)
def test_values_are_in_words(name, value, unit, told):
    assert shown_value(name, value, unit) == told


def test_a_degree_has_one_blank_before_it_where_signs_are_missing():
    hot = CheckResult("gpu.temp_core", "gpu", "warn", "GPU 0 is 4 °C below it.")
    assert "4 deg C below" in render_check_text((hot,), Style())


def test_a_machine_without_a_gpu_says_so_before_the_count():
    none = CheckResult("pci.gpu_present", "pci", "skip", "No NVIDIA GPU is on this machine.")
    well = CheckResult("sys.swap", "sys", "pass", "Swap is not in use.")
    assert render_check_text((none, well), Style()) == (
        "gpu      No NVIDIA GPU is on this machine.\nok       1 check passed, 1 skipped"
    )


def test_a_command_is_never_broken_and_its_remark_goes_below():
    command = (
        "printf 'blacklist nouveau\\noptions nouveau modeset=0\\n' | sudo tee /etc/modprobe.d/blacklist-nouveau.conf"
    )
    steps = (f"{command}    (keeps it out)", "ls -l    (short)", "look at what " + "else " * 20 + "uses it")
    sick = CheckResult("driver.nouveau", "driver", "fail", "It holds the GPU.", safe=steps)
    lines = render_check_text((sick,), Style(), cause=sick.id).splitlines()
    assert lines[2:5] == [f"do       {command}", "         (keeps it out)", "         ls -l  (short)"]
    assert max(map(len, lines[5:])) <= 80
