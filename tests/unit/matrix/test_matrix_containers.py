"""Images, JetPack releases and systems: what the tables hold, how they are read, how they are refused."""
# ruff: noqa: E501  cases stand on one line each

import re

import pytest
from matrix_mini import MINI

from provision.errors import InputError
from provision.matrix import containers as containers_module
from provision.matrix import load, load_matrix, read_matrix
from provision.versions import ComputeCapability, CudaVersion, Glibc

IMAGES = """\
containers:
  source: [notes]
  read_on: 2026-11-23
  run_flags: [--gpus all]
  ngc:
    reference: "example/pytorch:{tag}-py3"
    igpu_reference: "example/pytorch:{tag}-py3-igpu"
    rows:
      25.03: {torch: 2.7.0a0+7c8ec84dab, cuda: 12.8.1, python: 3.12, ubuntu: 24.04, least_capability: 7.5, branch: 570, on: [linux_x86_64], unverified: [cuda], source: [notes]}
      26.07: {torch: 2.13.0a0+9186a08b2c, cuda: null, python: null, ubuntu: null, least_capability: null, branch: null, on: [], source: [notes]}
  pytorch:
    reference: "pytorch/pytorch:{torch}-cuda{cuda}-cudnn{cudnn}-{flavour}"
    on: [linux_x86_64]
    devel_on_cuda_below: 2.10
    rows:
      2.9.0: {cudnn: 9, seen: [12.8], derived: [13.0]}
      2.10.0: {cudnn: 9, seen: [], derived: [13.0]}
  cuda_base:
    reference: "nvidia/cuda:{toolkit}-{flavour}-{os}"
    flavours: [base, runtime, devel]
    on: [linux_x86_64]
    override: -e NVIDIA_DISABLE_REQUIRE=1
    gated_classes: [geforce]
    gates:
      12.8: [470, 535]
    rows:
      12.8.1: {cudnn: cudnn, os: [ubuntu24.04]}
jetson:
  source: [notes]
  read_on: 2026-11-23
  index: https://example.com/jp/{folder}/pytorch/
  run_flags: [--runtime nvidia]
  rows:
    6.2: {l4t: [36.4.3], cuda: 12.6, ubuntu: 22.04, glibc: 2.35, python: 3.10, capabilities: [8.7], folder: v61, wheels: [2.5.0]}
    7.0: {l4t: [38.2.0, 38.2.1], cuda: 13.0, ubuntu: 24.04, glibc: 2.39, python: 3.12, capabilities: [11.0], wheels: []}
systems:
  source: [notes]
  read_on: 2026-11-23
  rows:
    DGX Spark: {gpu: A2, platform: linux_aarch64, os: DGX OS 7, ubuntu: 24.04, glibc: 2.39, branch: 580, first_cuda: 13.0, first_image: 25.09}
"""

WHOLE = MINI + IMAGES


@pytest.fixture(scope="module")
def shipped():
    return read_matrix().containers


def test_a_matrix_without_images_knows_none(mini):
    found = load_matrix(mini, origin="m.yaml").containers
    assert (found.ngc, found.hub, found.jetpacks, found.systems) == ((), (), (), ())
    assert found.jetpack_of("36.4.3") is None


def test_unknown_is_none_and_empty_is_empty():
    found = load_matrix(WHOLE, origin="m.yaml").containers
    assert [row.cuda for row in found.ngc] == [CudaVersion(12, 8), None]
    assert found.ngc[0].unverified == ("cuda",)
    assert found.ngc[1].least_capability is None
    assert found.ngc[1].on == ()
    assert found.gate(CudaVersion(12, 8)) == (470, 535)
    assert found.gate(CudaVersion(12, 9)) is None
    assert found.jetpacks[1].wheels == ()
    assert found.jetson_wheel_index(found.jetpacks[0]) == "https://example.com/jp/v61/pytorch/"
    assert found.jetson_wheel_index(found.jetpacks[1]) is None


