"""macOS is a plan target: CPU wheels, each for the release of macOS that its libraries were built for."""

import pytest
from resolve_boxes import ask, box

from provision.install.availability import platforms_of
from provision.records import Host
from provision.resolve import resolve


def mac(os_version=None, **more):
    return box(**{"system": "darwin", "arch": "arm64", "glibc": None, "os_version": os_version, **more})


def test_a_macos_that_is_too_old_is_told_and_what_would_admit_more(matrix, catalogue):
    resolution = resolve(mac("10.13"), ask(torch="2.11"), matrix, catalogue=catalogue)
    assert not resolution.candidates
    refused = [r for r in resolution.rejections if r.rule == "macos-too-old" and r.torch == "2.11.0"]
    assert [(r.found, r.needs) for r in refused] == [("macOS 10.13", "macOS 11.0 or newer")]
    assert [(u.change, u.from_, u.to, u.torch) for u in resolution.unlocks] == [
        ("os", "macOS 10.13", "macOS 11.0", "2.11.0")
    ]


@pytest.mark.parametrize(
    ("torch", "python", "arch", "tag"),
    [
        ("2.15.0", "3.14t", "arm64", "cp314-cp314t-macosx_14_0_arm64"),
        ("2.10.0", "3.13", "arm64", "cp313-none-macosx_11_0_arm64"),
        ("2.10.0", "3.14", "arm64", "cp314-cp314-macosx_14_0_arm64"),
        ("2.2.2", "3.11", "x86_64", "cp311-none-macosx_10_9_x86_64"),
    ],
)
def test_the_wheel_is_named_as_it_is_published(torch, python, arch, tag, matrix, catalogue):
    build = resolve(mac(python=python, arch=arch), ask(torch=torch), matrix, catalogue=catalogue).chosen
    assert build.wheel_tag == tag
    assert build.is_unlabelled
    assert build.is_general_index_default


def test_what_is_not_known_is_assumed_and_told(matrix, catalogue):
    assumptions = resolve(mac(arch=None), ask(), matrix, catalogue=catalogue).assumptions
    assert "The processor architecture is not known: arm64 is assumed." in assumptions
    assert any(line.startswith("The release of macOS is not known") for line in assumptions)


@pytest.mark.parametrize("text", ["Sonoma", "14.x", "", "99999.1"])
def test_a_release_that_is_no_number_is_unknown(text, matrix, catalogue):
    assert resolve(mac(text), ask(), matrix, catalogue=catalogue).chosen.torch == "2.15.0"


def test_a_wheel_for_an_older_macos_runs_on_a_newer_one():
    tags = platforms_of(Host(system="darwin", arch="aarch64", os_version="13.6"))
    assert tags[0] == "macosx_13_0_arm64"
    assert "macosx_11_0_arm64" in tags
    assert "macosx_14_0_arm64" not in tags
    assert "macosx_10_9_x86_64" in platforms_of(Host(system="darwin", arch="x86_64", os_version="10.13"))
    assert "macosx_14_0_arm64" in platforms_of(Host(system="darwin"))
