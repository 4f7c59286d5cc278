"""Container images: each rule at the boundary that the facts draw, the order of preference, and known machines."""
# ruff: noqa: E501  cases stand on one line each

from collections import Counter
from dataclasses import replace

import pytest
from resolve_boxes import ask, box

from provision.records import Evidence
from provision.resolve import rule_id
from provision.resolve.image_candidates import image_candidates
from provision.resolve.image_rules import (
    DRIVER_IMAGE_RULES,
    IMAGE_RULES,
    LAST_RESORT_IMAGE_RULES,
    SHARED_IMAGE_RULES,
    basis_of,
)
from provision.resolve.images import resolve_images
from provision.resolve.situation import situate

NGC = "nvcr.io/nvidia/pytorch:"
HUB = "pytorch/pytorch:"


@pytest.fixture(scope="module")
def by_reference(catalogue):
    return {candidate.reference: candidate for candidate in image_candidates(catalogue)}


def with_module(machine, flavour):
    return replace(machine, driver=replace(machine.driver, kernel_module=flavour))


def named(machine, name):
    return replace(machine, gpus=tuple(replace(gpu, name=name) for gpu in machine.gpus))


def in_mig(machine, instances):
    gpus = tuple(replace(gpu, mig_mode="enabled", mig_instances=instances) for gpu in machine.gpus)
    return replace(machine, gpus=gpus)


def spark(driver):
    return box("GB10", driver, arch="aarch64", capability="12.1")


def orin(cuda):
    return box("Orin", "540.4.0", cuda=cuda, arch="aarch64", capability="8.7")


