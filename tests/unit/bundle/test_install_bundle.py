"""Installs out of a bundle: only what this machine's own plan admits, only whole files, and never a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from install_orders import PYTHON

from provision.bundle.choose import Here, choose
from provision.bundle.manifest import read_manifest
from provision.bundling import newer_matrix, unpack
from provision.errors import ExitCode, InstallError, NoBuildError, NoUsableGpuError, UsageError
from provision.examined import Examined
from provision.pipeline import InstallOptions, install_plan, rehearse_install
from provision.records import Driver, Gpu, GpuState, Host, Interpreter, Machine, Request
from provision.versions import ComputeCapability, CudaVersion, DriverVersion, Glibc
from tests.bench.matrix import shipped

ROOT = Path(__file__).parents[3]
HERE = Machine(
    host=Host(system="linux", os="ubuntu", os_version="22.04", arch="x86_64", glibc=Glibc(2, 35)),
    python=Interpreter(sys.version.split()[0], executable=sys.executable),
)
GPU = Gpu(0, name="NVIDIA A100-SXM4-80GB", compute_capability=ComputeCapability(8, 0), memory_bytes=80 * 2**30)


def with_gpu(driver: str, cuda: str, *, state: GpuState = GpuState.USABLE) -> Machine:
    known = Driver(DriverVersion(driver), CudaVersion.parse(cuda))
    return replace(HERE, driver=known, gpus=(replace(GPU, in_nvml=True),), gpu_state=state)


def unpacked(folder: Path, machine: Machine = HERE, request: Request | None = None, name: str | None = None):
    return unpack(folder, name, Examined(machine, is_here=True), request or Request(), site="none")


# --- which plan -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("driver", "cuda", "chosen"), [("570.86.15", "12.8", "cu124"), ("470.161.03", "11.4", "cu118")]
)
def test_the_plan_that_the_driver_can_run_is_taken(mixed, driver, cuda, chosen):
    plan, _ = unpacked(mixed, with_gpu(driver, cuda))
    assert plan.build is not None
    assert plan.build.variant == chosen
    assert plan.resolution.candidates == (plan.build,)


def test_a_box_without_a_gpu_gets_the_cpu_plan(mixed):
    plan, _ = unpacked(mixed)
    assert plan.build is not None
    assert plan.build.variant == "cpu"


def test_a_cuda_build_that_the_driver_cannot_run_is_refused_by_its_rule(mixed):
    with pytest.raises(NoBuildError) as caught:
        unpacked(mixed, with_gpu("470.161.03", "11.4"), name="cu124")
    assert caught.value.code == "bundle-misfit"
    (why,) = caught.value.evidence
    assert why.name == "cu124: torch 2.4.1+cu124"
    assert str(why.value).startswith("driver-too-old: ")


def test_every_plan_is_told_with_its_rule_where_none_fits(mixed):
    with pytest.raises(NoBuildError) as caught:
        unpacked(mixed, with_gpu("390.157", "9.1"))
    told = {item.name.partition(":")[0]: str(item.value).partition(":")[0] for item in caught.value.evidence}
    assert told == {"cu118": "driver-too-old", "cu124": "driver-too-old", "cpu": "cpu-not-asked-for"}


def test_a_box_with_a_gpu_gets_a_cpu_plan_only_when_somebody_said_so(mixed):
    plan, _ = unpacked(mixed, with_gpu("570.86.15", "12.8"), Request(cpu=True))
    assert plan.build is not None
    assert plan.build.variant == "cpu"


def test_a_gpu_that_cannot_be_used_never_becomes_a_cpu_plan_in_silence(mixed):
    broken = with_gpu("570.86.15", "12.8", state=GpuState.UNUSABLE)
    with pytest.raises(NoUsableGpuError) as caught:
        unpacked(mixed, broken)
    assert caught.value.exit_code is ExitCode.NO_GPU
    plan, _ = unpacked(mixed, broken, Request(cpu=True))
    assert plan.build is not None
    assert plan.build.variant == "cpu"


def test_fewer_gpus_than_asked_for_is_exit_3(mixed):
    with pytest.raises(NoUsableGpuError):
        unpacked(mixed, request=Request(require_gpu=1))


def test_a_bundle_for_another_processor_an_older_glibc_or_another_python_says_which(bundle):
    for machine, rule, needs in (
        (replace(HERE, host=replace(HERE.host, arch="aarch64")), "another-architecture: aarch64", "x86_64"),
        (replace(HERE, host=replace(HERE.host, glibc=Glibc(2, 12))), "glibc-too-old: 2.12", "2.17 or newer"),
    ):
        with pytest.raises(NoBuildError) as caught:
            unpacked(bundle, machine)
        (why,) = caught.value.evidence
        assert (why.value, why.needs) == (rule, needs)
    with pytest.raises(InstallError) as caught:
        unpacked(bundle, replace(HERE, python=Interpreter("3.9.1", executable="/usr/bin/python3.9")))
    assert caught.value.code == "python-missing"
    assert f"Python {PYTHON} is not on this machine" in caught.value.happened
    assert caught.value.evidence[0].value == "3.9.1"


def test_musl_has_no_wheel_that_fits(bundle):
    manifest = read_manifest(bundle)
    here = Here(
        replace(HERE, host=replace(HERE.host, glibc=None)), ("musllinux_1_2_x86_64",), (), False, lambda _: None
    )
    with pytest.raises(NoBuildError) as caught:
        choose(manifest.plans, here, is_cpu_meant=lambda _: True)
    assert str(caught.value.evidence[0].value).startswith("wheel-does-not-fit: ")


def test_an_unknown_plan_names_those_that_are_there(mixed):
    with pytest.raises(UsageError, match="it holds cu118, cu124, cpu"):
        unpacked(mixed, name="gpu")


def test_the_newer_matrix_decides(bundle):
    manifest = read_manifest(bundle)
    older = replace(manifest, matrix=replace(manifest.matrix, read_on="2020-01-01"))
    newer = replace(manifest, matrix=replace(manifest.matrix, revision="2999.1.1", read_on="2999-01-01"))
    assert newer_matrix(bundle, older, "none").origin == newer_matrix(bundle, manifest, "none").origin
    assert newer_matrix(bundle, newer, "none").origin == str(bundle / "matrix.yaml")
    assert newer_matrix(bundle, newer, "none").revision == shipped().revision  # it is the same file here
    (bundle / "matrix.yaml").write_text("schema: none\n")
    with pytest.raises(InstallError) as caught:
        newer_matrix(bundle, newer, "none")
    assert caught.value.code == "bundle-damaged"


# --- the install ------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["uv", pytest.param("pip", marks=pytest.mark.e2e)])
def test_both_backends_install_from_the_bundle_alone(bundle, tmp_path, backend, bundle_server):
    plan, held = unpacked(bundle)
    options = InstallOptions(tmp_path / "env", backend, held=held)
    asked = len(bundle_server[1].requests)
    _, receipt = install_plan(plan, HERE, options, lambda _: None)
    assert len(bundle_server[1].requests) == asked
    assert {item.name for item in receipt.distributions} == {"filelock", "numpy", "tokenizers", "torch", "transformers"}
    assert {item.source for item in receipt.distributions} == {f"file://{bundle}/wheels"}
    assert all(item.passed for item in receipt.verified)
    assert dict(receipt.seconds).keys() == {"venv", "install", "verify"}


def test_a_second_install_reads_no_wheel_wherever_the_bundle_is_mounted(bundle, tmp_path):
    plan, held = unpacked(bundle)
    install_plan(plan, HERE, InstallOptions(tmp_path / "env", held=held), lambda _: None)
    shutil.move(bundle, tmp_path / "moved")
    for wheel in (tmp_path / "moved/wheels").iterdir():
        wheel.write_bytes(b"")
    plan, held = unpacked(tmp_path / "moved")
    _, receipt = install_plan(plan, HERE, InstallOptions(tmp_path / "env", held=held), lambda _: None)
    assert receipt.reused


def test_a_damaged_wheel_is_found_before_anything_is_made(bundle, tmp_path):
    path = next((bundle / "wheels").glob("numpy*"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    plan, held = unpacked(bundle)
    for act in (install_plan, rehearse_install):
        with pytest.raises(InstallError) as caught:
            act(plan, HERE, InstallOptions(tmp_path / "env", held=held), lambda _: None)
        assert caught.value.code == "bundle-damaged"
        assert caught.value.evidence[0].name == f"wheels/{path.name}"
    assert not (tmp_path / "env").exists()


def test_a_dry_run_says_what_would_be_run_and_changes_nothing(bundle, tmp_path):
    plan, held = unpacked(bundle)
    rehearsal = rehearse_install(plan, HERE, InstallOptions(tmp_path / "env", held=held), lambda _: None)
    assert [label for label, _ in rehearsal.steps] == ["venv", "install"]
    assert "--no-index" in rehearsal.steps[1][1]
    assert not (tmp_path / "env").exists()


def cuts_network() -> bool:
    try:
        return subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not cuts_network(), reason="a network namespace of one's own takes root or a user namespace")
def test_the_whole_command_works_without_a_network_and_with_an_empty_home(bundle, tmp_path):
    """The configuration names an index that nobody could reach anyway: a bundle asks none."""
    (tmp_path / "home").mkdir()
    environ = {"HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    environ |= {"GPUSETUP_SITE": "none", "UV_DEFAULT_INDEX": "http://192.0.2.1/simple"}
    command = ["unshare", "--net", sys.executable, "-m", "provision", "install", "--bundle", str(bundle), "--cpu"]
    done = subprocess.run(
        [*command, "--env", "env", "--json"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["data"]["build"]["variant"] == "cpu"
    code = "import torch, transformers; print(torch.__version__)"
    shown = subprocess.run([tmp_path / "env/bin/python", "-Ic", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "2.4.1+cpu\n"


def test_what_excludes_a_bundle_is_a_usage_error(bundle, capsys):
    from provision.cli import run

    for words in (["--torch", "2.9"], ["--python", "3.12"], ["--torch-index", "https://mirror.invalid/whl"]):
        assert run(["install", "--bundle", str(bundle), *words]) == 2
    assert "A bundle says what is installed" in capsys.readouterr().err