BROKEN = [
    ("2.7.0a0+7c8ec84dab", "2.7.0+7c8;ec8", "containers.ngc.rows['25.03'].torch: found '2.7.0+7c8;ec8', expected a torch such as 2.14.0a0+b2c75dd062"),
    ("unverified: [cuda]", "unverified: [weather]", "containers.ngc.rows['25.03'].unverified[0]: found 'weather', expected one of torch, cuda, python, ubuntu, least_capability"),
    ('example/pytorch:{tag}-py3"', 'example/pytorch"', "containers.ngc.reference: found 'example/pytorch', expected text with {tag}"),
    ("      26.07: ", "      25.02: ", "containers.ngc.rows['25.02']: found 25.02 after a newer row, expected rows in ascending order"),
    ("derived: [13.0]}\n      2.10.0", "derived: [12.8]}\n      2.10.0", "containers.pytorch.rows['2.9.0']: found CUDA 12.8 in both seen and derived, expected one of them"),
    ("    gates:\n      12.8: [470", "    gates:\n      12.8: [R470", "containers.cuda_base.gates['12.8'][0]: found 'R470', expected a whole number above 0"),
    ("cudnn: cudnn, os", "cudnn: 9, os", "containers.cuda_base.rows['12.8.1'].cudnn: found '9', expected one of cudnn8, cudnn9, cudnn"),
    ("source: [notes]\n  read_on: 2026-11-23\n  index", "source: [gossip]\n  read_on: 2026-11-23\n  index", "jetson.source[0]: found 'gossip', expected a key of `sources`"),
    ("folder: v61, wheels: [2.5.0]", "folder: v61", "jetson.rows['6.2']: found no key 'wheels', expected the key wheels"),
    ("platform: linux_aarch64, os", "platform: riscv, os", "systems.rows['DGX Spark'].platform: found 'riscv', expected one of linux_x86_64, linux_aarch64, windows_x86_64, darwin_arm64, darwin_x86_64"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "message"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_field_is_named(right, wrong, message):
    assert right in WHOLE
    with pytest.raises(InputError) as caught:
        load_matrix(WHOLE.replace(right, wrong, 1), origin="m.yaml")
    assert re.sub(r" \(line \d+\)", "", caught.value.happened) == f"m.yaml: {message}"


def test_a_digest_is_one():
    with pytest.raises(InputError, match="expected a digest, sha256: and 64 hexadecimal digits"):
        load_matrix(WHOLE.replace("on: [], source", "on: [], digest: sha256:abc, source"), origin="m.yaml")


# --- late ---------------------------------------------------------------------------------------


def test_images_of_a_kept_tree_are_read_when_asked_for_and_once(tmp_path, monkeypatch):
    (tmp_path / "m.yaml").write_text(WHOLE, encoding="utf-8")
    monkeypatch.setattr(load, "default_matrix_path", lambda: tmp_path / "m.yaml")
    load.default_matrix(tmp_path / "cache")
    read = containers_module.read_containers
    calls = []
    monkeypatch.setattr(containers_module, "read_containers", lambda *args: calls.append(1) or read(*args))
    matrix = load.default_matrix(tmp_path / "cache")
    assert calls == []
    assert matrix.containers is matrix.containers
    assert calls == [1]
    assert [row.tag for row in matrix.containers.ngc] == ["25.03", "26.07"]


def test_a_fault_in_the_images_is_found_when_the_file_is_read(tmp_path):
    text = WHOLE.replace("l4t: [36.4.3]", "l4t: [R36]")
    line = text[: text.index("R36")].count("\n") + 1
    with pytest.raises(InputError, match=rf"jetson\.rows\['6\.2'\]\.l4t\[0\] \(line {line}\): found 'R36'"):
        load_matrix(text, origin="m.yaml")


# --- the file that ships ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("l4t", "jetpack", "cuda", "python"),
    [
        ("35.4.1", "5.1.2", "11.4", "3.8"),
        ("36.3.0", "6.0", "12.2", "3.10"),
        ("36.4.3", "6.2", "12.6", "3.10"),
        ("36.4.7", "6.2.1", "12.6", "3.10"),
        ("38.2.1", "7.0", "13.0", "3.12"),
        ("39.2.0", "7.2", "13.2", "3.12"),
    ],
)
def test_a_jetson_linux_belongs_to_a_jetpack(shipped, l4t, jetpack, cuda, python):
    row = shipped.jetpack_of(l4t)
    assert (row.version, str(row.cuda), row.python) == (jetpack, cuda, python)


def test_a_jetson_linux_that_nobody_knows_belongs_to_none(shipped):
    assert shipped.jetpack_of("40.1.0") is None


@pytest.mark.parametrize(
    ("cuda", "capability", "versions"),
    [("12.6", "8.7", ["6.1", "6.2", "6.2.1", "6.2.2", "6.2.3"]), ("13.0", "11.0", ["7.0", "7.1"]), ("13.0", "8.7", []), ("13.2", "8.7", ["7.2", "7.2.1"])],
)  # fmt: skip
def test_the_cuda_of_a_module_names_its_jetpacks(shipped, cuda, capability, versions):
    found = shipped.jetpacks_with(CudaVersion.parse(cuda), ComputeCapability.parse(capability))
    assert [row.version for row in found] == versions


def test_jetson_wheels_are_nvidias_own(shipped):
    row = shipped.jetpack_of("36.4.0")
    assert shipped.jetson_wheel_index(row) == "https://developer.download.nvidia.com/compute/redist/jp/v61/pytorch/"
    assert row.wheels == ("2.5.0a0+872d972e41.nv24.08.17622132",)
    assert shipped.jetpack_of("39.2.0").wheels is None


def test_dgx_spark_is_found_by_its_gpu(shipped):
    row = shipped.system_of("GB10 (DGX Spark)")
    assert (row.platform, row.branch, str(row.first_cuda), row.glibc) == ("linux_aarch64", 580, "13.0", Glibc(2, 39))
    assert shipped.system_of("H100 PCIe") is None


def test_rows_agree_with_the_other_tables():
    matrix = read_matrix()
    branches = {row.branch: row.cuda for row in matrix.branches}
    for image in matrix.containers.ngc:
        if image.cuda and image.branch:
            assert branches[image.branch] == image.cuda, image.tag
    for release in matrix.containers.hub:
        found = matrix.release(release.torch)
        names = {row.cuda for row in found.variants}
        assert names >= {*release.seen, *release.derived}, release.torch
    for system in matrix.containers.systems:
        assert any(row.name == system.gpu for row in matrix.gpus)
    known = {row.version for row in matrix.containers.jetpacks}
    assert {image.jetpack for image in matrix.containers.ngc if image.jetpack} <= known