#: Rule, machine, request, image (without the registry's name), and whether the rule stands against it.
CASES = [
    # image-not-asked-for: prefixes and specifiers against the release that torch is numbered after
    ("image-not-asked-for", box("H100", "580.65.06"), ask(torch="2.14"), HUB + "2.14.0-cuda13.0-cudnn9-runtime", False),
    ("image-not-asked-for", box("H100", "580.65.06"), ask(torch="2.13"), HUB + "2.14.0-cuda13.0-cudnn9-runtime", True),
    ("image-not-asked-for", box("H100", "580.65.06"), ask(torch="2.14.0"), NGC + "26.08-py3", False),
    ("image-not-asked-for", box("H100", "580.65.06"), ask(torch="<2.14"), NGC + "26.08-py3", True),
    ("image-not-asked-for", box("H100", "580.65.06"), ask(cuda="13.0"), HUB + "2.14.0-cuda13.0-cudnn9-runtime", False),
    ("image-not-asked-for", box("H100", "580.65.06"), ask(cuda="<13"), HUB + "2.14.0-cuda13.0-cudnn9-runtime", True),
    ("image-not-asked-for", box("H100", "580.65.06"), ask(cuda="cu134"), NGC + "26.07-py3", True),
    ("image-not-asked-for", box("H100", "580.65.06"), ask(python="3.12"), NGC + "26.08-py3", False),
    ("image-not-asked-for", box("H100", "580.65.06"), ask(python="3.11"), NGC + "26.08-py3", True),
    # image-needs-gpu
    ("image-needs-gpu", box(), ask(), HUB + "2.14.0-cuda13.0-cudnn9-runtime", True),
    ("image-needs-gpu", box(arch="aarch64"), ask(), NGC + "26.08-py3", True),
    ("image-needs-gpu", box("H100", "580.65.06"), ask(cpu=True), NGC + "26.08-py3", True),
    ("image-needs-gpu", box("H100", "580.65.06"), ask(), NGC + "26.08-py3", False),
    ("image-needs-gpu", box("T4"), ask(), NGC + "26.08-py3", False),
    # image-not-for-platform
    ("image-not-for-platform", box("H100", "580.65.06"), ask(), HUB + "2.14.0-cuda13.0-cudnn9-runtime", False),
    ("image-not-for-platform", box("GH200", "580.65.06", arch="aarch64"), ask(), HUB + "2.14.0-cuda13.0-cudnn9-runtime", True),
    ("image-not-for-platform", box("GH200", "580.65.06", arch="aarch64"), ask(), NGC + "26.06-py3", False),
    ("image-not-for-platform", box("4090", "580.88", system="windows"), ask(), NGC + "26.06-py3", True),
    ("image-not-for-platform", box("4090", "580.88", is_wsl=True), ask(), NGC + "26.06-py3", False),
    ("image-not-for-platform", box("V100", "535.183.01", arch="ppc64le"), ask(), NGC + "23.10-py3", True),
    ("image-not-for-platform", orin("12.6"), ask(), NGC + "25.06-py3", False),
    ("image-not-for-platform", orin("12.2"), ask(), NGC + "25.06-py3", True),
    ("image-not-for-platform", orin("13.2"), ask(), NGC + "25.06-py3", True),
    ("image-not-for-platform", orin("13.2"), ask(), NGC + "26.09-py3", False),
    ("image-not-for-platform", box("Thor", "580.00", cuda="13.0", arch="aarch64"), ask(), NGC + "25.09-py3", False),
    ("image-not-for-platform", box("Thor", "580.00", cuda="13.0", arch="aarch64"), ask(), NGC + "25.06-py3", True),
    # image-driver-too-old: the floors of CUDA 11, 12 and 13, one below each
    ("image-driver-too-old", box("A100", "525.60.13"), ask(), HUB + "2.14.0-cuda12.6-cudnn9-runtime", False),
    ("image-driver-too-old", box("A100", "525.60.12"), ask(), HUB + "2.14.0-cuda12.6-cudnn9-runtime", True),
    ("image-driver-too-old", box("A100", "580.65.06"), ask(), HUB + "2.14.0-cuda13.2-cudnn9-runtime", False),
    ("image-driver-too-old", box("A100", "580.65.05"), ask(), HUB + "2.14.0-cuda13.2-cudnn9-runtime", True),
    ("image-driver-too-old", box("A100", "450.80.02"), ask(), HUB + "2.4.1-cuda11.8-cudnn9-runtime", False),
    ("image-driver-too-old", box("A100", "450.80.01"), ask(), HUB + "2.4.1-cuda11.8-cudnn9-runtime", True),
    ("image-driver-too-old", box("T4", "418.87.00"), ask(), HUB + "2.4.1-cuda11.8-cudnn9-runtime", True),
    ("image-driver-too-old", box("T4", "418.87.00"), ask(), NGC + "26.09-py3", True),
    ("image-driver-too-old", box("A100", "525.60.12"), ask(), NGC + "25.03-py3", False),
    ("image-driver-too-old", box("4090", "528.33", is_wsl=True), ask(), NGC + "25.03-py3", False),
    ("image-driver-too-old", box("4090", "528.32", is_wsl=True), ask(), NGC + "25.03-py3", True),
    ("image-driver-too-old", box("T4", "470.82.01"), ask(), HUB + "2.9.1-cuda12.8-cudnn9-devel", False),
    ("image-driver-too-old", box("T4", "470.82.01"), ask(), HUB + "2.10.0-cuda12.8-cudnn9-devel", True),
    # image-needs-data-center-gpu: the same driver, boards of every class
    ("image-needs-data-center-gpu", box("T4", "470.82.01"), ask(), NGC + "25.03-py3", False),
    ("image-needs-data-center-gpu", box("1080", "470.82.01"), ask(), NGC + "24.02-py3", True),
    ("image-needs-data-center-gpu", box("1080", "525.60.12"), ask(), NGC + "24.02-py3", True),
    ("image-needs-data-center-gpu", box("1080", "525.60.13"), ask(), NGC + "24.02-py3", False),
    ("image-needs-data-center-gpu", box("T4 1080", "470.82.01"), ask(), NGC + "24.02-py3", True),
    ("image-needs-data-center-gpu", box("4090", "580.65.05"), ask(), NGC + "26.08-py3", True),
    ("image-needs-data-center-gpu", box("4090", "580.65.06"), ask(), NGC + "26.08-py3", False),
    ("image-needs-data-center-gpu", box("1080", "470.82.01"), ask(), HUB + "2.10.0-cuda12.6-cudnn9-runtime", False),
    # image-driver-refused: branches that NVIDIA names, their neighbours that it names as working, and unnamed ones
    ("image-driver-refused", box("A100", "460.32.03"), ask(), NGC + "25.03-py3", True),
    ("image-driver-refused", box("A100", "470.57.02"), ask(), NGC + "25.03-py3", False),
    ("image-driver-refused", box("A100", "450.248.02"), ask(), NGC + "25.03-py3", True),
    ("image-driver-refused", box("A100", "450.248.02"), ask(), NGC + "24.02-py3", False),
    ("image-driver-refused", box("A100", "510.108.03"), ask(), NGC + "24.03-py3", True),
    ("image-driver-refused", box("A100", "515.105.01"), ask(), NGC + "24.03-py3", False),
    ("image-driver-refused", box("A100", "520.61.05"), ask(), NGC + "23.05-py3", True),
    ("image-driver-refused", box("A100", "535.183.01"), ask(), NGC + "26.06-py3", False),
    ("image-driver-refused", box("1080", "460.32.03"), ask(), NGC + "24.02-py3", True),
    # image-gpu-not-served: the least capability, what the toolkit compiles for, the wheel inside, the system
    ("image-gpu-not-served", box("V100", "570.124.06"), ask(), NGC + "24.12-py3", False),
    ("image-gpu-not-served", box("V100", "570.124.06"), ask(), NGC + "25.01-py3", True),
    ("image-gpu-not-served", box("T4", "570.124.06"), ask(), NGC + "25.01-py3", False),
    ("image-gpu-not-served", box("M60", "535.183.01", capability="5.2"), ask(), NGC + "23.10-py3", True),
    ("image-gpu-not-served", box("P100", "535.183.01"), ask(), NGC + "23.10-py3", False),
    ("image-gpu-not-served", box("V100", "580.82.07"), ask(), NGC + "25.11-py3", True),
    ("image-gpu-not-served", box("5090", "570.124.06"), ask(), NGC + "24.12-py3", True),
    ("image-gpu-not-served", box("5090", "570.124.06"), ask(), NGC + "25.01-py3", False),
    ("image-gpu-not-served", box("V100", "580.82.07"), ask(), HUB + "2.14.0-cuda12.6-cudnn9-runtime", False),
    ("image-gpu-not-served", box("V100", "580.82.07"), ask(), HUB + "2.14.0-cuda13.0-cudnn9-runtime", True),
    ("image-gpu-not-served", box("5090", "580.82.07"), ask(), HUB + "2.14.0-cuda12.6-cudnn9-runtime", True),
    ("image-gpu-not-served", box("V100 5090", "580.82.07"), ask(), HUB + "2.10.0-cuda12.8-cudnn9-runtime", False),
    ("image-gpu-not-served", spark("580.95.05"), ask(), NGC + "25.09-py3", False),
    ("image-gpu-not-served", spark("580.95.05"), ask(), NGC + "25.06-py3", True),
    # image-requires-newer-cuda: devel on nvidia/cuda, its branches, GeForce, and what has no gate
    ("image-requires-newer-cuda", box("A100", "570.124.06"), ask(), HUB + "2.9.1-cuda12.8-cudnn9-devel", False),
    ("image-requires-newer-cuda", box("A100", "565.57.01"), ask(), HUB + "2.9.1-cuda12.8-cudnn9-devel", False),
    ("image-requires-newer-cuda", box("A100", "555.58.02"), ask(), HUB + "2.9.1-cuda12.8-cudnn9-devel", True),
    ("image-requires-newer-cuda", box("4090", "565.57.01"), ask(), HUB + "2.9.1-cuda12.8-cudnn9-devel", True),
    ("image-requires-newer-cuda", box("4090", "570.124.06"), ask(), HUB + "2.9.1-cuda12.8-cudnn9-devel", False),
    ("image-requires-newer-cuda", box("A100", "555.58.02"), ask(), HUB + "2.9.1-cuda12.8-cudnn9-runtime", False),
    ("image-requires-newer-cuda", box("A100", "555.58.02"), ask(), HUB + "2.10.0-cuda12.8-cudnn9-devel", False),
    ("image-requires-newer-cuda", box("A100", "525.60.13"), ask(), NGC + "25.03-py3", False),
    # image-fact-unknown
    ("image-fact-unknown", box("H100", "580.65.06"), ask(), HUB + "2.14.0-cuda13.0-cudnn9-runtime", False),
    ("image-fact-unknown", box("H100", "580.65.06"), ask(), HUB + "2.14.1-cuda13.0-cudnn9-runtime", True),
    ("image-fact-unknown", box("H100", "580.65.06"), ask(), NGC + "26.06-py3", False),
    ("image-fact-unknown", box("A100", "580.65.06"), ask(), NGC + "26.06-py3", True),
    ("image-fact-unknown", box("H100", "580.65.06"), ask(), NGC + "26.07-py3", True),
    ("image-fact-unknown", box("GH200", "570.124.06", arch="aarch64"), ask(), NGC + "25.03-py3", False),
    ("image-fact-unknown", box("GH200", "570.124.06", arch="aarch64"), ask(), NGC + "25.02-py3", True),
    ("image-fact-unknown", box("H100", "545.23.08"), ask(), NGC + "25.10-py3", True),
    ("image-fact-unknown", box("H100", "550.54.15"), ask(), NGC + "25.10-py3", False),
    ("image-fact-unknown", box("Mystery", "470.82.01", capability="8.0"), ask(), NGC + "25.03-py3", True),
    ("image-fact-unknown", box("A100", "545.23.08"), ask(), HUB + "2.6.0-cuda12.6-cudnn9-devel", True),
    ("image-fact-unknown", box("A100", "560.35.03"), ask(), HUB + "2.6.0-cuda12.6-cudnn9-devel", False),
    ("image-fact-unknown", box("H100", "580.65.06"), ask(python="3.12"), HUB + "2.14.0-cuda13.0-cudnn9-runtime", True),
    ("image-fact-unknown", orin("12.6"), ask(), NGC + "25.06-py3", False),
    ("image-fact-unknown", orin("12.6"), ask(), NGC + "25.10-py3", True),
    # those that images share with wheels
    ("kernel-module-unsuitable", with_module(box("V100", "580.82.07"), "open"), ask(), NGC + "24.12-py3", True),
    ("kernel-module-unsuitable", with_module(box("V100", "580.82.07"), "proprietary"), ask(), NGC + "24.12-py3", False),
    ("kernel-module-unsuitable", with_module(box("5090", "580.82.07"), "proprietary"), ask(), NGC + "25.01-py3", True),
    ("kernel-module-unsuitable", with_module(box("5090", "580.82.07"), "open"), ask(), NGC + "25.01-py3", False),
    ("kernel-module-unsuitable", with_module(box("A100", "580.82.07"), "open"), ask(), NGC + "25.01-py3", False),
    *(
        ("vgpu-without-cuda", named(box("A100", "580.82.07"), name), ask(), NGC + "25.01-py3", stands)
        for name, stands in (("GRID A100-4B", True), ("GRID A100-4A", True), ("GRID A100-40C", False), ("GRID A100-10C", False), ("NVIDIA A100-SXM4-40GB", False))
    ),
    ("mig-without-instance", in_mig(box("A100", "580.82.07"), 0), ask(), NGC + "25.01-py3", True),
    ("mig-without-instance", in_mig(box("A100", "580.82.07"), 1), ask(), NGC + "25.01-py3", False),
    ("mig-without-instance", in_mig(box("A100", "580.82.07"), None), ask(), NGC + "25.01-py3", False),
    ("mig-without-instance", in_mig(box("H100 A100", "580.82.07"), 0), ask(), NGC + "25.01-py3", True),
    ("mig-without-instance", box("A100", "580.82.07"), ask(), NGC + "25.01-py3", False),
    ("gpu-dropped-by-driver-branch", box("V100", "580.82.07"), ask(), NGC + "24.12-py3", False),
    ("gpu-dropped-by-driver-branch", box("V100", "590.44.01"), ask(), NGC + "24.12-py3", True),
    ("gpu-dropped-by-driver-branch", box("P100", "590.44.01"), ask(), HUB + "2.14.0-cuda12.6-cudnn9-runtime", True),
    ("gpu-dropped-by-driver-branch", box("T4", "590.44.01"), ask(), NGC + "24.12-py3", False),
    ("gpu-dropped-by-driver-branch", box("T4 V100", "590.44.01"), ask(), NGC + "24.12-py3", True),
    ("driver-too-old-for-gpu", box("5090", "565.57.01"), ask(), HUB + "2.11.0-cuda12.8-cudnn9-runtime", True),
    ("driver-too-old-for-gpu", box("5090", "570.86.16"), ask(), HUB + "2.11.0-cuda12.8-cudnn9-runtime", False),
    ("driver-too-old-for-gpu", box("B300", "575.57.08"), ask(), HUB + "2.14.0-cuda13.0-cudnn9-runtime", True),
    ("driver-too-old-for-gpu", box("B300", "580.82.07"), ask(), HUB + "2.14.0-cuda13.0-cudnn9-runtime", False),
    ("driver-too-old-for-gpu", box("4090", "515.105.01"), ask(), HUB + "2.4.1-cuda11.8-cudnn9-runtime", True),
    ("driver-unknown", box("H100"), ask(), NGC + "26.06-py3", True),
    ("driver-unknown", box("H100", cuda="13.0"), ask(), NGC + "26.06-py3", False),
    ("driver-unknown", box("H100", "580.65.06"), ask(), NGC + "26.06-py3", False),
    ("driver-unknown", box("Thor", "580.00", arch="aarch64"), ask(), NGC + "25.09-py3", True),
    ("driver-unknown", box(), ask(), NGC + "26.06-py3", False),
    ("compute-capability-unknown", box("Mystery", "580.65.06"), ask(), NGC + "26.06-py3", True),
    ("compute-capability-unknown", box("Mystery", "580.65.06", capability="9.0"), ask(), NGC + "26.06-py3", False),
    ("compute-capability-unknown", box("H100 Mystery", "580.65.06"), ask(), NGC + "26.06-py3", True),
    ("compute-capability-unknown", box("H100", "580.65.06"), ask(), NGC + "26.06-py3", False),
    ("compute-capability-unknown", box(), ask(), NGC + "26.06-py3", False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "machine", "request_", "image", "stands"), CASES, ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)]
)
def test_a_rule_at_its_boundary(rule, machine, request_, image, stands, catalogue, by_reference):
    situation = situate(machine, request_, catalogue)
    rules = (*IMAGE_RULES, *SHARED_IMAGE_RULES, *LAST_RESORT_IMAGE_RULES)
    said = {no.rule: no for one in rules if (no := one(situation, by_reference[image]))}
    assert (rule in said) is stands
    if stands:
        no = said[rule]
        assert no.image == image
        assert no.found
        assert no.needs
        assert no.source.startswith(("matrix.yaml: ", "machine", "request"))


