"""The matrix that ships: complete, and true where the wheels themselves were read."""

import json
import re
from pathlib import Path

import pytest

from provision.errors import InputError
from provision.matrix import default_matrix_path, read_matrix
from provision.matrix.model import numbers


@pytest.fixture(scope="module")
def matrix():
    return read_matrix()


def test_every_minor_is_there_and_every_release_has_a_cpu_build(matrix):
    minors = {row.key[:2] for row in matrix.releases}
    assert minors == {(2, minor) for minor in range(16)}
    assert all(row.variant("cpu") for row in matrix.releases)
    assert len(matrix.gpus) >= 147


def test_every_release_has_a_transformers_pair_on_each_of_its_pythons(matrix):
    from provision.resolve.candidates import newest_pair, python_name

    for release in matrix.releases:
        for tag in release.platform("linux_x86_64").pythons:
            assert newest_pair(matrix, release, python_name(tag), None), (release.version, tag)


@pytest.fixture(scope="module")
def sweep():
    path = Path(__file__).parents[3] / "benchmarks/companions/result.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_ranges_of_transformers_hold_what_ran_and_nothing_that_failed(matrix, sweep):
    ran = {(row["torch"], row["transformers"]): row["outcome"] for row in sweep["rows"]}
    for (torch, version), outcome in ran.items():
        if outcome in ("ok", "fails"):
            allowed = matrix.release(torch).companions.transformers
            assert allowed.holds(numbers(version)) is (outcome == "ok"), (torch, version, str(allowed))
    assert sum(outcome == "ok" for outcome in ran.values()) >= 30


def test_the_newest_transformers_of_every_torch_ran(matrix, sweep):
    from provision.resolve.candidates import newest_pair

    ran = {(row["torch"], row["transformers"]) for row in sweep["rows"] if row["outcome"] == "ok"}
    for release in {row.key[:2]: row for row in matrix.releases}.values():
        newest = ".".join(map(str, newest_pair(matrix, release, "3.11", None)))
        assert (release.version, newest) in ran, (release.version, newest)
        assert "run" in release.source


def test_releases_of_a_minor_share_their_range_of_transformers(matrix):
    ranges = {}
    for release in matrix.releases:
        ranges.setdefault(release.key[:2], set()).add(str(release.companions.transformers))
    assert {minor: found for minor, found in ranges.items() if len(found) > 1} == {}


@pytest.mark.parametrize(
    ("version", "held", "refused"),
    [
        ("2.0.1", (4, 49, 0), (4, 50, 0)),
        ("2.1.2", (4, 55, 4), (4, 56, 0)),
        ("2.1.2", (4, 51, 3), (4, 52, 1)),
        ("2.4.1", (4, 51, 3), (4, 52, 4)),
        ("2.4.1", (5, 13, 1), (5, 14, 0)),
        ("2.5.1", (5, 18, 0), (5, 19, 0)),
        ("2.6.0", (5, 20, 0), (5, 19, 0)),
        ("2.7.1", (5, 20, 1), (5, 20, 0)),
        ("2.7.1", (5, 19, 0), (5, 20, 0)),
    ],
)
def test_borders_of_transformers(matrix, version, held, refused):
    allowed = matrix.release(version).companions.transformers
    assert allowed.holds(held)
    assert not allowed.holds(refused)


@pytest.mark.parametrize(
    ("version", "x86_64", "aarch64"),
    [
        ("2.0.1", "cu117", "cpu"),
        ("2.4.1", "cu121", "cpu"),
        ("2.9.1", "cu128", "cpu"),
        ("2.11.0", "cu130", "cu130"),
        ("2.15.0", "cu132", "cu132"),
    ],
)
def test_defaults_of_the_general_index(matrix, version, x86_64, aarch64):
    release = matrix.release(version)
    assert release.platform("linux_x86_64").general_variant == x86_64
    assert release.platform("linux_aarch64").general_variant == aarch64
    assert release.platform("windows_x86_64").general_variant == "cpu"


def test_no_cuda_12_from_2_15_on(matrix):
    assert {row.name for row in matrix.release("2.15.0").variants} == {"cu130", "cu132", "cu134", "cpu"}
    assert matrix.release("2.15.0").variant("cu134").is_published("linux_x86_64") is None


def test_wheels_that_carry_no_local_label(matrix):
    assert matrix.release("2.5.1").variant("cu124").unlabelled_on == ("linux_aarch64",)
    assert matrix.release("2.6.0").variant("cpu").unlabelled_on == ("darwin_arm64",)


def test_the_one_wheel_of_2_6_that_needs_a_newer_glibc(matrix):
    variants = {row.name: dict(row.glibc) for row in matrix.release("2.6.0").variants if row.glibc}
    assert {name: str(glibc["linux_x86_64"]) for name, glibc in variants.items()} == {"cu126": "2.28"}


def test_the_file_is_small_and_speaks_of_itself_alone():
    text = default_matrix_path().read_text(encoding="utf-8")
    before_images = text.index("\ncontainers:")  # what a plan of wheels reads
    assert before_images < 192_000
    before_faults = text.index("\nxids:")  # what is read for an image
    assert before_images < before_faults < 222_000
    assert len(text) < 296_000
    addresses = set(re.findall(r"https?://[^\s/]+", text))
    assert addresses == {
        "https://download.pytorch.org",
        "https://developer.download.nvidia.com",
        "https://nvidia.github.io",
    }


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="found No such file or directory, expected a file that can be read"):
        read_matrix(tmp_path / "none.yaml")


def test_a_binary_file_is_an_input_error(tmp_path):
    (tmp_path / "m.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(InputError, match="byte 3: found bytes that are not UTF-8"):
        read_matrix(tmp_path / "m.yaml")
