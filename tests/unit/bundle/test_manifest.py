"""Bundles that are not what they should be: every manifest is hostile, every file may be damaged."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from typing import TYPE_CHECKING

import index as bench_index
import pytest
from install_orders import TAG

from provision.bundle.manifest import FILENAME, damage_of, read_manifest
from provision.bundle.target import Target, arch_of, fits, glibc_of
from provision.bundle.verify import verify_bundle
from provision.cli import run
from provision.errors import InputError
from provision.versions import Glibc

if TYPE_CHECKING:
    from pathlib import Path

TORCH = f"wheels/torch-2.4.1+cpu-{TAG}-{TAG}-linux_x86_64.whl"
NUMPY = "wheels/numpy-2.1.0-py3-none-any.whl"


def changed(folder: Path, change) -> Path:
    """The manifest of a bundle with something changed in it."""
    path = folder / FILENAME
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return folder


def rewritten(folder: Path, path: str) -> None:
    """The manifest made to agree with a file that was changed: the change is not damage of that file then."""
    content = (folder / path).read_bytes()

    def change(document):
        row = next(row for row in document["files"] if row["path"] == path)
        row |= {"size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    changed(folder, change)


PATHS = ["../secret", "/etc/passwd", "wheels/../../secret", "a//b", "./a", "a/b/c/d/e", "a\\b", "a\nb", "", ".hidden"]
PATHS += ["wheels/", "x" * 300, "file:///etc/passwd", "wheels/a b.whl", FILENAME]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_out_of_the_bundle(bundle, path):
    changed(bundle, lambda document: document["files"][0].update(path=path))
    with pytest.raises(InputError) as caught:
        read_manifest(bundle)
    assert caught.value.code == "bundle-malformed"
    assert "files[0].path" in caught.value.happened


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("schema", lambda d: d.update(schema="gpusetup.bundle-manifest/2")),
        ("schema", lambda d: d.pop("schema")),
        ("plans", lambda d: d.update(plans=[])),
        ("plans", lambda d: d["plans"].append(d["plans"][0])),
        ("plans", lambda d: d.update(plans={})),
        ("plans[0].name", lambda d: d["plans"][0].update(name="../x")),
        ("plans[0].target.python", lambda d: d["plans"][0]["target"].update(python="3.11; rm")),
        ("plans[0].target.arch", lambda d: d["plans"][0]["target"].update(arch="sparc")),
        ("plans[0].target.glibc", lambda d: d["plans"][0]["target"].update(glibc="9.99")),
        ("plans[0].wheels[0].path", lambda d: d["plans"][0]["wheels"][0].update(path="wheels/other.whl")),
        ("plans[0].wheels[0].path", lambda d: d["plans"][0]["wheels"][0].update(path="matrix.yaml")),
        ("plans[0].wheels", lambda d: d["plans"][0]["wheels"].append(d["plans"][0]["wheels"][0])),
        ("plans[0]", lambda d: d["plans"][0].update(plan="plans/cpu/none.json")),
        ("hosts[0].requirements", lambda d: d["hosts"][0].update(requirements="/etc/shadow")),
        ("files[0].sha256", lambda d: d["files"][0].update(sha256="0" * 63)),
        ("files[0].size_bytes", lambda d: d["files"][0].update(size_bytes=-1)),
        ("files[0].size_bytes", lambda d: d["files"][0].update(size_bytes=2**50)),
        ("files[1].path", lambda d: d["files"].insert(0, d["files"][0])),
        ("files", lambda d: d.update(files=d["files"] * 2000)),
    ],
)
def test_a_manifest_that_nobody_wrote_is_refused_by_place(bundle, place, change, capsys):
    changed(bundle, change)
    assert run(["bundle", "verify", str(bundle), "--json"]) == 7
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["id"] == "bundle-malformed"
    assert place in finding["happened"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "[" * 100_000, "\xff\xfe", '{"schema": 1e999}', " " * (16 * 2**20 + 1)], ids=range(7)
)
def test_what_is_no_manifest_is_refused(bundle, text, capsys):
    (bundle / FILENAME).write_bytes(text.encode("latin-1"))
    assert run(["bundle", "verify", str(bundle)]) == 7
    assert "bundle-malformed" in capsys.readouterr().err


def test_a_manifest_that_is_a_link_a_pipe_or_absent_is_refused(bundle, tmp_path):
    shutil.move(bundle / FILENAME, tmp_path / "elsewhere.json")
    with pytest.raises(InputError, match=r"manifest\.json"):
        read_manifest(bundle)
    (bundle / FILENAME).symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(InputError, match=r"manifest\.json"):
        read_manifest(bundle)
    (bundle / FILENAME).unlink()
    os.mkfifo(bundle / FILENAME)
    with pytest.raises(InputError, match=r"manifest\.json"):
        read_manifest(bundle)


def test_every_kind_of_damage_is_found_and_named(bundle, capsys):
    (bundle / NUMPY).write_bytes(b"x" * (bundle / NUMPY).stat().st_size)
    (bundle / "matrix.yaml").write_text("schema: none\n")
    (bundle / "README.txt").unlink()
    (bundle / "extra.txt").write_text("hello")
    (bundle / "wheels/link.whl").symlink_to("/etc/passwd")
    (bundle / "more").mkdir()
    content = (bundle / "wheels/filelock-3.15.0-py3-none-any.whl").read_bytes()
    (bundle / "wheels/filelock-3.15.0-py3-none-any.whl").unlink()
    (bundle.parent / "same").write_bytes(content)
    (bundle / "wheels/filelock-3.15.0-py3-none-any.whl").symlink_to(bundle.parent / "same")
    assert run(["bundle", "verify", str(bundle), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    found = {item["path"]: item["found"] for item in document["data"]["damage"]}
    assert found.keys() == {
        NUMPY,
        "matrix.yaml",
        "README.txt",
        "extra.txt",
        "wheels/link.whl",
        "more",
        "wheels/filelock-3.15.0-py3-none-any.whl",
    }
    assert found["matrix.yaml"] == "13 bytes"
    assert found["README.txt"] == "No such file or directory"
    assert (found["extra.txt"], found["wheels/link.whl"], found["more"]) == ("a file", "a link", "a folder")
    (finding,) = document["findings"]
    assert finding["id"] == "bundle-damaged"
    assert {item["name"] for item in finding["evidence"]} == set(found)


def test_a_folder_that_is_a_link_is_not_followed(bundle, tmp_path):
    shutil.move(bundle / "wheels", tmp_path / "wheels")
    (bundle / "wheels").symlink_to(tmp_path / "wheels")
    manifest = read_manifest(bundle)
    damage = damage_of(bundle, manifest.by_path[NUMPY])
    assert damage is not None
    assert damage.found in {"Not a directory", "Too many levels of symbolic links"}


def test_a_list_that_lacks_something_is_found_by_what_the_wheels_say(bundle):
    def drop(document):
        document["plans"][0]["wheels"] = [w for w in document["plans"][0]["wheels"] if w["name"] != "tokenizers"]

    changed(bundle, drop)
    damage = verify_bundle(bundle)[1]
    assert [(item.path, item.found, item.expected) for item in damage] == [
        ("plans/cpu/pylock.toml", "no tokenizers", "tokenizers (transformers)")
    ]


def test_a_version_that_does_not_meet_a_requirement_is_found(bundle):
    path = bench_index.make_wheel(bundle / "wheels", "transformers", "5.0.0", requires=("numpy<2",))
    path.with_name(path.name + ".metadata").unlink()
    rewritten(bundle, f"wheels/{path.name}")
    damage = verify_bundle(bundle)[1]
    assert [(item.found, item.expected) for item in damage] == [("numpy 2.1.0", "numpy<2 (transformers)")]


def test_wheels_that_do_not_run_on_the_stated_target_are_found(bundle):
    changed(bundle, lambda document: document["plans"][0]["target"].update(python="3.9"))
    document = json.loads((bundle / "plans/cpu/plan.json").read_text())
    for place in (document["data"], document["data"]["build"]):
        place["python"] = "3.9"
    (bundle / "plans/cpu/plan.json").write_text(json.dumps(document))
    rewritten(bundle, "plans/cpu/plan.json")
    (damage,) = verify_bundle(bundle)[1]
    assert (damage.path, damage.found) == (TORCH, "a wheel for other machines")


def test_a_plan_of_another_build_is_found(bundle):
    changed(bundle, lambda document: document["plans"][0].update(variant="cu121"))
    (damage,) = verify_bundle(bundle)[1]
    assert damage.path == "plans/cpu/plan.json"
    assert "cu121" in damage.found


def test_a_wheel_that_is_no_archive_or_has_no_metadata_is_found(bundle):
    (bundle / NUMPY).write_bytes(b"not a zip")
    rewritten(bundle, NUMPY)
    assert [item.path for item in verify_bundle(bundle)[1]] == [NUMPY]
    with zipfile.ZipFile(bundle / NUMPY, "w") as archive:
        archive.writestr("numpy/__init__.py", "")
    rewritten(bundle, NUMPY)
    assert [item.found for item in verify_bundle(bundle)[1]] == ["it has no METADATA"]


def test_a_file_of_every_bundle_may_not_be_left_out_of_the_manifest(bundle):
    def drop(document):
        document["files"] = [row for row in document["files"] if row["path"] != "gpusetup"]

    changed(bundle, drop)
    assert {item.path for item in verify_bundle(bundle)[1]} == {"gpusetup"}


# --- targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "arch"),
    [
        ("cp311-cp311-manylinux_2_28_x86_64", "x86_64"),
        ("cp311-cp311-linux_aarch64", "aarch64"),
        ("cp311-cp311-win_amd64", None),
        ("cp311-none-macosx_11_0_arm64", None),
        ("cp311-cp311-linux_armv7l", None),
    ],
)
def test_the_processor_of_a_wheel_tag(tag, arch):
    assert arch_of(tag) == arch


@pytest.mark.parametrize(
    ("name", "glibc"),
    [
        ("a-1-cp311-cp311-manylinux_2_28_x86_64.whl", Glibc(2, 28)),
        ("a-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", Glibc(2, 17)),
        ("a-1-cp311-cp311-manylinux1_x86_64.whl", Glibc(2, 5)),
        ("a-1-cp311-cp311-linux_x86_64.whl", None),
    ],
)
def test_the_glibc_that_a_wheel_promises(name, glibc):
    assert glibc_of(name) == glibc


def test_a_target_takes_what_its_machine_takes_and_names_a_platform_that_uv_knows():
    target = Target("x86_64", "3.11", Glibc(2, 30))
    tags = target.tags
    assert fits("a-1-cp311-cp311-manylinux_2_30_x86_64.whl", tags)
    assert fits("a-1-cp38-abi3-manylinux2014_x86_64.whl", tags)
    assert not fits("a-1-cp311-cp311-manylinux_2_31_x86_64.whl", tags)
    assert not fits("a-1-cp311-cp311-manylinux_2_17_aarch64.whl", tags)
    assert not fits("a-1-cp312-cp312-manylinux_2_17_x86_64.whl", tags)
    assert not fits("nonsense.whl", tags)
    assert target.uv_platform == "x86_64-manylinux_2_28"
    assert Target("aarch64", "3.11", Glibc(2, 45)).uv_platform == "aarch64-manylinux_2_40"
    assert Target("x86_64", "3.11", Glibc(2, 12)).uv_platform == "x86_64-manylinux_2_17"
