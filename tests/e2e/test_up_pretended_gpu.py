"""`gpusetup up` on a pretended GPU box: fake NVML, local index of stub wheels, everything else real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import index as bench_index

ROOT = Path(__file__).parents[2]
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = bench_index.make_index(tmp_path_factory.mktemp("index"), pythons=(TAG,))
    for name, version in (("safetensors", "0.5.0"), ("nvidia-ml-py", "12.575.51")):
        bench_index.make_wheel(root / "general" / name, name, version)
    bench_index.write_pages(root)
    return root


@pytest.fixture
def gpusetup(site, tmp_path, fake_nvml):
    """Runs a command on the pretended box with only the local index in reach; returns (exit code, document)."""
    with bench_index.serving(site) as (address, _):

        def run(*words: str, profile: str | None = "h100-driver-535", general: str = "general", **overrides: object):
            environ = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "GPUSETUP_"))}
            environ |= fake_nvml(profile, **overrides) if profile else {}
            environ |= {
                "PIP_CONFIG_FILE": os.devnull,
                "PIP_INDEX_URL": f"{address}/{general}",
                "UV_NO_CONFIG": "1",
                "UV_CACHE_DIR": str(tmp_path / "uv-cache"),
                "GPUSETUP_TORCH_INDEX": f"{address}/whl",
                "HOME": str(tmp_path / "home"),
                "XDG_DATA_HOME": str(tmp_path / "data"),
                "PYTHONPATH": str(ROOT),
            }
            command = [sys.executable, "-m", "provision", *words, "--json"]
            done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
            assert "Traceback" not in done.stderr
            return done.returncode, json.loads(done.stdout)

        yield run


@pytest.mark.e2e
def test_a_build_is_installed_that_this_driver_runs(gpusetup, tmp_path):
    """535.104.05 implements CUDA 12.2: of the builds that the index holds the newest CUDA 12 one is right.

    The general index also has a 2.7.0 without a label that turns out to be another build than the matrix says.
    """
    code, receipt = gpusetup("install", "--env", str(tmp_path / "env"), "--python", PYTHON)
    assert code == 0, receipt["findings"]
    assert receipt["data"]["build"]["torch"] == "2.6.0"
    assert receipt["data"]["build"]["variant"] == "cu124"
    assert {v["id"]: v["passed"] for v in receipt["data"]["verified"]}["torch-cuda-version"]
    assert "wheel-is-another-build" in {p["rule"] for p in receipt["data"]["passed_over"]}
    assert (tmp_path / "env" / "bin" / "python").exists()


def test_the_plan_is_for_the_gpu_and_names_what_no_source_holds(gpusetup):
    code, plan = gpusetup("plan", "--check-sources", "--python", PYTHON)
    assert code == 0
    assert plan["data"]["availability"] == "held"
    assert plan["data"]["cuda_runtime_version"].startswith("12.")
    assert "not-in-sources" in {p["rule"] for p in plan["data"]["passed_over"]}
    too_new = [p for p in plan["data"]["passed_over"] if p["rule"] == "driver-too-old"]
    assert {p["variant"] for p in too_new} >= {"cu130", "cu132"}
    assert all(p["found"] == "535.104.05" for p in too_new)


def test_up_runs_through_the_install_and_never_calls_a_cpu_run_a_gpu(gpusetup, tmp_path):
    """The stub torch can't train: the report holds everything up to the receipt, and the harness says so."""
    code, report = gpusetup("up", "--env", str(tmp_path / "env"), "--python", PYTHON)
    assert code == 6
    assert report["data"]["machine"]["gpu_state"] == "usable"
    assert report["data"]["plan"]["variant"] == "cu124"
    assert report["data"]["receipt"]["build"]["variant"] == "cu124"
    assert report["data"]["acceptance"] is None


@pytest.mark.parametrize("command", ["up", "plan", "install"])
def test_library_and_kernel_module_that_disagree_stop_it_with_the_cause(gpusetup, tmp_path, command):
    overrides = {"err.nvmlInit": 18}
    words = ["--env", str(tmp_path / "env")] if command != "plan" else []
    code, document = gpusetup(command, *words, **overrides)
    assert code == 3
    assert document["findings"][0]["id"] == "driver.kmd_umd_match"
    data = document["data"]
    assert data is None or data["plan"] is None
    assert not (tmp_path / "env").exists()


def test_cpu_on_purpose_is_planned_on_a_broken_box(gpusetup):
    code, plan = gpusetup("plan", "--cpu", **{"err.nvmlInit": 18})
    assert code == 0
    assert plan["data"]["variant"] == "cpu"


def test_a_cuda_plan_never_takes_a_cpu_build(gpusetup, tmp_path):
    """Driver 450 runs CUDA 11 only; the index holds cu118 for 2.4.1 and 2.0.1, and CPU builds that must not count."""
    code, receipt = gpusetup(
        "install", "--env", str(tmp_path / "env"), "--python", PYTHON, driver="470.82.01", cuda=11040
    )
    assert code in (0, 4), receipt["findings"]
    assert receipt["data"] is None or receipt["data"]["build"]["variant"] == "cu118"


def test_nothing_in_reach_names_the_sources_that_were_asked(gpusetup, tmp_path):
    code, document = gpusetup(
        "install", "--env", str(tmp_path / "env"), "--torch", "2.14", "--python", PYTHON, general="nothing"
    )
    assert code == 4
    finding = document["findings"][0]
    assert finding["id"] == "not-in-sources"
    assert any("/whl/cu126" in str(item["name"]) for item in finding["evidence"])
    assert not (tmp_path / "env").exists()


def test_require_gpu_counts_the_pretended_gpus(gpusetup):
    assert gpusetup("detect", "--require-gpu=1")[0] == 0
    code, document = gpusetup("detect", "--require-gpu=2")
    assert code == 3
    assert "1 usable GPU here, 2 asked for" in document["findings"][0]["happened"]


@pytest.mark.e2e
def test_a_plan_file_for_cuda_is_installed_where_no_gpu_is(gpusetup, tmp_path):
    """An image is built on a machine without a GPU; a dead GPU under the same plan stops it."""
    words = ["--gpu", "NVIDIA H100 80GB HBM3", "--driver", "535.104.05", "--python", PYTHON, "--torch", "2.6"]
    code, plan = gpusetup("plan", *words)
    assert code == 0
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    install = ["install", str(tmp_path / "plan.json"), "--env", str(tmp_path / "env")]
    assert gpusetup(*install, **{"err.nvmlInit": 18})[0] == 3
    code, refused = gpusetup(*install, "--torch", "2.5")
    assert (code, refused["findings"][0]["id"]) == (2, "usage")
    code, receipt = gpusetup(*install, profile=None)
    assert code == 0, receipt["findings"]
    assert receipt["data"]["build"]["variant"] == "cu124"
