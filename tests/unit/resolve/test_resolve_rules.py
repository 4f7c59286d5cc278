"""Each rule at its border, and what it says."""

import re
from dataclasses import replace

import pytest
from resolve_boxes import ask, box

from provision.records import Gpu, GpuState, Reading
from provision.resolve import RULES, resolve, rule_id
from provision.resolve.choose import judge, judge_all
from provision.resolve.rules import BUILD_RULES, LAST_RESORT_RULES, READS
from provision.resolve.situation import situate


def reasons(machine, build, catalogue, **words):
    """Rule, found and needs of everything against one build."""
    torch, variant = build.split("+")
    resolution = resolve(machine, ask(**words), catalogue.matrix, catalogue=catalogue)
    return [(no.rule, no.found, no.needs) for no in resolution.rejections if (no.torch, no.variant) == (torch, variant)]


def test_rule_ids_are_kebab_case_unique_and_explained():
    ids = [rule_id(rule) for rule in RULES]
    assert len(set(ids)) == len(ids)
    for rule in RULES:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", rule_id(rule))
        assert rule.__doc__
        assert "\n\n" in rule.__doc__ or rule_id(rule) == "arch-list-unknown"


@pytest.mark.parametrize(
    ("driver", "against"),
    [("580.65.06", []), ("580.65.05", [("driver-too-old", "580.65.05", "580.65.06 or newer")])],
)
def test_driver_too_old(driver, against, catalogue):
    assert reasons(box("H100", driver), "2.14.1+cu130", catalogue) == against


def test_driver_too_old_counts_the_windows_number_on_wsl(catalogue):
    assert reasons(box("4090", "528.33", is_wsl=True), "2.14.1+cu126", catalogue) == []
    assert reasons(box("4090", "528.32", is_wsl=True), "2.14.1+cu126", catalogue) == [
        ("driver-too-old", "528.32", "528.33 or newer")
    ]
    assert reasons(box("4090", "528.32"), "2.14.1+cu126", catalogue) == []


def test_driver_unknown_is_never_a_pass(catalogue):
    assert reasons(box("H100"), "2.14.1+cu126", catalogue) == [("driver-unknown", "unknown", "525.60.13 or newer")]
    assert reasons(box("H100", cuda="12.2"), "2.14.1+cu126", catalogue) == []
    assert reasons(box("H100", cuda="12.2"), "2.14.1+cu130", catalogue) == [
        ("driver-too-old", "CUDA 12.2", "CUDA 13.0 or newer")
    ]


def test_ptx_needs_newer_driver(catalogue):
    """torch 2.7 with cu128 has PTX of 12.0: a newer major runs on it once the driver implements 12.8."""
    newer = box("Future", "575.57.08", cuda="12.8", capability="13.0")
    assert reasons(newer, "2.7.1+cu128", catalogue) == []
    older = box("Future", "575.57.08", cuda="12.7", capability="13.0")
    assert reasons(older, "2.7.1+cu128", catalogue) == [
        ("ptx-needs-newer-driver", "CUDA 12.7 for compute capability 13.0", "a driver that implements CUDA 12.8")
    ]
    assert ("no-code-for-gpu" in [no[0] for no in reasons(newer, "2.7.1+cu126", catalogue)]) is True


def test_no_code_for_gpu_looks_at_all_gpus(catalogue):
    against = reasons(box("H100 V100", "580.82.07"), "2.14.1+cu130", catalogue)
    assert against == [
        (
            "no-code-for-gpu",
            "Tesla V100-SXM2-16GB with compute capability 7.0",
            "one of sm_75, sm_80, sm_86, sm_90, sm_100, sm_120",
        )
    ]


def test_kepler_code_of_late_cu118_wheels_is_not_believed(catalogue):
    machine = box("Tesla_K80", "470.256.02", capability="3.7", python="3.10")
    assert reasons(machine, "2.3.1+cu118", catalogue) == []
    assert [no[0] for no in reasons(machine, "2.4.1+cu118", catalogue)] == ["no-code-for-gpu"]


def test_compute_capability_comes_from_the_pci_id_the_name_or_not_at_all(catalogue):
    base = box("H100", "580.65.06")
    by_id = replace(base, gpus=(Gpu(0, name="Graphics Device", pci_device_id="10de:2330"),))
    assert reasons(by_id, "2.14.1+cu130", catalogue) == []
    unknown = replace(base, gpus=(Gpu(0, name="Graphics Device", pci_device_id="10de:ffff"),))
    assert reasons(unknown, "2.14.1+cu130", catalogue) == [
        ("compute-capability-unknown", "unknown for Graphics Device", "the compute capability of every GPU")
    ]
    empty = replace(base, gpus=())
    assert reasons(empty, "2.14.1+cu130", catalogue)[0][1] == "no GPU is listed"


def test_gpu_dropped_by_driver_branch(catalogue):
    assert reasons(box("V100", "580.178.04"), "2.14.1+cu126", catalogue) == []
    assert reasons(box("V100", "590.44.01"), "2.14.1+cu126", catalogue) == [
        (
            "gpu-dropped-by-driver-branch",
            "Tesla V100-SXM2-16GB (Volta) on driver 590.44.01",
            "driver branch 580 or older",
        )
    ]


def test_driver_too_old_for_gpu(catalogue):
    assert reasons(box("5090", "570.86.16"), "2.11.0+cu128", catalogue) == []
    assert reasons(box("5090", "565.57.01"), "2.11.0+cu128", catalogue) == [
        (
            "driver-too-old-for-gpu",
            "NVIDIA GeForce RTX 5090 (Blackwell) on driver 565.57.01",
            "driver 570.86.15 or newer",
        )
    ]
    assert reasons(box("B300", "580.82.07"), "2.14.1+cu130", catalogue) == []
    assert reasons(box("B300", "580.82.06"), "2.14.1+cu130", catalogue) == [
        (
            "driver-too-old-for-gpu",
            "NVIDIA B300 SXM6 AC (Blackwell Ultra) on driver 580.82.06",
            "driver 580.82.07 or newer",
        )
    ]
    assert reasons(box("5090", "570.26", is_wsl=True), "2.11.0+cu128", catalogue) == []  # first_driver counts on Linux