def test_every_rule_has_five_machines_and_both_answers():
    counted = Counter(case[0] for case in CASES)
    names = {rule_id(rule) for rule in (*IMAGE_RULES, *LAST_RESORT_IMAGE_RULES)}
    assert names <= counted.keys()
    assert min(counted.values()) >= 5
    assert {(case[0], case[4]) for case in CASES} == {(name, stands) for name in counted for stands in (True, False)}


def test_a_newer_driver_answers_only_driver_rules():
    assert {rule_id(rule) for rule in IMAGE_RULES} & DRIVER_IMAGE_RULES == {
        "image-driver-too-old",
        "image-needs-data-center-gpu",
        "image-driver-refused",
    }


@pytest.mark.parametrize(
    ("machine", "image", "basis"),
    [
        (box("H100", "580.65.06"), HUB + "2.14.0-cuda13.0-cudnn9-runtime", "native"),
        (box("H100", "580.65.06"), HUB + "2.14.0-cuda13.2-cudnn9-runtime", "minor-version"),
        (box("H100", "580.65.05"), HUB + "2.14.0-cuda13.0-cudnn9-runtime", "forward"),
        (box("H100", "535.183.01"), NGC + "26.06-py3", "forward"),
        (box("H100", "535.183.01"), HUB + "2.14.0-cuda12.6-cudnn9-runtime", "minor-version"),
        (box("H100", cuda="12.6"), HUB + "2.14.0-cuda12.6-cudnn9-runtime", "native"),
        (box("H100", "535.183.01", cuda="13.0"), HUB + "2.14.0-cuda13.0-cudnn9-runtime", "forward"),
        (box("H100", "535.183.01", cuda="12.8"), HUB + "2.14.0-cuda12.6-cudnn9-runtime", "minor-version"),
        (box("H100"), HUB + "2.14.0-cuda12.6-cudnn9-runtime", None),
        (box("H100", "580.65.06"), NGC + "26.07-py3", None),
    ],
)
def test_what_an_image_stands_on(machine, image, basis, catalogue, by_reference):
    assert basis_of(situate(machine, ask(), catalogue), by_reference[image]) == basis


