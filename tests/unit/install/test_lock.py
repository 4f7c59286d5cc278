"""Locks: a real sample of uv's, broken ones, and what is asked of it. Literals only."""

from __future__ import annotations

import pytest

from provision.errors import InputError, InstallError
from provision.install.availability import tag_order
from provision.install.configuration import Location
from provision.install.lock import (
    check_lock,
    completed,
    parse_lock,
    pinned,
    project_text,
    render_pylock,
)
from provision.records import Build, HeldWheel, Source

ORDER = tag_order("3.11", ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "linux_x86_64"))
SHA = "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"
NUMPY = "numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"
HASHES = f"""hashes = {{ sha256 = "{"ab" * 32}" }}"""
FILE = "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"

# Written by uv 0.13 (`uv pip compile --format pylock.toml`), addresses changed; uv 0.8 leaves hashes of folders empty.
SAMPLE = f"""
lock-version = "1.0"
created-by = "uv"
requires-python = ">=3.11.7"

[[packages]]
name = "numpy"
version = "2.4.6"
wheels = [{{ url = "https://me:pw@files/ab/{NUMPY}", upload-time = 2026-05-18T23:33:29Z, size = 16918164, {HASHES} }}]

[[packages]]
name = "torch"
version = "2.13.0+cpu"
marker = "sys_platform != 'emscripten'"
wheels = [{{ url = "file:///wheels/torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", hashes = {{}} }}]
"""


def build(variant="cpu"):
    return Build("2.13.0", variant, None, "3.11", "tag", ("torch==2.13.0", "numpy"), "https://i")


def held(sha256=SHA):
    return HeldWheel(Source("flat", "file:///wheels"), FILE, sha256=sha256)


def sample():
    return parse_lock(SAMPLE, "pylock.toml", ORDER)


def test_sample_of_uv():
    numpy, torch = sample().wheels
    assert (numpy.name, numpy.version, numpy.size_bytes, numpy.source) == ("numpy", "2.4.6", 16918164, "https://files")
    assert "pw" not in numpy.url
    assert (torch.version, torch.filename, torch.sha256, torch.source) == ("2.13.0+cpu", FILE, None, "file:///wheels")
    assert sample().download_bytes is None


def test_facts_fill_what_is_open_and_the_rest_stays():
    lock = completed(sample(), {FILE: (SHA, 191794682)})
    assert lock.wheel("torch").sha256 == SHA
    assert lock.download_bytes == 191794682 + 16918164
    assert parse_lock(render_pylock(lock), "x", ORDER) == lock


def test_best_wheel_of_several():
    text = SAMPLE.replace(
        'wheels = [{ url = "file:///wheels/torch-2.13.0+cpu-cp311',
        'wheels = [{ url = "file:///w/torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl" },'
        ' { url = "file:///w/torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl" },'
        ' { url = "file:///wheels/torch-2.13.0+cpu-cp311',
    )
    assert parse_lock(text, "x", ORDER).wheel("torch").filename == FILE


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('"1.0"', '"2.0"', "lock: lock-version"),
        ("[[packages]]", "[[package]]", "lock: packages"),
        ('name = "torch"\n', "", "lock: packages[1].name"),
        ('version = "2.13.0+cpu"', "version = 2", "lock: packages[1].version"),
        ('url = "file', 'uri = "file', "lock: packages[1].wheels[0].url"),
        ("created-by", "= ", "lock"),
    ],
)
def test_broken_lock_names_the_place(old, new, place):
    with pytest.raises(InputError) as caught:
        parse_lock(SAMPLE.replace(old, new), "lock", ORDER)
    assert caught.value.evidence[0].source == place


def test_lock_must_hold_the_chosen_wheel():
    lock = completed(sample(), {FILE: (SHA, 1)})
    check_lock(lock, build(), held())
    for other in (held("00" * 32), HeldWheel(held().source, FILE.replace("cpu", "cu126"))):
        with pytest.raises(InstallError) as caught:
            check_lock(lock, build(), other)
        assert caught.value.code == "lock-mismatch"


def test_file_without_a_hash_is_refused():
    with pytest.raises(InstallError) as caught:
        check_lock(sample(), build(), held(None))
    assert caught.value.code == "hash-missing"


def test_cpu_environment_never_gets_cuda_libraries():
    text = SAMPLE.replace('name = "numpy"', 'name = "nvidia-cublas"').replace("numpy-2.4.6", "nvidia_cublas-2.4.6")
    lock = completed(parse_lock(text, "x", ORDER), {FILE: (SHA, 1)})
    with pytest.raises(InstallError) as caught:
        check_lock(lock, build(), held())
    assert caught.value.evidence[0].value == ("nvidia-cublas",)


def test_project_binds_torch_and_its_siblings_to_one_source():
    location = Location(Source("flat", "https://h/flat"), "https://me:secret@h/flat")
    requirements = pinned(("torch==2.13.0", "TorchVision>=0.2", "numpy"), held())
    assert project_text(requirements, location) == (
        '[project]\nname = "gpusetup-environment"\nversion = "0"\ndependencies = [\n'
        '  "torch==2.13.0+cpu",\n  "TorchVision>=0.2",\n  "numpy",\n]\n\n[tool.uv]\n\n'
        '[tool.uv.sources]\ntorch = { index = "gpusetup-torch" }\ntorchvision = { index = "gpusetup-torch" }\n\n'
        '[[tool.uv.index]]\nname = "gpusetup-torch"\nurl = "https://h/flat"\nexplicit = true\nformat = "flat"\n'
    )
    assert project_text(requirements, None).endswith("]\n\n[tool.uv]\n")
