"""Bundles made of stand-in wheels: what is in them, what is shared, and what happens when a run is cut off."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import index as bench_index
import pytest
import uv
from bundle_plans import plan_of
from install_orders import PYTHON, build

from provision import __version__
from provision.bundle.create import create_bundle
from provision.bundle.download import DOWNLOADER
from provision.bundle.manifest import read_manifest
from provision.bundle.own import own_wheel
from provision.bundle.verify import verify_bundle
from provision.bundling import named_plans
from provision.errors import InstallError, NoBuildError, UsageError
from provision.install.configuration import read_configuration
from provision.install.toml import load_toml
from provision.versions import Glibc

ROOT = Path(__file__).parents[3]
WHEELS = ["filelock-3.15.0-py3-none-any.whl", "numpy-2.1.0-py3-none-any.whl", "tokenizers-0.22.0-py3-none-any.whl"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_bundle_holds_all_that_an_install_needs_and_is_whole(bundle_order):
    order = bundle_order()
    made = create_bundle(order)
    folder = order.output
    assert names(folder) == ["README.txt", "gpusetup", "manifest.json", "matrix.yaml", "plans", "tool", "wheels"]
    tag = f"cp{PYTHON.replace('.', '')}"
    torch = f"torch-2.4.1+cpu-{tag}-{tag}-linux_x86_64.whl"
    assert names(folder / "wheels") == [*WHEELS, torch, "transformers-5.0.0-py3-none-any.whl"]
    assert f"gpusetup-{__version__}-py3-none-any.whl" in names(folder / "tool")
    assert verify_bundle(folder) == (made.manifest, ())
    (plan,) = made.manifest.plans
    assert (plan.name, plan.torch, plan.variant) == ("cpu", "2.4.1", "cpu")
    assert plan.target.glibc == Glibc(2, 17)  # what the matrix has read of this release; the wheel's name says nothing
    assert not (folder.parent / "bundle.part").exists()


def test_the_lock_names_files_beside_it_and_uv_takes_it_as_it_is(bundle, tmp_path, bundle_server):
    lock = bundle / "plans/cpu/pylock.toml"
    paths = [package["wheels"][0]["path"] for package in load_toml(lock.read_text())["packages"]]
    assert all((lock.parent / path).is_file() for path in paths)
    asked = len(bundle_server[1].requests)
    subprocess.run([uv.find_uv_bin(), "venv", "-q", "--python", sys.executable, tmp_path / "bare"], check=True)
    command = [uv.find_uv_bin(), "pip", "install", "-q", "--offline", "--no-index", "--preview-features", "pylock"]
    subprocess.run([*command, "--python", tmp_path / "bare/bin/python", "-r", lock], check=True)
    assert len(bundle_server[1].requests) == asked


def test_plans_share_wheels_and_get_names_of_their_own(bundle_order):
    plans = [
        ("My Box", plan_of(build(variant="cu121"))),
        ("My Box", plan_of(build())),
        ("...", plan_of(build("2.0.1"))),
    ]
    order = bundle_order(*plans)
    made = create_bundle(order)
    assert [plan.name for plan in made.manifest.plans] == ["my-box", "my-box-2", "plan"]
    assert [plan.variant for plan in made.manifest.plans] == ["cu121", "cpu", "cpu"]
    shared = [{wheel.path for wheel in plan.wheels if "torch" not in wheel.path} for plan in made.manifest.plans]
    assert shared[0] == shared[1] == shared[2]
    assert verify_bundle(order.output)[1] == ()


def test_two_files_of_one_name_are_kept_apart(bundle_order, tmp_path):
    """A wheel that two sources publish under one name with other content, as torch has been, goes to its plan."""
    site = tmp_path / "other"
    for variant, shown in (("cu118", "2.0.1+cu118"), ("cpu", "2.0.1+cpu")):
        folder = site / variant / "torch"
        cuda = "11.8" if variant != "cpu" else None
        tag = f"cp{PYTHON.replace('.', '')}"
        bench_index.make_torch(folder, "2.0.1", cuda, python=tag, shown=shown)
    bench_index.write_pages(site)
    with bench_index.serving(site) as (address, _):
        first, second = (plan_of(build("2.0.1", variant)) for variant in ("cu118", "cpu"))
        here = read_configuration(torch_index=address)
        order = bundle_order(("one", first), ("two", second), configuration=here)
        manifest = create_bundle(order).manifest
    paths = [wheel.path for plan in manifest.plans for wheel in plan.wheels if wheel.name == "torch"]
    assert [path.rpartition("/")[0] for path in paths] == ["wheels", "plans/two/wheels"]
    assert verify_bundle(order.output)[1] == ()


@pytest.mark.e2e
def test_a_plan_for_another_processor_and_python_is_resolved_for_it(bundle_order, bundle_site):
    folder = bundle_site / "whl/cpu/torch"
    bench_index.make_torch(folder, "2.4.1+cpu", None, python="cp312", platform="manylinux_2_17_aarch64")
    native = bundle_site / "general/numpy"
    bench_index.make_wheel(native, "numpy", "2.2.0", "cp312-cp312-manylinux_2_28_aarch64")
    bench_index.make_wheel(native, "numpy", "2.1.5", "cp312-cp312-manylinux_2_17_aarch64")
    bench_index.write_pages(bundle_site)
    other = replace(build(), python="3.12", wheel_tag="cp312-cp312-manylinux_2_17_aarch64.manylinux2014_aarch64")
    order = bundle_order(("arm", plan_of(other)), host_pythons=("3.13",))
    (plan,) = create_bundle(order).manifest.plans
    assert str(plan.target) == "Linux aarch64, glibc 2.17 or newer, Python 3.12"
    versions = {wheel.name: wheel.version for wheel in plan.wheels}
    assert versions["numpy"] == "2.1.5"  # the newer one needs a newer glibc
    assert (order.output / "tool/requirements-3.13-aarch64.txt").is_file()
    newer = bundle_order(("arm", plan_of(other)), glibc=Glibc(2, 28), output=order.output.with_name("newer"))
    (plan,) = create_bundle(newer).manifest.plans
    assert {wheel.name: wheel.version for wheel in plan.wheels}["numpy"] == "2.2.0"
    for path in (*folder.glob("*aarch64*"), *native.glob("*aarch64*")):
        path.unlink()
    bench_index.write_pages(bundle_site)


@pytest.mark.e2e
def test_an_interrupted_run_is_gone_on_with(bundle_order, bundle_server):
    order, behaviour = bundle_order(), bundle_server[1]
    behaviour.faults["/general/transformers/transformers-5.0.0-py3-none-any.whl$"] = "break"
    with pytest.raises(InstallError) as caught:
        create_bundle(order)
    assert caught.value.code == "download-failed"
    assert "the answer broke off" in str(caught.value.evidence[0].value)
    part = order.output.with_name("bundle.part")
    assert not order.output.exists()
    whole = set(names(part / "wheels"))
    assert whole >= {WHEELS[0]}
    assert not [name for name in whole if name.endswith(".part")]
    (part / "wheels" / WHEELS[1]).write_bytes(b"half")  # a power cut leaves what nobody can rely on
    (part / "stray.txt").write_text("left over")
    behaviour.faults.clear()
    before = len(behaviour.requests)
    made = create_bundle(order)
    again = [path for path in behaviour.requests[before:] if path.endswith(".whl")]
    assert not [path for path in again if path.endswith(WHEELS[0])]
    assert [path for path in again if path.endswith(WHEELS[1])]
    assert made.kept >= 1
    assert verify_bundle(order.output)[1] == ()


def test_a_file_that_the_source_changed_is_refused(bundle_order, bundle_server):
    behaviour = bundle_server[1]
    behaviour.faults[f"/general/numpy/{WHEELS[1]}$"] = "another file"
    with pytest.raises(InstallError) as caught:
        create_bundle(bundle_order())
    assert caught.value.code == "hash-mismatch"
    assert str(caught.value.evidence[0].value).startswith("sha256 ")


def test_a_silent_source_is_named(bundle_order, bundle_server, monkeypatch):
    monkeypatch.setattr("provision.bundle.create._SILENCE_S", 0.2)
    bundle_server[1].faults[f"/general/filelock/{WHEELS[0]}$"] = "hang"
    with pytest.raises(InstallError) as caught:
        create_bundle(bundle_order())
    assert caught.value.evidence[0].value == "silent for 0.2 s"


@pytest.mark.e2e
def test_ctrl_c_does_not_wait_for_a_silent_source(bundle_order, bundle_server):
    bundle_server[1].faults[f"/general/filelock/{WHEELS[0]}$"] = "hang"
    order = bundle_order()
    filelock = order.output.with_name("bundle.part") / "wheels" / (WHEELS[0] + ".part")

    def interrupt() -> None:
        for _ in range(600):
            if filelock.exists():  # it is being waited for
                break
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        create_bundle(order)
    hanging = [thread for thread in threading.enumerate() if thread.name == DOWNLOADER]
    assert hanging  # it was not waited for
    assert all(thread.daemon for thread in hanging)


def test_a_place_that_cannot_be_written_to_is_named(bundle_order, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InstallError) as caught:
        create_bundle(bundle_order(output=tmp_path / "file/bundle"))
    assert caught.value.code == "bundle-not-written"
    assert caught.value.evidence[0].value == "Not a directory"


def test_sources_that_disagree_about_a_file_are_told(bundle_order, bundle_server, tmp_path, monkeypatch):
    bench_index.make_wheel(tmp_path / "more/numpy", "numpy", "3.0.0")
    bench_index.write_pages(tmp_path / "more")
    address = bundle_server[0]
    with bench_index.serving(tmp_path / "more") as (other, _):
        monkeypatch.setenv("UV_INDEX", other)
        made = create_bundle(bundle_order(configuration=read_configuration(torch_index=f"{address}/whl")))
    assert [(item.project, item.version, item.source) for item in made.conflicts] == [("numpy", "3.0.0", other)]


def test_a_login_of_the_source_counts_for_its_files_and_is_written_nowhere(bundle_order, bundle_server, monkeypatch):
    address, behaviour = bundle_server
    behaviour.login = ("me", "pass-word-1")
    host = address.replace("http://", "http://me:pass-word-1@")
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{host}/general")
    order = bundle_order(configuration=read_configuration(torch_index=f"{host}/whl"))
    create_bundle(order)
    texts = [path.read_bytes() for path in order.output.rglob("*") if path.is_file()]
    assert not [text for text in texts if b"pass-word-1" in text]


def test_nothing_that_is_there_is_touched(bundle_order, tmp_path):
    order = bundle_order()
    order.output.mkdir()
    with pytest.raises(UsageError, match="is there already"):
        create_bundle(order)
    other = bundle_order(output=tmp_path / "mine")
    (tmp_path / "mine.part").mkdir()
    (tmp_path / "mine.part/thesis.txt").write_text("years")
    with pytest.raises(UsageError, match="not of a bundle"):
        create_bundle(other)
    assert (tmp_path / "mine.part/thesis.txt").read_text() == "years"


def test_too_little_space_is_said_before_anything_is_downloaded(bundle_order, monkeypatch, bundle_server):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=1, used=1, free=1))
    with pytest.raises(InstallError) as caught:
        create_bundle(bundle_order())
    assert caught.value.code == "disk-full"
    assert caught.value.evidence[0].value == 1
    assert not [path for path in bundle_server[1].requests if path.endswith(".whl")]


def test_what_no_source_holds_is_exit_4(bundle_order):
    with pytest.raises(NoBuildError) as caught:
        create_bundle(bundle_order(("no", plan_of(build("2.9.0", requirements=())))))
    assert caught.value.code == "not-in-sources"
    with pytest.raises(NoBuildError) as caught:
        create_bundle(bundle_order(("yes", plan_of()), ("no", plan_of(build("2.9.0", requirements=())))))
    assert caught.value.evidence[0].value == "no"  # of several plans the one that can't be met is named


@pytest.mark.e2e
def test_a_python_that_cannot_start_gpusetup_is_left_out_or_an_error_when_asked_for(
    bundle_order, bundle_site, monkeypatch
):
    native = bench_index.make_wheel(bundle_site / "general/psutil", "psutil", "8.0", requires_python=">=3.11")
    only = bundle_site / "general/psutil/psutil-7.0-py3-none-any.whl"
    kept = only.read_bytes()
    only.unlink()
    bench_index.write_pages(bundle_site)
    try:
        monkeypatch.setattr("provision.bundle.create.HOST_PYTHONS", ("3.10", "3.12"))
        found = create_bundle(bundle_order(host_pythons=()))
        assert [host.python for host in found.manifest.hosts] == ["3.12"]
        assert [where for where, _ in found.hosts_left_out] == ["3.10 on x86_64"]
        order = bundle_order(host_pythons=("3.10",), output=bundle_order().output.with_name("other"))
        with pytest.raises(NoBuildError):
            create_bundle(order)
    finally:
        native.unlink()
        only.write_bytes(kept)
        bench_index.write_pages(bundle_site)


@pytest.mark.parametrize("python", ["3.9", "three", "3.13t", "3"])
def test_a_host_python_that_gpusetup_does_not_run_on_is_a_usage_error(bundle_order, python):
    with pytest.raises(UsageError, match=r"expected 3\.10 or newer"):
        create_bundle(bundle_order(host_pythons=(python,)))


def test_a_glibc_that_torch_does_not_run_on_is_a_usage_error(bundle_order):
    with pytest.raises(UsageError, match=r"needs 2\.17 or newer"):
        create_bundle(bundle_order(glibc=Glibc(2, 12)))


def test_a_plan_for_another_system_cannot_be_bundled(bundle_order):
    windows = replace(build(), wheel_tag=f"cp{PYTHON.replace('.', '')}-win_amd64")
    with pytest.raises(UsageError, match="bundles are for Linux"):
        create_bundle(bundle_order(("pc", plan_of(windows))))


def test_a_free_threaded_plan_needs_such_a_python_here(bundle_order, bundle_site):
    """The resolver can be told of any other Python, but not of these."""
    path = bench_index.make_torch(bundle_site / "whl/cpu/torch", "2.4.1+cpu", None, python="cp313")
    path.unlink()
    files = bench_index.torch_files("2.4.1+cpu", None)
    path = bench_index.make_wheel(path.parent, "torch", "2.4.1+cpu", "cp313-cp313t-linux_x86_64", files=files)
    bench_index.write_pages(bundle_site)
    try:
        with pytest.raises(InstallError) as caught:
            create_bundle(bundle_order(("ft", plan_of(replace(build(), python="3.13t")))))
    finally:
        path.unlink()
        bench_index.write_pages(bundle_site)
    assert caught.value.code == "python-missing"


def test_names_of_plans_are_plain():
    plans = [(stem, plan_of()) for stem in ("A b/c", "../../x", "-rf", "ß", "a-b-c")]
    assert [named.name for named in named_plans(plans)] == ["a-b-c", "x", "rf", "plan", "a-b-c-2"]


# --- gpusetup itself ----------------------------------------------------------------------------


def test_the_own_wheel_holds_what_the_build_backend_would_put_there(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = tmp_path.glob("*.whl")
    (tmp_path / "own.whl").write_bytes(own_wheel().content)
    theirs, ours = (set(zipfile.ZipFile(p).namelist()) for p in (built, tmp_path / "own.whl"))
    assert ours == theirs
    metadata = f"gpusetup-{__version__}.dist-info/METADATA"

    def needs(path: Path) -> set[str]:
        lines = zipfile.ZipFile(path).read(metadata).decode().splitlines()
        return {line.replace("'", '"') for line in lines if line.startswith(("Requires-Dist", "Name", "Version"))}

    unconditional = {line for line in needs(built) if "extra ==" not in line}
    assert {line.replace(" ", "").lower() for line in needs(tmp_path / "own.whl")} == {
        line.replace(" ", "").lower() for line in unconditional
    }


def test_an_installed_copy_makes_the_same_wheel_as_the_clone(tmp_path):
    """Also the copy of a copy: a machine that was installed from a bundle can make bundles."""
    first = own_wheel()
    (tmp_path / first.filename).write_bytes(first.content)
    with zipfile.ZipFile(tmp_path / first.filename) as archive:
        archive.extractall(tmp_path / "site-packages")
    again = own_wheel(tmp_path / "site-packages/provision")
    assert sorted(zipfile.ZipFile(tmp_path / first.filename).namelist()) == names_in(again.content)
    assert again.sha256 == first.sha256
    assert again.requirements == first.requirements


def names_in(content: bytes) -> list[str]:
    return sorted(zipfile.ZipFile(BytesIO(content)).namelist())


def test_without_files_or_metadata_it_is_said_clearly(tmp_path):
    with pytest.raises(InstallError) as caught:
        own_wheel(tmp_path / "app.pyz/provision")
    assert caught.value.code == "own-wheel-impossible"
    for name in ("provision", "harness"):
        (tmp_path / "site" / name).mkdir(parents=True)
        (tmp_path / "site" / name / "__init__.py").touch()
    with pytest.raises(InstallError) as caught:
        own_wheel(tmp_path / "site/provision")
    assert caught.value.code == "own-wheel-impossible"


def test_the_manifest_is_read_back_as_it_was_written(bundle):
    manifest = read_manifest(bundle)
    assert manifest.gpusetup == __version__
    document = json.loads((bundle / "manifest.json").read_text())
    assert document["schema"] == "gpusetup.bundle-manifest/1"
    assert len(document["files"]) == len(manifest.files) == sum(1 for p in bundle.rglob("*") if p.is_file()) - 1