MACHINES = {
    "T4 on R535": (box("T4", "535.183.01"), HUB + "2.14.0-cuda12.6-cudnn9-runtime", "minor-version"),
    "T4 on R470, by forward compatibility": (box("T4", "470.82.01"), HUB + "2.9.1-cuda12.8-cudnn9-devel", "forward"),
    "V100 on R580": (box("V100", "580.82.07"), HUB + "2.14.0-cuda12.6-cudnn9-runtime", "native"),
    "V100 on R590, dropped": (box("V100", "590.48.01"), None, None),
    "A100 on the floor of CUDA 12": (box("A100", "525.60.13"), HUB + "2.14.0-cuda12.6-cudnn9-runtime", "minor-version"),
    "A100 one below": (box("A100", "525.60.12"), NGC + "25.03-py3", "forward"),
    "A100 on a refused branch": (box("A100", "460.32.03"), HUB + "2.4.1-cuda11.8-cudnn9-runtime", "minor-version"),
    "GeForce on the same driver": (box("1080", "460.32.03"), HUB + "2.4.1-cuda11.8-cudnn9-runtime", "minor-version"),
    "GeForce without any": (box("4090", "470.82.01"), None, None),
    "H100 on the floor of CUDA 13": (box("H100", "580.65.06"), HUB + "2.14.0-cuda13.0-cudnn9-runtime", "native"),
    "H100 on R595": (box("H100", "595.58.03"), HUB + "2.14.0-cuda13.2-cudnn9-runtime", "native"),
    "RTX 5090 on R570": (box("5090", "570.86.16"), HUB + "2.11.0-cuda12.8-cudnn9-runtime", "native"),
    "GH200 on R580": (box("GH200", "580.95.05", arch="aarch64"), NGC + "26.06-py3", "minor-version"),
    "DGX Spark": (spark("580.95.05"), NGC + "26.08-py3", "minor-version"),
    "Orin on JetPack 6": (orin("12.6"), NGC + "25.06-py3-igpu", "minor-version"),
    "Orin on JetPack 7.2": (orin("13.2"), NGC + "26.09-py3", "minor-version"),
    "Thor on JetPack 7.0": (box("Thor", "580.00", cuda="13.0", arch="aarch64"), NGC + "25.09-py3", "native"),
    "Alpine: the image brings its own glibc": (box("T4", "535.183.01", glibc=None, os="alpine"), HUB + "2.14.0-cuda12.6-cudnn9-runtime", "minor-version"),
    "Python 3.7: the image brings its own": (box("H100", "580.65.06", python="3.7", glibc="2.12"), HUB + "2.14.0-cuda13.0-cudnn9-runtime", "native"),
    "WSL": (box("4090", "551.61", is_wsl=True), HUB + "2.14.0-cuda12.6-cudnn9-runtime", "minor-version"),
    "no GPU": (box(), None, None),
    "macOS": (box(system="darwin", arch="arm64"), None, None),
}  # fmt: skip


