"""Which wheel meets which build. Literals only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provision.install.availability import asked, choose_held, platforms_of
from provision.install.configuration import Location
from provision.install.listing import ListedFile
from provision.install.lookup import SourceAnswer
from provision.records import Build, Host, Source
from provision.versions import CudaVersion, Glibc

PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "linux_x86_64")


def build(torch="2.9.1", variant="cu128", python="3.11", *, general=False):
    cuda = CudaVersion.parse(variant) if variant != "cpu" else None
    index = f"https://torch/whl/{variant}"
    return Build(torch, variant, cuda, python, "tag", (f"torch=={torch}",), index, is_general_index_default=general)


def answer(name, *filenames, failure=None, **more):
    url = f"https://torch/whl/{more['variant']}" if name == "matrix" else f"https://{name}"
    source = Source("index", url, name=name, is_default=name == "general")
    files = tuple(ListedFile(item, f"https://f/{item}", is_yanked=more.get("yanked", False)) for item in filenames)
    return SourceAnswer(Location(source, url), files, failure)


def wheel(version, tag="cp311-cp311", platform="manylinux_2_28_x86_64"):
    return f"torch-{version}-{tag}-{platform}.whl"


def chosen(candidates, *answers):
    choice = choose_held(candidates, answers, platforms=PLATFORMS)
    return (choice.build.local_version, choice.wheel.filename, choice.location.source.name) if choice.build else None


@pytest.mark.parametrize(
    ("file", "meets"),
    [
        (wheel("2.9.1+cu128"), True),
        (wheel("2.9.1+cu130"), False),
        (wheel("2.9.1+cpu"), False),
        (wheel("2.9.1"), False),
        (wheel("2.9.2+cu128"), False),
        (wheel("2.9.1rc1+cu128"), False),
        (wheel("2.9.1+cu128", "cp310-cp310"), False),
        (wheel("2.9.1+cu128", "cp311-cp311", "linux_x86_64"), True),
        (wheel("2.9.1+cu128", "cp311-cp311", "manylinux_2_39_x86_64"), False),
        (wheel("2.9.1+cu128", "cp311-cp311", "manylinux_2_28_aarch64"), False),
        (wheel("2.9.1+cu128", "cp311-cp311", "win_amd64"), False),
        (wheel("2.9.1+cu128", "cp39-abi3"), True),
        (wheel("2.9.1+cu128", "cp311-cp311t"), False),
        ("torch-2.9.1+cu128.tar.gz", False),
        ("torch_other-2.9.1+cu128-cp311-cp311-linux_x86_64.whl", False),
        ("torch-nonsense.whl", False),
    ],
)
def test_wheel_of_the_users_index(file, meets):
    assert (chosen([build()], answer("mine", file)) is not None) == meets


@pytest.mark.parametrize(
    ("source", "general", "meets"),
    [
        (answer("matrix", wheel("2.9.1"), variant="cu128"), False, True),
        (answer("matrix", wheel("2.9.1"), variant="cpu"), True, False),
        (answer("general", wheel("2.9.1")), True, True),
        (answer("general", wheel("2.9.1")), False, False),
    ],
)
def test_wheel_without_a_label(source, general, meets):
    assert (chosen([build(general=general)], source) is not None) == meets


def test_same_kind_only():
    cpu = answer("mine", wheel("2.8.0+cpu"))
    cuda = answer("other", wheel("2.8.0+cu126"))
    mixed = [build(), build("2.8.0", "cpu"), build("2.8.0", "cu126")]
    assert chosen(mixed, cpu) is None
    assert chosen(mixed, cpu, cuda) == ("2.8.0+cu126", wheel("2.8.0+cu126"), "other")
    assert chosen([build("2.9.1", "cpu"), build("2.8.0", "cu126"), build("2.8.0", "cpu")], cuda) is None


def test_free_threaded_takes_its_own_abi_only():
    wanted = build(python="3.14t")
    assert (
        chosen([wanted], answer("mine", wheel("2.9.1+cu128", "cp314-cp314"), wheel("2.9.1+cu128", "cp39-abi3"))) is None
    )
    assert chosen([wanted], answer("mine", wheel("2.9.1+cu128", "cp314-cp314t")))
    assert chosen([build(python="3.14")], answer("mine", wheel("2.9.1+cu128", "cp314-cp314t"))) is None


def test_yanked_only_when_nothing_else():
    good, bad = wheel("2.9.1+cu128", platform="linux_x86_64"), wheel("2.9.1+cu128")
    yanked = ListedFile(bad, "https://f/x", is_yanked=True)
    base = answer("mine", good)
    assert chosen([build()], replace(base, files=(yanked, *base.files)))[1] == good
    assert chosen([build()], replace(base, files=(yanked,)))[1] == bad


def test_requires_python_of_a_patch_release():
    (file,) = answer("mine", wheel("2.9.1+cu128")).files
    base = answer("mine")
    assert chosen([build()], replace(base, files=(replace(file, requires_python=">=3.11.4"),)))
    assert chosen([build()], replace(base, files=(replace(file, requires_python="nonsense"),)))
    assert chosen([build()], replace(base, files=(replace(file, requires_python="<3.11"),))) is None


def test_first_source_that_holds_it():
    first, second = answer("near", wheel("2.9.1+cu128")), answer("far", wheel("2.9.1+cu128"))
    assert chosen([build()], first, second)[2] == "near"


def test_rejections_count_the_sources_and_the_answers_are_kept_apart():
    answers = (answer("mine", wheel("2.8.0+cu126")), answer("down", failure="silent for 10 s"), answer("empty"))
    choice = choose_held([build()], answers, platforms=PLATFORMS)
    assert choice.availability == "partly looked"
    (rejection,) = choice.rejections
    assert rejection.rule == "not-in-sources"
    assert rejection.found == "none of 3 sources holds it, 1 gave no answer"
    assert [(said.source.url, said.answer) for said in asked(answers)] == [
        ("https://mine", "1 torch wheel"),
        ("https://down", "silent for 10 s"),
        ("https://empty", "no torch"),
    ]
    assert choose_held([build()], answers[:1], platforms=PLATFORMS).availability == "not held"


def test_platforms_of_a_machine_that_is_not_this_one():
    host = Host(system="linux", arch="aarch64", glibc=Glibc(2, 28))
    tags = platforms_of(host)
    assert tags[0] == "manylinux_2_28_aarch64"
    assert tags[-1] == "linux_aarch64"
    assert tags.index("manylinux_2_17_aarch64") < tags.index("manylinux2014_aarch64")
    assert "manylinux_2_29_aarch64" not in tags
    assert platforms_of(Host(system="windows")) == ("win_amd64",)
    assert platforms_of(Host())[-1] == "linux_x86_64"