def test_kernel_module_of_a_gpu_that_only_its_pci_id_names(catalogue):
    by_id = replace(
        box("GH200", "580.65.06", arch="aarch64", module="proprietary"), gpus=(Gpu(0, pci_device_id="10de:2342"),)
    )
    assert [no[0] for no in reasons(by_id, "2.14.1+cu130", catalogue)] == ["kernel-module-unsuitable"]


def test_glibc_too_old(catalogue):
    assert reasons(box(glibc="2.28"), "2.15.0+cpu", catalogue) == []
    assert reasons(box(glibc="2.27"), "2.15.0+cpu", catalogue) == [("glibc-too-old", "2.27", "2.28 or newer")]
    assert reasons(box(glibc="2.17"), "2.6.0+cpu", catalogue) == []
    assert reasons(box("H100", "580.65.06", glibc="2.27"), "2.6.0+cu126", catalogue) == [
        ("glibc-too-old", "2.27", "2.28 or newer")
    ]


def test_python_tag_missing_names_the_python(catalogue):
    machine = box(python="3.9", others=("3.12",))
    resolution = resolve(machine, ask(), catalogue.matrix, catalogue=catalogue)
    assert resolution.chosen.python == "3.12"
    missing = resolution.rejections[0]
    assert (missing.rule, missing.found, missing.python) == ("python-tag-missing", "cp39", "3.9")


def test_no_transformers_pair(catalogue):
    assert reasons(box(python="3.10"), "2.2.2+cpu", catalogue, transformers="4.57") == []
    assert reasons(box(python="3.10"), "2.0.1+cpu", catalogue, transformers="4.57") == [
        ("no-transformers-pair", "none on Python 3.10", "transformers >=4.30,<4.50 and 4.57")
    ]
    assert reasons(box(python="3.10"), "2.4.1+cpu", catalogue, transformers="4.52") == [
        ("no-transformers-pair", "none on Python 3.10", "transformers >=4.30,<5.14,!=4.52.* and 4.52")
    ]
    build = resolve(box(), ask(transformers=">=4.50,<4.57"), catalogue.matrix, catalogue=catalogue).chosen
    assert build.requirements[1] == "transformers>=4.48,<6,<4.57,>=4.50"
    build = resolve(box(), ask(transformers="4.57.3"), catalogue.matrix, catalogue=catalogue).chosen
    assert build.requirements[1] == "transformers>=4.48,<6,==4.57.3.*"


def test_platform_and_publication(catalogue):
    assert reasons(box("GH200", "580.65.06", arch="aarch64"), "2.6.0+cu124", catalogue) == [
        ("platform-not-published", "linux_aarch64", "linux_x86_64, windows_x86_64")
    ]
    assert reasons(box("H100", "620.70.06"), "2.15.0+cu134", catalogue) == [
        ("publication-unknown", "not seen", "a wheel for linux_x86_64 seen on the index")
    ]


def test_arch_list_unknown_is_passed_over_while_another_fits(catalogue):
    machine = box("GH200", "575.57.08", arch="aarch64")
    assert reasons(machine, "2.10.0+cu129", catalogue) == [
        ("arch-list-unknown", "architectures not read", "a build whose architectures were read")
    ]
    alone = resolve(machine, ask(torch="2.10", cuda="cu129"), catalogue.matrix, catalogue=catalogue)
    assert alone.chosen.local_version == "2.10.0+cu129"
    assert "arch-list-unknown" in [note.id for note in alone.notes]
    volta = box("V100", "580.65.06")
    assert [no[0] for no in reasons(volta, "2.9.1+cu130", catalogue)] == ["no-code-for-gpu"]


def test_python_unknown_on_a_machine_that_was_looked_at(catalogue):
    machine = replace(box(python=None), readings=(Reading("python.version", "path", failure="no python3 on PATH"),))
    resolution = resolve(machine, ask(), catalogue.matrix, catalogue=catalogue)
    assert not resolution.candidates
    assert resolution.rejections[0].rule == "python-unknown"
    assert resolution.rejections[0].found == "no python3 on PATH"
    assert [(unlock.change, unlock.to, unlock.torch) for unlock in resolution.unlocks] == [("python", "3.15", "2.15.0")]


MACHINES = [
    box(),
    box("H100", "535.104.05"),
    box("V100 5090", "590.48.01"),
    box("T4", "470.82.01", glibc="2.17", others=("3.9",)),
    box("T4", glibc=None, os="alpine"),
    box("Thor", "580.00", arch="aarch64"),
    box("Unknown", "535.104.05"),
    box("T4", state=GpuState.UNUSABLE),
    box(system="darwin"),
    box(system="darwin", arch="arm64", os_version="13.6"),
]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("request_", [ask(), ask(torch="2.9", cuda="<13")])
def test_rules_that_are_not_asked_would_have_said_nothing(machine, request_, catalogue):
    situation = situate(machine, request_, catalogue)
    candidates = catalogue.candidates(situation.platform, is_cpu=situation.is_cpu)
    assert judge_all(situation) == [judge(situation, candidate) for candidate in candidates]


def test_every_rule_about_builds_says_what_it_reads():
    assert set(READS) == {*BUILD_RULES, *LAST_RESORT_RULES}
    assert len(LAST_RESORT_RULES) == 1