@pytest.mark.parametrize(("machine", "image", "basis"), MACHINES.values(), ids=MACHINES)
def test_a_known_machine_gets_its_image(machine, image, basis, matrix, catalogue):
    found = resolve_images(machine, ask(), matrix, catalogue=catalogue)
    chosen = found.images[0] if found.images else None
    assert (chosen.image if chosen else None) == image
    assert (chosen.basis if chosen else None) == basis
    assert found.resolution.rejections


def test_preference_is_torch_then_basis_then_cuda_then_flavour(matrix, catalogue):
    images = resolve_images(box("H100", "590.48.01"), ask(torch="2.14"), matrix, catalogue=catalogue).images
    tags = [image.image.removeprefix(HUB) for image in images if image.family == "pytorch"]
    assert tags == [
        *("2.14.0-cuda13.0-cudnn9-runtime", "2.14.0-cuda13.0-cudnn9-devel"),
        *("2.14.0-cuda12.6-cudnn9-runtime", "2.14.0-cuda12.6-cudnn9-devel"),
        *("2.14.0-cuda13.2-cudnn9-runtime", "2.14.0-cuda13.2-cudnn9-devel"),
    ]


def test_an_image_that_stands_behind_for_its_basis_is_told(matrix, catalogue):
    found = resolve_images(box("H100", "590.48.01"), ask(), matrix, catalogue=catalogue).resolution
    behind = [no for no in found.rejections if no.rule == "native-cuda"]
    assert {no.image for no in behind} == {
        HUB + "2.14.0-cuda13.2-cudnn9-runtime",
        HUB + "2.14.0-cuda13.2-cudnn9-devel",
    }
    assert behind[0].needs == "CUDA 13.2, else it relies on minor version compatibility"


