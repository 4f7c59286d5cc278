"""`--locked`: which build a lock is for, where its files are, what a hostile lock meets."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from install_orders import PYTHON, TAG, build
from packaging.tags import platform_tags

from provision.errors import ExitCode, InputError, InstallError, NoBuildError
from provision.install.apply import LOCK_FILENAME, install
from provision.install.availability import platforms_of, tag_order
from provision.install.configuration import read_configuration
from provision.install.lock import Target, parse_lock
from provision.install.locked import given_lock, is_placeholder
from provision.records import Host, Rejection

PLATFORMS = tuple(platform_tags())
EMPTY = {"PIP_CONFIG_FILE": "/dev/null", "UV_NO_CONFIG": "1"}


_TEXTS: dict[str, str] = {}


@pytest.fixture
def kept(order, tmp_path, server):
    """Text of the lock that an installation kept, with the addresses of this test's server."""
    if "text" not in _TEXTS:
        install(order())
        _TEXTS["text"] = (tmp_path / "env" / LOCK_FILENAME).read_text().replace(server[0], "SERVER")
    server[1].requests.clear()
    return _TEXTS["text"].replace("SERVER", server[0])


def given(text, *candidates, rejections=()):
    return given_lock(text, "lock.toml", candidates or (build(),), rejections, platforms=PLATFORMS)


@pytest.fixture
def locked_order(order, tmp_path):
    """A function that orders a lock on "another machine": no general index unless `values` name one."""

    def make(text, values=None, folder=None, **more):
        found = given(text)
        wanted = order(found.build, env=tmp_path / "other", digest=found.digest, **more)
        return replace(
            wanted,
            lock=found.lock,
            is_lock_from_elsewhere=True,
            lock_folder=folder or tmp_path / "nowhere",
            configuration=read_configuration({**EMPTY, **(values or {})}),
        )

    return make


def hashes(receipt):
    return [(item.name, item.version, item.sha256) for item in receipt.distributions]


# --- which build ----------------------------------------------------------------------------------


def test_the_lock_says_what_it_is_for(kept):
    target = given(kept).lock.target
    assert (target.torch, target.variant, target.python) == ("2.4.1", "cpu", PYTHON)
    assert target.platform.startswith("linux_")
    assert target.gpusetup


def test_any_build_that_the_plan_admits_will_do(kept):
    assert given(kept, build("2.9.0"), build()).build == build()


def test_a_build_that_the_plan_refuses_names_the_rule(kept):
    rule = Rejection("2.4.1", "cpu", "driver-too-old", "470.82", "450.80.02 or newer", python=PYTHON)
    with pytest.raises(InstallError) as caught:
        given(kept, build("2.9.0"), rejections=(rule,))
    assert caught.value.code == "lock-mismatch"
    named = [(item.name, item.value, item.needs) for item in caught.value.evidence]
    assert named == [
        ("lock", f"torch 2.4.1+cpu for Python {PYTHON}", f"torch 2.9.0+cpu for Python {PYTHON}"),
        ("driver-too-old", "470.82", "450.80.02 or newer"),
    ]


def test_a_lock_that_lies_about_its_build(kept):
    with pytest.raises(InstallError) as caught:
        given(kept.replace('variant = "cpu"', 'variant = "cu121"'), build(variant="cu121"))
    assert caught.value.code == "lock-mismatch"


def test_a_lock_without_a_target_is_told_by_its_torch(kept):
    bare = kept[: kept.index("[tool.gpusetup]")] + kept[kept.index("[[packages]]") :]
    assert given(bare, build("2.9.0"), build()).build == build()
    with pytest.raises(InstallError, match="not one of this plan"):
        given(bare, build(variant="cu121"))


def test_files_for_another_python_are_named_with_their_tags(kept):
    other = kept.replace(f"{TAG}-{TAG}", "cp38-cp38")
    with pytest.raises(InstallError) as caught:
        given(other)
    assert caught.value.code == "lock-not-for-this-machine"
    (item,) = caught.value.evidence
    assert item.name == "torch-2.4.1+cpu-cp38-cp38-linux_x86_64.whl"
    assert item.value == "cp38-cp38-linux_x86_64"
    assert str(item.needs).startswith(TAG)


