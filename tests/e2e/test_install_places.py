"""Places that cannot hold an environment, for real: file systems that are mounted in a namespace of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
import index as bench_index

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
NAMESPACE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    try:
        subprocess.run([*NAMESPACE, "mount", "-t", "tmpfs", "t", "/mnt"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as err:
        pytest.skip(f"this user may not mount anything in a namespace of its own: {err}")
    site = tmp_path_factory.mktemp("site")
    tag = f"cp{PYTHON.replace('.', '')}"
    zeros = {f"torch/part{number}.bin": "0123456789abcdef" * 2**17 for number in range(4)}
    files = bench_index.torch_files("2.13.0+cpu", None) | zeros
    needs = ["filelock"]
    folder = site / "whl/cpu/torch"
    bench_index.make_wheel(folder, "torch", "2.13.0+cpu", f"{tag}-{tag}-linux_x86_64", files=files, requires=needs)
    for name, version in (("filelock", "3.15.0"), ("numpy", "2.1.0"), ("tokenizers", "0.22.0"), ("safetensors", "0.6")):
        bench_index.make_wheel(site / "general" / name, name, version)
    folder = site / "general/transformers"
    bench_index.make_wheel(folder, "transformers", "5.0.0", files=bench_index.BERT, requires=("numpy", "tokenizers"))
    bench_index.write_pages(site)
    return site


def install_on(tmp_path, options, site, backend, *, address, before="true"):
    """The finding of an install onto a mount with these options, and what is there afterwards."""
    place = tmp_path / "place"
    place.mkdir()
    words = [sys.executable, "-m", "provision", "install", "--cpu", "--torch", "2.13.0", "--python", PYTHON, "--json"]
    words += ["--env", str(place / "env"), "--torch-index", f"{address}/whl", "--backend", backend]
    script = 'mount -t tmpfs -o "$1" t "$2" && eval "$3"; shift 3; "$@"; code=$?; ls -A "$PLACE" >&2; exit $code'
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    environ |= {"PYTHONPATH": str(ROOT), "UV_DEFAULT_INDEX": f"{address}/general", "UV_NO_CONFIG": "1"}
    environ |= {"UV_CACHE_DIR": str(tmp_path / "cache"), "PIP_CONFIG_FILE": os.devnull, "PLACE": str(place)}
    environ |= {"XDG_CACHE_HOME": str(tmp_path / "own"), "PIP_CACHE_DIR": str(tmp_path / "pip")}
    command = [*NAMESPACE, "sh", "-c", script, "sh", options, str(place), before, *words]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    return done.returncode, document, done.stderr


@pytest.mark.parametrize(
    ("options", "before", "code"),
    [
        ("noexec", "true", "environment-not-executable"),
        ("size=8m", "mount -o remount,ro $PLACE", "environment-not-writable"),
        ("nr_inodes=30", "true", "disk-full"),
    ],
)
def test_place(tmp_path, site, options, before, code):
    with bench_index.serving(site) as (address, _):
        status, document, said = install_on(tmp_path, options, site, "uv", address=address, before=before)
    assert (status, document["findings"][0]["id"]) == (5, code), document["findings"]
    assert document["findings"][0]["do"]["safe"]
    assert ".part" not in said


@pytest.mark.parametrize("backend", ["uv", "pip"])
@pytest.mark.parametrize("size", ["256k", "4m"])
def test_disk_that_is_too_small(tmp_path, site, backend, size):
    """256 KiB is seen beforehand; 4 MiB fills while files are written, as the wheel is small and unpacks to more."""
    with bench_index.serving(site) as (address, _):
        status, document, said = install_on(tmp_path, f"size={size}", site, backend, address=address)
    assert (status, document["findings"][0]["id"]) == (5, "disk-full"), document["findings"]
    assert ".part" not in said
    assert " env" not in f" {said}".replace(str(tmp_path), "")


def test_pyenvs_pythons_answer(tmp_path):
    from provision.install.pythons import ask

    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    folders = [folder for folder in sorted(root.glob("3.*")) if (folder / "bin/python3").exists()]
    if not folders:
        pytest.skip("pyenv has no Python here")
    for folder in folders:
        answer = ask(str(folder / "bin/python3"), backend="pip")
        assert answer.failure is None, (folder, answer)
        assert answer.version == folder.name
        assert answer.tag == "cp" + "".join(folder.name.split(".")[:2])