def test_known_facts_stand_before_doubtful_ones(matrix, catalogue):
    images = resolve_images(
        box("A100", "570.124.06"), ask(torch="2.8", cuda="12.9"), matrix, catalogue=catalogue
    ).images
    ngc = [image for image in images if image.family == "ngc"]
    assert ngc[0].doubts != ()
    final = next(image for image in images if image.family == "pytorch")
    assert final.doubts == ()
    assert images.index(final) < images.index(ngc[0])


def test_a_last_resort_is_offered_with_a_note(matrix, catalogue):
    found = resolve_images(box("A100", "615.71.10"), ask(cuda="13.4"), matrix, catalogue=catalogue)
    assert found.images[0].image == NGC + "26.09-py3"
    note = next(note for note in found.resolution.notes if note.id == "image-fact-unknown")
    assert note.status == "unknown"
    assert note.happened.endswith("Of the chosen one is not known: whether it serves compute capability 8.0.")


def test_an_image_whose_cuda_nobody_read_is_never_chosen(matrix, catalogue):
    found = resolve_images(box("H100", "620.70.06"), ask(torch=">=2.13.0.a0,<2.13.0"), matrix, catalogue=catalogue)
    assert all("26.07" not in image.image for image in found.images)


def test_the_smallest_newer_driver_unlocks(matrix, catalogue):
    found = resolve_images(box("5090", "550.54.14"), ask(), matrix, catalogue=catalogue).resolution
    assert [(u.change, u.from_, u.to, u.torch, u.variant) for u in found.unlocks] == [
        ("driver", "550.54.14", "570.86.15", "2.11.0", "cu128"),
        ("driver", "550.54.14", "580.65.06", "2.14.0", "cu130"),
    ]
    applied = resolve_images(box("5090", "580.65.06"), ask(), matrix, catalogue=catalogue)
    assert applied.images[0].torch == "2.14.0"


