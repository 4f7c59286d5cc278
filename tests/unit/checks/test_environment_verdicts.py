"""Borders of the checks of an environment, on pretended boxes."""

from __future__ import annotations

import json
import shutil

import pytest

from provision.checks.wheel_code import parse_arch_list
from tests.boxes.cases.python_packages import on
from tests.boxes.environments import Env, with_torch
from tests.boxes.healthy import cpu_only, h100x8, l40s, pci, rtx3090_p40, t4, v100

if shutil.which("gcc") is None:
    pytest.skip("the fake NVML needs gcc", allow_module_level=True)


def verdict(make, check, level="quick"):
    found = make().results(level)[check]
    return found.status, found.happened


def test_without_an_environment_nothing_is_judged():
    results = t4().answer("env.path", None).results()
    assert {results[one].status for one in results if one.startswith("wheel.")} == {"skip"}


def test_a_path_that_is_no_environment_fails_once():
    results = t4().answer("env.scan", {"failure": "/x is a file"}).results()
    told = {one: result.status for one, result in results.items() if one.startswith("wheel.")}
    assert told.pop("wheel.torch_present") == "fail"
    assert set(told.values()) == {"skip"}


def test_a_snapshot_without_the_scan_says_so():
    box = t4()
    del box.looks["answer", "env.scan"]
    assert verdict(lambda: box, "wheel.torch_present") == (
        "fail",
        "The environment could not be used: the environment is not in the snapshot.",
    )


@pytest.mark.parametrize(
    ("driver", "cuda", "variant", "status"),
    [
        ("580.65.06", 13000, "cu130", "pass"),
        ("580.65.05", 12090, "cu130", "fail"),
        ("525.60.13", 12000, "cu126", "pass"),
        ("525.60.11", 11080, "cu126", "fail"),
        # A compatibility package: the CUDA that answers is newer than the kernel driver's own.
        ("535.183.01", 13000, "cu130", "pass"),
        ("535.183.01", 12020, "cu126", "pass"),
    ],
)
def test_driver_floors(driver, cuda, variant, status):
    box = on(h100x8, lambda: with_torch("2.13.0", variant))().nvml(driver=driver, nvml=driver, cuda=cuda)
    assert verdict(lambda: box, "wheel.driver_floor")[0] == status


def test_a_cpu_build_that_was_asked_for_passes():
    env = with_torch("2.13.0", "cpu").receipt("2.13.0", "cpu", {})
    assert verdict(on(t4, env), "wheel.cuda_build") == (
        "pass",
        "torch 2.13.0+cpu is a CPU build, as it was asked for.",
    )
    # A receipt of a CUDA build excuses nothing.
    env = with_torch("2.13.0", "cpu").receipt("2.13.0", "cu126", {})
    assert verdict(on(t4, env), "wheel.cuda_build")[0] == "fail"


def test_a_cpu_build_on_a_box_that_is_meant_to_have_no_gpu():
    box = on(t4, with_torch("2.13.0", "cpu"))().given(declared=frozenset({"cpu-only"}))
    assert verdict(lambda: box, "wheel.cuda_build")[0] == "skip"


def test_a_cuda_build_without_a_gpu_is_no_fault():
    results = on(cpu_only, with_torch("2.13.0", "cu130"))().results()
    bad = [one for one in results if one.startswith("wheel.") and results[one].status in ("fail", "warn")]
    assert bad == []


def test_a_gpu_that_the_receipt_leaves_out_does_not_count():
    env = with_torch("2.9.1", "cu128")
    assert verdict(on(rtx3090_p40, env), "wheel.arch_list")[0] == "fail"
    env.receipt("2.9.1", "cu128", {}, gpus_left_out=[{"index": 1, "name": "Tesla P40"}])
    assert verdict(on(rtx3090_p40, env), "wheel.arch_list")[0] == "pass"


def test_a_build_that_nobody_has_read_is_unknown_until_it_is_asked():
    env = with_torch("2.13.0", "cu126", label="2.13.0a0+git1234")
    assert verdict(on(v100, env), "wheel.arch_list")[0] == "unknown"
    box = on(v100, env)().command("env.import", json.dumps({"seconds": 2.0, "arch": ["sm_70", "sm_80"]}) + "\n")
    assert verdict(lambda: box, "wheel.arch_list", "standard")[0] == "pass"


def test_remedies_of_a_build_without_code_name_builds_that_have_it():
    found = on(v100, with_torch("2.13.0", "cu130"))().results()["wheel.arch_list"]
    assert any("'torch==2.13.0' --index-url https://download.pytorch.org/whl/cu126" in one for one in found.risky)
    assert not any("cu130" in one or "cu129" in one for one in found.risky)


def test_words_of_an_arch_list():
    codes, exact, ptx = parse_arch_list(("sm_75", "sm_90a", "sm_100f", "sm_120", "compute_120", "gfx942"))
    assert [str(code) for code in codes] == ["7.5", "10.0", "12.0"]
    assert [str(code) for code in exact] == ["9.0"]
    assert [str(code) for code in ptx] == ["12.0"]


