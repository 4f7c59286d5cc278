"""Preference, requests and unlocks."""
# ruff: noqa: E501  cases stand on one line each

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resolve_boxes import applied, ask, box

from provision.errors import ExitCode, UsageError
from provision.records import Gpu, GpuState, Interpreter
from provision.resolve import Catalogue, preferred_by, resolve
from provision.resolve.candidates import code_for, newest_pair, python_tag
from provision.versions import DriverVersion
from tests.bench.matrix import shipped

MATRIX = shipped()
CATALOGUE = Catalogue(MATRIX)


def chosen(machine, **words):
    build = resolve(machine, ask(**words), MATRIX, catalogue=CATALOGUE).chosen
    return build and f"{build.local_version} {build.python}"


# --- preference ---------------------------------------------------------------------------------


def test_native_cuda_comes_before_a_higher_one_and_the_newest_torch_before_both():
    resolution = resolve(box("H100", "580.65.06"), ask(), MATRIX, catalogue=CATALOGUE)
    assert [build.local_version for build in resolution.candidates[:5]] == [
        "2.15.0+cu130",
        "2.15.0+cu132",
        "2.14.1+cu130",
        "2.14.1+cu126",
        "2.14.1+cu132",
    ]
    behind = [no for no in resolution.rejections if no.rule == "native-cuda"]
    assert [(no.torch, no.variant) for no in behind] == [("2.15.0", "cu132")]


def test_why_a_build_that_fits_stands_behind():
    builds = resolve(box("H100", "580.65.06", others=("3.13",)), ask(), MATRIX, catalogue=CATALOGUE).candidates
    named = {f"{build.local_version} {build.python}": preferred_by(builds[0], build) for build in builds[1:]}
    assert named["2.15.0+cu130 3.13"] == "preferred-python"
    assert named["2.15.0+cu132 3.12"] == "native-cuda"
    assert named["2.14.1+cu130 3.12"] == "newest-torch"


def test_python_that_may_be_fetched_comes_last_and_is_told():
    assert chosen(box(python="3.11"), python_download=True) == "2.15.0+cpu 3.11", "nothing has to be fetched"
    assert chosen(box(python="3.9", others=("3.14",)), python_download=True) == "2.15.0+cpu 3.14"
    old = box(python="3.9")
    assert chosen(old) == "2.8.0+cpu 3.9"
    assert chosen(old, python_download=True) == "2.15.0+cpu 3.15", "the newest Python of the newest torch"
    notes = {note.id: note for note in resolve(old, ask(python_download=True), MATRIX, catalogue=CATALOGUE).notes}
    assert notes["python-download"].happened.startswith("Python 3.15 is not on this machine; uv fetches it")
    assert notes["python-download"].evidence[0].value == ("3.9",)
    there = resolve(box(python="3.11"), ask(python_download=True), MATRIX, catalogue=CATALOGUE)
    assert "python-download" not in {note.id for note in there.notes}
    asked = resolve(old, ask(python="3.12", python_download=True), MATRIX, catalogue=CATALOGUE)
    assert (asked.chosen.python, asked.notes[-1].id) == ("3.12", "python-download")


def test_python_asked_for_then_the_hosts_then_another():
    assert chosen(box(python="3.11", others=("3.14", "3.12"))) == "2.15.0+cpu 3.11"
    assert chosen(box(python="3.10", others=("3.14", "3.12"))) == "2.15.0+cpu 3.14"
    assert chosen(box(python="3.9", others=("3.14t", "3.13"))) == "2.15.0+cpu 3.13"
    assert chosen(box(python="3.11", others=("3.14",)), python="3.13") == "2.15.0+cpu 3.13"
    assert chosen(box(python="3.10"), torch="2.14") == "2.14.1+cpu 3.10"


@pytest.mark.parametrize(
    ("interpreter", "found"),
    [
        (Interpreter("3.10.14", implementation="pypy"), "pypy3.10"),
        (Interpreter("3"), "cpython 3"),
        (Interpreter("3.x"), "cpython 3.x"),
        (Interpreter("2.7.18"), "cp27"),
    ],
)
def test_what_is_no_cpython_3_fits_no_wheel(interpreter, found):
    resolution = resolve(replace(box(), python=interpreter), ask(), MATRIX, catalogue=CATALOGUE)
    assert resolution.rejections[0].found == found
    assert not resolution.candidates
    assert resolution.unlocks[0].change == "python"