# --- where the files are --------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["uv", pytest.param("pip", marks=pytest.mark.e2e)])
def test_on_another_machine_the_stated_addresses_will_do(kept, locked_order, server, tmp_path, backend):
    server[1].requests.clear()
    receipt = install(locked_order(kept, backend=backend))
    assert not [path for path in server[1].requests if path.endswith("/")], "no project page is asked for"
    assert dict(receipt.seconds).keys() == {"look", "venv", "install", "verify"}
    text = (tmp_path / "other" / LOCK_FILENAME).read_text()
    assert given(text).digest == given(kept).digest


def test_the_second_time_nothing_is_done(kept, locked_order, server):
    first = install(locked_order(kept))
    server[1].requests.clear()
    again = install(locked_order(kept))
    assert (first.reused, again.reused, server[1].requests) == (False, True, [])


def test_placeholders_are_looked_up_by_name_and_hash(kept, locked_order, server):
    address, _ = server
    values = {"UV_DEFAULT_INDEX": f"{address}/general", "GPUSETUP_TORCH_INDEX": f"{address}/whl"}
    text = kept.replace(f"{address}/general", "https://INDEX/simple").replace(f"{address}/whl", "https://TORCH-INDEX")
    assert address not in text
    receipt = install(locked_order(text, values))
    assert hashes(receipt) == [(wheel.name, wheel.version, wheel.sha256) for wheel in given(kept).lock.wheels]


def test_a_configured_mirror_comes_before_the_stated_address(kept, locked_order, server, site):
    server[1].faults["/"] = 404
    values = {"UV_DEFAULT_INDEX": f"{site.as_uri()}/general", "GPUSETUP_TORCH_INDEX": f"{site.as_uri()}/whl"}
    receipt = install(locked_order(kept, values))
    assert {item.source.partition(":")[0] for item in receipt.distributions} == {"file"}


def test_a_folder_is_a_source_like_any(kept, locked_order, server, site, tmp_path):
    folder = tmp_path / "links"
    folder.mkdir()
    for path in site.rglob("*.whl"):
        if not path.name.startswith("torch") or "whl/cpu" in path.as_posix():
            shutil.copy(path, folder)
    server[1].faults["/"] = 404
    receipt = install(locked_order(kept, {"UV_FIND_LINKS": str(folder), "PIP_NO_INDEX": "1"}))
    assert {item.source for item in receipt.distributions} == {folder.as_uri()}


def test_files_beside_the_lock_need_no_source(kept, locked_order, server, site, tmp_path):
    folder = tmp_path / "stick"
    folder.mkdir()
    for path in [*site.glob("general/*/*.whl"), *site.glob("whl/cpu/*/*.whl")]:
        shutil.copy(path, folder)
    server[1].faults["/"] = 404
    receipt = install(locked_order(kept.replace("http://", "https://ELSEWHERE/"), folder=folder))
    assert {item.source for item in receipt.distributions} == {folder.as_uri()}


def test_what_no_source_holds_is_named_with_its_hash(kept, locked_order, server, site, tmp_path):
    text = kept.replace(f"{server[0]}/general/numpy", "https://INDEX/numpy")
    with pytest.raises(NoBuildError) as caught:
        install(locked_order(text, {"UV_DEFAULT_INDEX": f"{site.as_uri()}/whl/cu118"}))
    assert caught.value.code == "not-in-sources"
    assert caught.value.evidence[0].name == "numpy-2.1.0-py3-none-any.whl"
    assert str(caught.value.evidence[0].needs).startswith("sha256 ")
    assert not (tmp_path / "other").exists()


def test_a_file_of_the_same_name_with_other_bytes_is_not_the_file(kept, locked_order, site, tmp_path, server):
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "numpy-2.1.0-py3-none-any.whl").write_bytes(b"PK")
    receipt = install(locked_order(kept, {"UV_FIND_LINKS": str(folder)}))
    assert next(item.source for item in receipt.distributions if item.name == "numpy") == server[0]