@pytest.mark.parametrize("machine", [box("V100", "590.48.01"), box("H100", "620.70.06"), box(), orin("12.6")])
def test_no_driver_is_named_where_none_helps(machine, matrix, catalogue):
    assert resolve_images(machine, ask(), matrix, catalogue=catalogue).resolution.unlocks == ()


def test_every_unlock_keeps_its_word(matrix, catalogue):
    for gpus, driver in (("T4", "470.82.01"), ("A100", "450.80.01"), ("4090", "470.82.01"), ("V100", "470.82.01")):
        for unlock in resolve_images(box(gpus, driver), ask(), matrix, catalogue=catalogue).resolution.unlocks:
            images = resolve_images(box(gpus, unlock.to), ask(), matrix, catalogue=catalogue).images
            assert images[0].torch == unlock.torch, (gpus, unlock)
            assert any(image.variant == unlock.variant for image in images if image.torch == unlock.torch)


def test_an_image_says_what_it_needs(matrix, catalogue):
    image = resolve_images(box("GH200", "580.95.05", arch="aarch64"), ask(), matrix, catalogue=catalogue).images[0]
    assert image.platform == "linux/arm64"
    assert image.digest == "sha256:43c018d6a12963f1a1bad85ef8574b5c2a978eec2be0ebcacfb87f69e0d210e1"
    assert image.run_flags == ("--gpus all", "--ipc=host", "--ulimit memlock=-1", "--ulimit stack=67108864")
    assert (image.torch, image.variant, image.python) == ("2.13.0a0+8145d630e8", "cu133", "3.12")
    assert image.requirements == ("transformers>=4.48,<6", "safetensors>=0.3.1")