# --- requests -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "build"),
    [
        ({"torch": "2.0"}, "2.0.1+cu118 3.11"),
        ({"torch": "2.9.0"}, "2.9.0+cu128 3.11"),
        ({"torch": ">=2.6,<2.9"}, "2.8.0+cu129 3.11"),
        ({"torch": "~=2.4.0"}, "2.4.1+cu121 3.11"),
        ({"torch": "2"}, "2.14.1+cu126 3.11"),
        ({"cuda": "cu121"}, "2.5.1+cu121 3.11"),
        ({"cuda": "12.1"}, "2.5.1+cu121 3.11"),
        ({"cuda": "11"}, "2.7.1+cu118 3.11"),
        ({"cuda": "<12"}, "2.7.1+cu118 3.11"),
        ({"cuda": "cu130"}, None),
        ({"python": "3.14t"}, "2.14.1+cu126 3.14t"),
        ({"python": "3.12.4"}, "2.14.1+cu126 3.12"),
        ({"torch": "3"}, None),
        ({"transformers": "<4.50"}, "2.14.1+cu126 3.11"),
    ],
)
def test_a_request_is_kept(words, build):
    assert chosen(box("T4", "535.183.01", python="3.11"), **words) == build


REFUSED = [
    ({"torch": "new"}, "--torch 'new' is not understood: expected a version such as 2.9 or a specifier such as >=2.6,<2.10."),
    ({"torch": ""}, "--torch '' is not understood: expected a version such as 2.9 or a specifier such as >=2.6,<2.10."),
    ({"torch": "2.9.1+cu128"}, "--torch '2.9.1+cu128' is not understood: expected a version such as 2.9 or a specifier such as >=2.6,<2.10."),
    ({"cuda": "cpu"}, "--cuda 'cpu' is not understood: expected a variant such as cu128, a version such as 12.8 or a specifier such as <13 (--cpu asks for a CPU build)."),
    ({"cuda": "cu12"}, "--cuda 'cu12' is not understood: expected a variant such as cu128, a version such as 12.8 or a specifier such as <13 (--cpu asks for a CPU build)."),
    ({"cuda": "=13"}, "--cuda '=13' is not understood: expected a variant such as cu128, a version such as 12.8 or a specifier such as <13 (--cpu asks for a CPU build)."),
    ({"python": "py3"}, "--python 'py3' is not understood: expected a Python such as 3.12, or 3.14t for the free-threaded build."),
    ({"python": "2.7"}, "--python '2.7' is not understood: expected a Python such as 3.12, or 3.14t for the free-threaded build."),
    ({"transformers": "five"}, "--transformers 'five' is not understood: expected a version such as 4.57 or a specifier such as >=5."),
    ({"cpu": True, "cuda": "12.8"}, "--cuda '12.8' is not understood: expected no --cuda beside --cpu: a CPU build has no CUDA."),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_a_request_that_is_not_understood_is_a_usage_error(words, message):
    with pytest.raises(UsageError) as caught:
        resolve(box(), ask(**words), MATRIX, catalogue=CATALOGUE)
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.happened == message


# --- unlocks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "unlocks"),
    [
        (
            box("T4", "470.82.01"),
            [
                "driver 470.82.01 -> 525.60.13: 2.14.1+cu126",
                "driver 470.82.01 -> 580.65.06: 2.15.0+cu130",
                "forward-compatibility driver 470.82.01 alone -> package cuda-compat-12-6: 2.14.1+cu126",
            ],
        ),
        (
            box("H100", "535.104.05"),
            [
                "driver 535.104.05 -> 580.65.06: 2.15.0+cu130",
                "forward-compatibility driver 535.104.05 alone -> package cuda-compat-13-2: 2.15.0+cu132",
            ],
        ),
        (
            box("H100", "560.35.03"),
            [
                "driver 560.35.03 -> 580.65.06: 2.15.0+cu130",
                "forward-compatibility driver 560.35.03 alone -> package cuda-compat-13-3: 2.15.0+cu132",
            ],
        ),
        (box("4090", "535.104.05"), ["driver 535.104.05 -> 580.65.06: 2.15.0+cu130"]),
        (
            box("5090", "550.54.14", module="proprietary"),
            [
                "driver 550.54.14 -> 570.86.15 with the open kernel module: 2.13.0+cu129",
                "driver 550.54.14 -> 580.65.06 with the open kernel module: 2.15.0+cu130",
            ],
        ),
        (box("5090", "580.82.07", module="proprietary"), ["kernel-module proprietary -> open: 2.15.0+cu130"]),
        (
            box("V100", "590.48.01", module="open"),
            ["driver 590.48.01 -> 580.178.04 with the proprietary kernel module: 2.14.1+cu126"],
        ),
        (
            box("GH200", "570.124.07", cuda="13.0", module="proprietary"),
            [
                "driver 570.124.07 -> 580.65.06 with the open kernel module: 2.15.0+cu130",
                "kernel-module proprietary -> open: 2.15.0+cu130",
            ],
        ),
        (
            box("Future", "566.14", is_wsl=True, capability="13.0"),
            [
                "driver 566.14 -> 570.65: 2.7.1+cu128",
                "driver 566.14 -> 576.02: 2.8.0+cu129",
                "driver 566.14 -> 580: 2.10.0+cu130",
            ],
        ),
        (box("V100 H100", "580.82.07"), ["gpu all 2 GPUs -> without Tesla V100-SXM2-16GB (GPU 0): 2.15.0+cu130"]),
        (box("H100", "580.65.06"), []),
        (box("V100", "535.183.01"), []),
        (box("V100", "590.48.01"), ["driver 590.48.01 -> 580.178.04: 2.14.1+cu126"]),
        (
            box("5090", "550.54.14"),
            ["driver 550.54.14 -> 570.86.15: 2.13.0+cu129", "driver 550.54.14 -> 580.65.06: 2.15.0+cu130"],
        ),
        (box("H100"), ["driver unknown -> 580.65.06: 2.15.0+cu130"]),
        (box("4090", "551.61", is_wsl=True), ["driver 551.61 -> 580: 2.15.0+cu130"]),
        (box("H100", "580.65.06", python="3.10"), ["python 3.10 -> 3.11: 2.15.0+cu130"]),
        (box("T4", "550.54.15", python="3.8"), ["python 3.8 -> 3.9: 2.8.0+cu129", "python 3.8 -> 3.10: 2.14.1+cu126"]),
        (box(glibc="2.27"), ["os glibc 2.27 -> glibc 2.28: 2.15.0+cpu"]),
    ],
)
def test_unlocks_are_the_steps_that_pay(machine, unlocks):
    found = resolve(machine, ask(), MATRIX, catalogue=CATALOGUE).unlocks
    assert [f"{step.change} {step.from_} -> {step.to}: {step.torch}+{step.variant}" for step in found] == unlocks


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        (box("A100 5090", "575.51.03", python="3.8"), {}),
        (box("H100 5090", "575.57.08", glibc="2.27"), {}),
        (box("T4 5090", "570.211.01"), {"cuda": "12.1"}),
    ],
)
def test_an_unlock_counts_the_gpus_that_come_back(machine, words):
    """The older GPU has a build today and the newer has none; after the change one build serves both, an older torch."""
    answer = resolve(machine, ask(**words), MATRIX, catalogue=CATALOGUE)
    assert [out.index for out in answer.gpus_left_out] == [1]
    for step in answer.unlocks:
        request = ask() if step.change == "cuda" else ask(**words)
        after = resolve(applied(machine, step) or machine, request, MATRIX, catalogue=CATALOGUE)
        assert (after.chosen.torch, after.chosen.variant) == (step.torch, step.variant)
        assert not after.gpus_left_out
    assert answer.unlocks


