"""Whatever an index sends, an audit ends with a sentence or a row."""

from __future__ import annotations

import contextlib
import io

import index as bench_index
import pytest
from audit_site import PINS_2_9, row
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.audit.companion_rows import least
from provision.audit.metadata import environment_of, parse_metadata, pins_of
from provision.audit.model import UnreadableError
from provision.audit.reading import member_text
from provision.audit.wheels import current, platform_of, wheel_of
from provision.install.listing import ListedFile

X86 = "manylinux_2_28_x86_64"
NAME = f"torch-2.9.0-cp312-cp312-{X86}.whl"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    return bench_index.make_wheel(folder, "torch", "2.9.0", f"cp312-cp312-{X86}", requires=PINS_2_9).read_bytes()


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_archive_is_read_or_refused(data, content):
    start = data.draw(st.integers(0, len(content)))
    length = data.draw(st.integers(0, 40))
    damage = data.draw(st.binary(max_size=40))
    damaged = content[:start] + damage + content[start + length :]
    with contextlib.suppress(UnreadableError):
        member_text(io.BytesIO(damaged))


LINES = st.sampled_from(
    [
        *PINS_2_9,
        "nvidia-x~=1; python_version ~= 'x'",
        "triton; nonsense == 'x'",
        "triton==1.*",
        "cuda-x @ http://h/x",
        "[",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(LINES | st.text(max_size=40), max_size=5))
def test_any_requirements_are_read_or_refused(lines):
    wheel = wheel_of(ListedFile(NAME, "https://h/x"), "torch", "index")
    text = "\n".join(["Name: torch", "Version: 2.9.0", *(f"Requires-Dist: {line}" for line in lines)])
    with contextlib.suppress(UnreadableError):
        metadata = parse_metadata(text, wheel)
        for python in ("cp38", "cp313t", "py3", "cp39.cp310", "x"):
            assert isinstance(pins_of(metadata, "linux_x86_64", python), dict)


@given(st.text(max_size=60))
def test_any_file_name_is_a_wheel_or_none(text):
    for name in (text, f"torch-{text}.whl", f"torch-2.9.0-{text}-cp312-{X86}.whl"):
        wheel = wheel_of(ListedFile(name, "https://h/x"), "torch", "index")
        assert wheel is None or wheel.project == "torch"


@pytest.mark.parametrize(
    ("tag", "platform"),
    [
        ("manylinux1_x86_64", "linux_x86_64"),
        ("manylinux_2_17_aarch64.manylinux2014_aarch64", "linux_aarch64"),
        ("linux_x86_64", "linux_x86_64"),
        ("win_amd64", "windows_x86_64"),
        ("win_arm64", "windows_arm64"),
        ("macosx_11_0_arm64", "darwin_arm64"),
        ("macosx_10_9_x86_64", "darwin_x86_64"),
        ("any", "any"),
        ("musllinux_1_2_x86_64", "musllinux_1_2_x86_64"),
        ("plan9", "plan9"),
    ],
)
def test_platforms_have_our_names(tag, platform):
    assert platform_of(tag) == platform


def test_the_newest_rebuild_counts():
    names = (
        "torch-2.9.0-1-cp312-cp312-any.whl",
        "torch-2.9.0-cp312-cp312-any.whl",
        "torch-2.9.0-3-cp312-cp312-any.whl",
    )
    wheels = [wheel_of(ListedFile(name, "https://h/x"), "torch", "index") for name in names]
    assert [wheel.build for wheel in current(wheels)] == [(3, "")]


def test_of_nothing_but_yanked_wheels_they_count():
    wheel = wheel_of(ListedFile(NAME, "https://h/x", is_yanked=True), "torch", "index")
    assert current([wheel]) == (wheel,)


@pytest.mark.parametrize(
    ("text", "floor"),
    [(">=3.10.0", "3.10"), ("<4,>=3.8", "3.8"), ("==3.*", "3.0"), ("<4", None), (None, None), ("nonsense", None)],
)
def test_the_least_version_of_a_range(text, floor):
    assert least(text) == floor


def test_a_wheel_for_every_python_breaks_nothing(site):
    site.add("torch", "2.9.0", f"py3-none-{X86}", PINS_2_9)
    found = row(site.audit("2.9"), "torch.releases['2.9.0'].platforms.linux_x86_64.pythons")
    assert (found.verdict, found.index) == ("drift", "py3 cp312")


def test_markers_of_a_platform():
    assert environment_of("windows_x86_64", "cp312")["platform_machine"] == "AMD64"
    assert environment_of("darwin_arm64", "cp314t")["python_version"] == "3.14"
    assert environment_of("linux_aarch64", "cp38")["platform_machine"] == "aarch64"