@pytest.mark.parametrize("stated", ["file:///etc/passwd/{}", "file://host/share/{}", "file:///../../{}"])
def test_a_path_of_another_machine_is_no_address_here(kept, locked_order, server, stated, tmp_path):
    old = f"{server[0]}/general/numpy/numpy-2.1.0-py3-none-any.whl"
    text = kept.replace(old, stated.format("numpy-2.1.0-py3-none-any.whl"))
    assert text != kept
    with pytest.raises(NoBuildError):
        install(locked_order(text))
    values = {"UV_DEFAULT_INDEX": f"{server[0]}/general"}
    assert not install(locked_order(text, values)).reused


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://INDEX/files/a.whl", True),
        ("https://YOUR-MIRROR:8080/files/a.whl", True),
        ("https://<index>/a.whl", True),
        ("https://${HOST}/a.whl", True),
        ("https://index.example/a.whl", True),
        ("https://download.pytorch.org/a.whl", False),
        ("http://127.0.0.1:8000/a.whl", False),
        ("http://mirror/a.whl", False),
        ("file:///srv/a.whl", False),
    ],
)
def test_placeholders(address, expected):
    assert is_placeholder(address) == expected


# --- hostile locks --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('lock-version = "1.0"', "lock-version = "),
        ('lock-version = "1.0"', "x = " + "[" * 100_000),
        ('lock-version = "1.0"', "x = " + "9" * 10_000),
        ("[tool.gpusetup]", "[tool]\ngpusetup = 3\n[x]"),
        ('variant = "cpu"', "variant = 3"),
        ('name = "numpy-2.1.0-py3-none-any.whl"', 'name = "../../numpy-2.1.0-py3-none-any.whl"'),
        ('name = "numpy-2.1.0-py3-none-any.whl"', 'name = "torch-2.1.0-py3-none-any.whl"'),
        ('name = "numpy-2.1.0-py3-none-any.whl"', 'name = "numpy-2.1.0-py3-none-any.tar.gz"'),
        ('name = "numpy-2.1.0-py3-none-any.whl"', r'name = "numpy-2.1.0-py3-none-any.whl\u001b[2J"'),
        ('name = "numpy-2.1.0-py3-none-any.whl", url = "http', 'name = "numpy-2.1.0-py3-none-any.whl", url = "ftp'),
        ('name = "numpy-2.1.0-py3-none-any.whl", url = "http://', 'name = "numpy-2.1.0-py3-none-any.whl", url = "http://['),
        ('sha256 = "', 'sha256 = "zz'),
        ("size = ", "size = -"),
        ('name = "filelock"', 'name = "numpy"'),
        ("[[packages]]", "[packages]"),
    ],
)  # fmt: skip
def test_hostile_locks_are_refused_with_their_place(kept, old, new):
    assert old in kept
    with pytest.raises(InputError) as caught:
        given(kept.replace(old, new, 1))
    assert (caught.value.code, caught.value.exit_code) == ("lock-malformed", ExitCode.BAD_INPUT)
    assert str(caught.value.evidence[0].source).startswith("lock.toml")


def test_a_lock_without_hashes_is_refused(kept, locked_order):
    import re

    text = re.sub(r"hashes = \{.*?\}", "hashes = {}", kept)
    with pytest.raises(InstallError) as caught:
        install(locked_order(text))
    assert caught.value.code == "hash-missing"


def test_a_lock_with_too_many_packages(kept):
    head, package = kept.split("[[packages]]")[:2]
    with pytest.raises(InputError, match="packages"):
        given(head + f"[[packages]]{package}" * 5_001)


def test_the_example_names_no_registry_and_is_a_whole_lock():
    path = Path(__file__).parents[3] / "docs/examples/pylock.gpusetup.toml"
    lock = parse_lock(path.read_text(), str(path), tag_order("3.11", platforms_of(Host(arch="x86_64"))))
    assert lock.target == Target("2.13.0", "cpu", "3.11", "linux_x86_64", "0.1.0", lock.target.matrix_revision)
    assert len(lock.wheels) == 34
    assert all(is_placeholder(wheel.url) and wheel.sha256 and wheel.index is None for wheel in lock.wheels)