def test_leaving_a_gpu_out_counts_the_compatibility_package():
    """The package of CUDA 13.2 does not serve a GeForce; where only the GB200 stays it does, and 13.2 is native."""
    machine = box("4090 GB200", "580", cuda="13.2", python="3.8", others=("3.10", "3.14t"))
    answer = resolve(machine, ask(), MATRIX, catalogue=CATALOGUE)
    assert (answer.chosen.local_version, answer.gpus_left_out) == ("2.13.0+cu129", ())
    (step,) = [step for step in answer.unlocks if step.change == "gpu"]
    assert (step.to, step.torch, step.variant) == ("without NVIDIA GeForce RTX 4090 (GPU 0)", "2.15.0", "cu132")
    after = resolve(applied(machine, step), ask(), MATRIX, catalogue=CATALOGUE).chosen
    assert after.local_version == "2.15.0+cu132"


def test_an_unlock_promises_no_build_whose_architectures_nobody_read():
    steps = resolve(box("4090", "450.80.02"), ask(torch="2.10"), MATRIX, catalogue=CATALOGUE).unlocks
    promised = {step.to: f"{step.torch}+{step.variant}" for step in steps if step.change == "driver"}
    assert promised == {"525.60.13": "2.10.0+cu128"}  # cu129 of 2.10 is the higher CUDA, and the last resort