def test_a_jetson_takes_its_own_flags_and_says_which_jetpack_it_took(matrix, catalogue):
    found = resolve_images(orin("12.6"), ask(), matrix, catalogue=catalogue)
    assert found.images[0].run_flags == ("--runtime nvidia", "--ipc=host")
    assert found.images[0].digest is None
    assert "The JetPack is one with CUDA 12.6: 6.1 or 6.2 or 6.2.1 or 6.2.2 or 6.2.3." in found.resolution.assumptions


def test_forward_compatibility_is_told_with_its_doubts(matrix, catalogue):
    notes = resolve_images(box("T4", "470.82.01"), ask(), matrix, catalogue=catalogue).resolution.notes
    assert [note.id for note in notes] == ["row-doubtful", "forward-compatibility"]
    assert "forward compatibility of CUDA 12.8" in notes[0].happened
    assert notes[1].evidence == (Evidence("driver CUDA version", "11.4", needs="12.8"),)


def test_glibc_and_python_of_the_host_are_not_assumed(matrix, catalogue):
    machine = box("T4", "535.183.01", python=None, glibc=None, capability="7.5")
    assert resolve_images(machine, ask(), matrix, catalogue=catalogue).resolution.assumptions == ()


def test_a_compatibility_package_of_the_host_stays_outside_of_an_image(matrix, catalogue):
    found = resolve_images(box("H100", "535.183.01", cuda="13.0"), ask(), matrix, catalogue=catalogue)
    assert (found.images[0].variant, found.images[0].basis) == ("cu126", "minor-version")
    assert found.resolution.notes[0].evidence == (Evidence("driver CUDA version", "12.2", needs="12.6"),)


def test_the_same_question_has_the_same_answer(matrix, catalogue):
    one, two = (resolve_images(box("H100", "535.104.05"), ask(), matrix, catalogue=catalogue) for _ in range(2))
    assert one == two
