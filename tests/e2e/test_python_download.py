"""`--python-download` for real: uv fetches an interpreter, out of an archive that is made of one of this machine's."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
import index as bench_index

pytestmark = pytest.mark.e2e
OURS = sys.version_info[:2]


def interpreter_to_pack() -> Path:
    """The folder of another CPython of this machine whose parts all lie in one prefix."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for folder in sorted(root.glob("3.*"), reverse=True):
        match = re.fullmatch(r"3\.(\d+)\.\d+", folder.name)
        if match and int(match[1]) >= 10 and (3, int(match[1])) != OURS:
            return folder
    pytest.skip("pyenv has no second Python from 3.10 on, so there is nothing to make an archive of")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Version and download list of an archive in the form that uv unpacks."""
    source, folder = interpreter_to_pack(), tmp_path_factory.mktemp("archive")
    minor = source.name.rpartition(".")[0]
    path = folder / "python.tar.gz"

    def slim(item: tarfile.TarInfo) -> tarfile.TarInfo | None:
        unwanted = ("/test/", "/__pycache__/", "/site-packages/", "/idlelib/", "/config-")
        return None if any(part in f"/{item.name}/" for part in unwanted) else item

    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        tar.add(source / "bin", "python/bin", filter=slim)
        tar.add(source / f"lib/python{minor}", f"python/lib/python{minor}", filter=slim)
    major, minor_number, patch = (int(part) for part in source.name.split("."))
    arch = platform.machine()
    name = f"cpython-{source.name}-linux-{arch}-gnu"
    row = {"name": "cpython", "arch": {"family": arch, "variant": None}, "os": "linux", "libc": "gnu"}
    row |= {"major": major, "minor": minor_number, "patch": patch, "prerelease": "", "url": path.as_uri()}
    row |= {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "variant": None, "build": None}
    (folder / "downloads.json").write_text(json.dumps({name: row}))
    return minor, folder / "downloads.json"


def gpusetup(tmp_path, *words, **environ):
    return subprocess.run(
        [sys.executable, "-m", "provision", *words],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path / "home"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "UV_PYTHON_INSTALL_DIR": str(tmp_path / "pythons"),
            "UV_CACHE_DIR": str(tmp_path / "cache"),
            "UV_NO_CONFIG": "1",
            "PIP_CONFIG_FILE": os.devnull,
            "GPUSETUP_SITE": "none",
            **environ,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def words(tmp_path, archive):
    """An install of stub wheels for that Python, and the variables that name their sources."""
    python, listed = archive
    tag = f"cp{python.replace('.', '')}"
    site = tmp_path / "site"
    bench_index.make_torch(site / "whl/cpu/torch", "2.13.0+cpu", None, python=tag)
    for name, version in (("filelock", "3.15.0"), ("numpy", "2.1.0"), ("tokenizers", "0.22.0"), ("safetensors", "0.6")):
        bench_index.make_wheel(site / "general" / name, name, version)
    folder = site / "general/transformers"
    bench_index.make_wheel(folder, "transformers", "5.0.0", files=bench_index.BERT, requires=("numpy", "tokenizers"))
    bench_index.write_pages(site)
    words = ("install", "--cpu", "--torch", "2.13.0", "--python", python, "--env", str(tmp_path / "env"), "--json")
    environ = {"UV_PYTHON_DOWNLOADS_JSON_URL": str(listed), "UV_DEFAULT_INDEX": f"{site.as_uri()}/general"}
    return (*words, "--torch-index", f"{site.as_uri()}/whl"), environ


def test_up_to_the_environment(tmp_path, archive, words):
    """Stub wheels, a real interpreter: fetched, asked, the environment made from it; the second time it is there."""
    command, environ = words
    without = gpusetup(tmp_path, *command, **environ)
    assert without.returncode == 5, without.stderr
    assert json.loads(without.stdout)["findings"][0]["id"] == "python-missing"
    assert not (tmp_path / "pythons").exists()
    rehearsed = gpusetup(tmp_path, *command, "--dry-run", "--python-download", **environ)
    assert rehearsed.returncode == 0, rehearsed.stderr
    assert not (tmp_path / "pythons").exists()
    done = gpusetup(tmp_path, *command, "--python-download", **environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["data"]["environment"]["python"].startswith(f"{archive[0]}.")
    assert (tmp_path / "env/bin/python").resolve().is_relative_to(tmp_path / "pythons")
    assert not (tmp_path / "home/.local/bin").exists(), "no executable on PATH"
    again = gpusetup(tmp_path, *command, "--fresh", **environ)
    assert again.returncode == 0, "now it is there, so no option is needed"


def test_archive_that_is_another_one(tmp_path, archive, words):
    document = json.loads(archive[1].read_text())
    next(iter(document.values()))["sha256"] = "0" * 64
    (tmp_path / "downloads.json").write_text(json.dumps(document))
    command, environ = words
    environ = {**environ, "UV_PYTHON_DOWNLOADS_JSON_URL": str(tmp_path / "downloads.json")}
    done = gpusetup(tmp_path, *command, "--python-download", **environ)
    assert done.returncode == 5, done.stderr
    finding = json.loads(done.stdout)["findings"][0]
    assert finding["id"] == "python-download-failed"
    assert "ash mismatch" in json.dumps(finding)
    assert not (tmp_path / "env").exists()