@pytest.mark.parametrize(
    ("words", "unlocks"),
    [
        ({"torch": "2.4"}, ["torch --torch 2.4 -> without --torch: 2.15.0+cu130"]),
        ({"cuda": "<13"}, ["cuda --cuda <13 -> without --cuda: 2.15.0+cu130"]),
        ({"torch": "<2.9", "cuda": "cu126"}, ["torch --torch <2.9 -> without --torch: 2.14.1+cu126"]),
        ({"transformers": "4.46"}, ["transformers --transformers 4.46 -> without --transformers: 2.15.0+cu130"]),
        ({"transformers": "4.20"}, ["transformers --transformers 4.20 -> without --transformers: 2.15.0+cu130"]),
        ({"python": "3.9"}, ["python 3.9 -> 3.10: 2.14.1+cu130", "python 3.9 -> 3.11: 2.15.0+cu130"]),
    ],
)
def test_a_request_that_stands_in_the_way_is_named(words, unlocks):
    found = resolve(box("H100", "580.65.06"), ask(**words), MATRIX, catalogue=CATALOGUE).unlocks
    assert [f"{step.change} {step.from_} -> {step.to}: {step.torch}+{step.variant}" for step in found] == unlocks


@pytest.mark.parametrize("driver", ["450.80.02", "470.82.01", "525.60.13", "535.104.05", "550.54.14", "570.86.16"])
@pytest.mark.parametrize("gpu", ["T4", "H100", "5090", "B300", "1080"])
def test_an_unlock_keeps_its_promise(gpu, driver):
    for step in resolve(box(gpu, driver), ask(), MATRIX, catalogue=CATALOGUE).unlocks:
        build = resolve(applied(box(gpu, driver), step), ask(), MATRIX, catalogue=CATALOGUE).chosen
        assert (build.torch, build.variant) == (step.torch, step.variant)


# --- properties ---------------------------------------------------------------------------------

BRANCHES = [row.latest_linux for row in MATRIX.branches if row.latest_linux]
DRIVERS = (
    [str(row.linux) for row in MATRIX.toolkits if row.linux] + BRANCHES + ["450.80.02", "525.60.13", "580.65.06", "1.1"]
)