@pytest.mark.parametrize(("seconds", "status"), [(30.0, "pass"), (30.1, "warn")])
def test_how_long_an_import_may_take(seconds, status):
    box = l40s().command("env.import", json.dumps({"seconds": seconds, "arch": ["sm_80", "sm_90"]}) + "\n")
    assert verdict(lambda: box, "wheel.import_time", "standard")[0] == status


def test_an_import_that_was_never_tried_is_unknown():
    assert verdict(l40s, "wheel.import_time", "standard")[0] == "unknown"


@pytest.mark.parametrize(
    ("version", "status"),
    [("9.10.2.21", "pass"), ("9.11.0.98", "warn"), ("9.9.0.52", "fail"), ("10.0.0.1", "fail")],
)
def test_another_cudnn(version, status):
    env = with_torch("2.9.1", "cu128").without("nvidia-cudnn-cu12")
    env.dist("nvidia-cudnn-cu12", version, files={"nvidia/cudnn/lib/libcudnn.so.9": ""})
    assert verdict(on(l40s, env), "wheel.nvidia_deps")[0] == status


def test_packages_that_torch_does_not_use_are_no_drift():
    held = {"torch": "2.13.0+cu126", "torchvision": "0.28.0", "numpy": "2.3.4", "triton": "3.7.1"}
    env = with_torch("2.13.0", "cu126").dist("pandas", "2.3.1").dist("pip", "25.3").receipt("2.13.0", "cu126", held)
    assert verdict(on(l40s, env), "wheel.lock_drift") == (
        "pass",
        "All 4 packages are those of the receipt; 1 package came later.",
    )


def test_labels_of_the_general_index_tell_nothing_about_cuda():
    env = with_torch("2.9.1", "cu128").without("torchvision")
    env.dist("torchvision", "0.24.1+cu128", requires=("torch==2.9.1",))
    assert verdict(on(l40s, env), "wheel.ecosystem")[0] == "pass"


def test_an_artifact_that_the_receipt_does_not_name():
    stated = {"url": "file:///x.whl", "archive_info": {"hashes": {"sha256": "a" * 64}}}
    env = Env().dist(
        "torch", "2.13.0+cu126", direct_url=stated, files={"torch/version.py": "__version__ = '2.13.0+cu126'\n"}
    )
    env.receipt("2.13.0", "cu126", {"torch": "2.13.0+cu126"}, sha256="b" * 64)
    assert verdict(on(cpu_only, env), "wheel.provenance") == (
        "fail",
        "torch 2.13.0+cu126 came from another artifact than gpusetup's receipt names.",
    )


def test_a_build_of_conda_is_not_taken_for_one_of_the_index():
    env = with_torch("2.6.0", "cu126", label="2.6.0", kind="conda")
    path = next(path for path in env.files if path.endswith("torch-2.6.0+cu126.dist-info/INSTALLER"))
    env.file(path, "conda\n").remove("torch/lib")
    results = on(v100, env)().results()
    assert results["wheel.arch_list"].status == "unknown"
    assert {results[one].status for one in ("wheel.torch_present", "wheel.cuda_build", "wheel.provenance")} == {"pass"}
    assert results["wheel.glibc"].status == "skip"


def test_an_editable_torch_is_no_missing_one():
    stated = {"url": "file:///src/pytorch", "dir_info": {"editable": True}}
    env = Env().dist("torch", "2.13.0a0+git1234", direct_url=stated)
    results = on(l40s, env)().results()
    assert results["wheel.torch_present"].status == "pass"
    assert results["wheel.cuda_build"].status == "skip"


def test_what_people_add_to_an_environment_is_no_drift():
    env = with_torch("2.13.0", "cu126").dist("nvidia-ml-py", "13.615.71").dist("torchmetrics", "1.8.2")
    env.receipt(
        "2.13.0", "cu126", {"torch": "2.13.0+cu126", "torchvision": "0.28.0", "numpy": "2.3.4", "triton": "3.7.1"}
    )
    assert verdict(on(l40s, env), "wheel.lock_drift")[0] == "pass"


def test_a_host_that_has_given_its_gpus_away_needs_no_cuda_build():
    box = on(l40s, with_torch("2.13.0", "cpu"))()
    for place in ("0000:41:00.0", "0000:c1:00.0"):
        box.link(f"/sys/bus/pci/devices/{place}/driver", "../../../bus/pci/drivers/vfio-pci")
    box.nvml(count=0)
    assert verdict(lambda: box, "wheel.cuda_build")[0] == "pass"


def test_an_old_board_for_the_screen_is_no_concern_of_a_build():
    box = on(l40s, with_torch("2.13.0", "cu130"))()
    pci(box, "0000:02:00.0", "1b38", driver="nouveau")
    assert verdict(lambda: box, "wheel.arch_list")[0] == "pass"