@settings(max_examples=150, deadline=None)
@given(
    gpus=st.lists(st.sampled_from([row.nvml_names[0] for row in MATRIX.gpus if row.nvml_names]), max_size=3),
    driver=st.sampled_from(DRIVERS) | st.none(),
    glibc=st.sampled_from(["2.12", "2.17", "2.27", "2.28", "2.39"]) | st.none(),
    arch=st.sampled_from(["x86_64", "aarch64"]),
    pythons=st.lists(
        st.sampled_from(["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.13t", "3.14t", "3.15"]),
        max_size=3,
        unique=True,
    ),
    is_wsl=st.booleans(),
    cpu=st.booleans(),
    torch=st.sampled_from([None, "2.0", ">=2.6,<2.10", "2.15"]),
)
def test_whatever_is_chosen_satisfies_the_matrix(gpus, driver, glibc, arch, pythons, is_wsl, cpu, torch):
    """Checked against the rows of the matrix themselves, not by the rules that chose."""
    machine = box(
        "", driver, glibc=glibc, arch=arch, python=pythons[0] if pythons else None, others=pythons[1:], is_wsl=is_wsl
    )
    cards = tuple(Gpu(index, name=name) for index, name in enumerate(gpus))
    machine = replace(machine, gpus=cards, gpu_state=GpuState.USABLE if cards else GpuState.NONE)
    request = ask(cpu=cpu, torch=torch)
    resolution = resolve(machine, request, MATRIX, catalogue=CATALOGUE)
    assert resolution == resolve(machine, request, MATRIX)
    is_cpu = cpu or not cards
    seen = {(build.torch, build.variant, build.python) for build in resolution.candidates}
    assert len(seen) == len(resolution.candidates)
    assert not seen & {(no.torch, no.variant, no.python) for no in resolution.rejections}
    for build in resolution.candidates[:3]:
        release = MATRIX.release(build.torch)
        variant, wheels = release.variant(build.variant), release.platform(f"linux_{arch}")
        assert (build.kind == "cpu") is is_cpu
        assert variant.is_published(wheels.platform)
        assert python_tag(build.python) in wheels.pythons
        assert newest_pair(MATRIX, release, build.python, None)
        assert glibc is None or machine.host.glibc >= dict(variant.glibc).get(wheels.platform, wheels.glibc)
        if is_cpu:
            continue
        left_out = {out.index for out in resolution.gpus_left_out}
        assert len(left_out) < len(gpus)
        rows = [MATRIX.gpu_by_name(name) for index, name in enumerate(gpus) if index not in left_out]
        candidate = next(
            c
            for c in CATALOGUE.candidates(wheels.platform, is_cpu=False)
            if c.release is release and c.variant is variant
        )
        assert all(code_for(MATRIX, candidate, row.compute_capability) != "none" for row in rows)
        floor = MATRIX.cuda_major(variant.cuda.major)
        assert DriverVersion(driver) >= (floor.windows if is_wsl else floor.linux)


def test_every_gpu_of_the_matrix_is_served_by_the_newest_driver_of_its_last_branch():
    for row in MATRIX.gpus:
        branch = MATRIX.architecture_of(row.compute_capability).last_branch or 620
        driver = next(entry.latest_linux for entry in MATRIX.branches if entry.branch == branch)
        if row.compute_capability in MATRIX.tegra:
            continue
        arch = "aarch64" if row.name.startswith(("GH200", "GB")) else "x86_64"
        machine = box("board", driver, arch=arch, capability=str(row.compute_capability))
        assert resolve(machine, ask(), MATRIX, catalogue=CATALOGUE).chosen, row.name


@settings(max_examples=200, deadline=None)
@given(
    words=st.dictionaries(
        st.sampled_from(["torch", "cuda", "transformers", "python"]),
        st.text(alphabet="0123456789.<>=!~,* cut+abv٢é-", max_size=12) | st.text(max_size=8),
        min_size=1,
    )
)
def test_whatever_is_asked_for_is_answered_or_refused(words):
    try:
        resolution = resolve(box("T4", "535.183.01"), ask(**words), MATRIX, catalogue=CATALOGUE)
    except UsageError as err:
        assert err.exit_code is ExitCode.USAGE  # noqa: PT017  both ends are right
    else:
        assert resolution.candidates or resolution.rejections


def test_machines_that_are_judged_alike_share_their_answers():
    """Fleets group by identity: a copy per machine would make ten thousand groups."""
    first, second = (
        resolve(box("T4", "535.183.01", hostname=name), ask(), MATRIX, catalogue=CATALOGUE) for name in "ab"
    )
    assert first.rejections is second.rejections
    assert first.candidates is second.candidates
    assert first.unlocks is second.unlocks
