"""`matrix show`: what each selector finds, how they combine, how it reads."""
# ruff: noqa: E501  texts stand as they are printed

import pytest

from provision.documents.codec import encode
from provision.errors import UsageError
from provision.matrix import read_matrix
from provision.report.matrix import render_matrix
from provision.report.matrix_rows import matrix_data
from provision.report.matrix_words import Selectors
from provision.report.style import Style
from tests.bench.matrix import shipped

STYLE = Style()


@pytest.fixture(scope="module")
def matrix():
    return shipped()


@pytest.fixture(scope="module")
def show(matrix):
    return lambda **words: matrix_data(matrix, path="matrix.yaml", selectors=Selectors(**words))


def names(data):
    return {f"{build.torch}+{build.variant}" for build in data.build_rows}


@pytest.mark.parametrize(
    ("word", "versions"),
    [
        ("2.9", ["2.9.0", "2.9.1"]),
        ("2.9.1", ["2.9.1"]),
        ("2.1", ["2.1.0", "2.1.1", "2.1.2"]),
        (">=2.8,<2.10", ["2.8.0", "2.9.0", "2.9.1"]),
        ("==2.9", ["2.9.0"]),
    ],
)
def test_torch(show, word, versions):
    data = show(torch=word)
    assert [row.version for row in data.release_rows] == versions
    assert {build.torch for build in data.build_rows} == set(versions)
    assert len(data.rows) == len(data.build_rows)


@pytest.mark.parametrize(
    ("word", "minors", "variants"),
    [
        ("12.8", ["12.8"], {"cu128"}),
        ("cu128", ["12.8"], {"cu128"}),
        ("12.8.1", ["12.8"], {"cu128"}),
        ("11", [f"11.{n}" for n in range(9)], {"cu117", "cu118"}),
        ("12.7", ["12.7"], set()),
    ],
)
def test_cuda(show, word, minors, variants):
    data = show(cuda=word)
    assert [str(row.cuda) for row in data.cuda_rows] == minors
    assert {build.variant for build in data.build_rows} == variants


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("H100 PCIe", ["H100 PCIe"]),
        ("nvidia h100 pcie", ["H100 PCIe"]),
        ("P100-SXM2", ["Tesla P100-SXM2-16GB"]),
        ("NVIDIA H100", ["H100 (2339, 94 GB SXM)"]),
        ("10de:2331", ["H100 PCIe"]),
        ("10DE:2331", ["H100 PCIe"]),
    ],
)
def test_gpu(show, word, found):
    assert [row.name for row in show(gpu=word).gpu_rows] == found


def test_a_part_of_a_name_finds_many_and_their_common_builds(show):
    data = show(gpu="H100")
    assert len(data.gpu_rows) > 3
    assert {row.compute_capability for row in data.gpu_rows} == {(9, 0)}
    assert names(data) == names(show(gpu="H100 PCIe"))
    assert len(show(gpu="").gpu_rows) == data.gpus


def test_a_gpu_that_no_build_of_a_cuda_runs_on_is_shown_without_builds(show):
    data = show(gpu="GTX 1080 Ti", cuda="13")
    assert not data.build_rows
    assert "builds   none" in render_matrix(data, STYLE)


@pytest.mark.parametrize(("word", "branch"), [("535", 535), ("535.x", 535), ("535.104.05", 535), ("528.33", 525)])
def test_driver(show, word, branch):
    data = show(driver=word)
    assert [row.branch for row in data.driver_rows] == [branch]


def test_what_starts_on_a_driver_and_what_is_native(show):
    data = show(driver="535")
    starts = {build.variant: build.start for build in data.build_rows}
    assert starts["cu121"] == "native"
    assert starts["cu128"] == "minor-version"
    assert "cu130" not in starts
    assert "cpu" not in starts
    assert "cu128" not in {build.variant for build in show(driver="525.60.12").build_rows}
    assert "cu128" in {build.variant for build in show(driver="525.60.13").build_rows}
    assert "cu128" in {build.variant for build in show(driver="528.33").build_rows}  # the floor on Windows


def test_generations_of_a_branch(show):
    (row,) = show(driver="590").driver_rows
    assert row.dropped == {"Kepler": 470, "Maxwell": 580, "Pascal": 580, "Volta": 580}
    assert row.not_yet == {"Rubin": 615}
    assert "Hopper" in row.serves


@pytest.mark.parametrize(
    ("branch", "modules"),
    [("510", ("proprietary",)), ("535", ("proprietary", "open")), ("580", ("open", "proprietary")), ("620", ("open",))],
)
def test_kernel_modules_of_a_branch(show, branch, modules):
    assert show(driver=branch).driver_rows[0].kernel_modules == modules


def test_selectors_meet(show):
    meet = names(show(gpu="V100-SXM2-16GB", driver="580", torch="2.14", cuda="12"))
    assert meet == {"2.14.0+cu126", "2.14.1+cu126"}
    assert meet < names(show(torch="2.14"))
    assert not names(show(torch="2.14", cuda="11"))
    assert not names(show(torch="2.15", cuda="13", driver="535"))


def test_a_gpu_that_the_driver_does_not_serve_has_no_builds(show):
    data = show(gpu="V100-SXM2-16GB", driver="590")
    assert data.gpu_rows[0].is_served is False
    assert not data.build_rows
    assert show(gpu="V100-SXM2-16GB", driver="580").gpu_rows[0].is_served is True


def test_how_a_gpu_runs_a_build(show):
    runs = {(build.torch, build.variant): build.runs_as for build in show(gpu="V100-SXM2-16GB").build_rows}
    assert runs["2.14.1", "cu126"] == "binary"
    assert ("2.14.1", "cu130") not in runs


@pytest.mark.parametrize(
    ("option", "word", "happened", "near"),
    [
        ("torch", "2.99", "--torch: the matrix has no torch release '2.99'.", "2.9.1"),
        ("torch", "new", "--torch: the matrix has no torch release 'new'.", None),
        ("cuda", "cu12x", "--cuda: the matrix has no CUDA 'cu12x'.", "cu128"),
        ("cuda", "14", "--cuda: the matrix has no CUDA '14'.", None),
        ("cuda", "", "--cuda: the matrix has no CUDA ''.", None),
        ("gpu", "H100 PCI-E", "--gpu: the matrix has no GPU 'H100 PCI-E'.", "'H100 PCIe'"),
        ("gpu", "Radeon", "--gpu: the matrix has no GPU 'Radeon'.", None),
        ("driver", "536", "--driver: the matrix has no driver branch '536'.", "535"),
        ("driver", "R535", "--driver: the matrix has no driver branch 'R535'.", "620"),
        ("driver", "390.157", "--driver: the matrix has no driver branch '390.157'.", "450"),
    ],
    ids=str,
)
def test_a_word_that_leads_nowhere_is_told_with_what_is_near(show, option, word, happened, near):
    with pytest.raises(UsageError) as caught:
        show(**{option: word})
    assert caught.value.happened == happened
    assert caught.value.evidence[0].value == word
    assert caught.value.do
    if near:
        assert f"gpusetup matrix show --{option} {near}" in caught.value.do


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"torch": "2"},
        {"cuda": "12"},
        {"cuda": "13.4"},
        {"gpu": ""},
        {"gpu": "GH200"},
        {"gpu": "Thor", "cuda": "13"},
        {"driver": "450"},
        {"driver": "620"},
        {"gpu": "RTX PRO", "driver": "535", "torch": ">=2.6", "cuda": "12"},
    ],
    ids=str,
)
def test_lines_fit_the_width(show, words):
    text = render_matrix(show(**words), STYLE)
    assert max(map(len, text.splitlines())) <= 80
    assert text == "\n".join(line.rstrip() for line in text.splitlines())


def test_every_driver_branch_and_every_gpu_can_be_shown(matrix, show):
    for row in matrix.branches:
        assert f"driver   {row.branch}  CUDA {row.cuda}" in render_matrix(show(driver=str(row.branch)), STYLE)
    for gpu in matrix.gpus:
        assert gpu.name in {found.name for found in show(gpu=gpu.name).gpu_rows}


def test_a_driver_reads_like_this(show):
    text = render_matrix(show(driver="570", torch="2.8"), STYLE)
    assert text.startswith(
        """\
driver   570  CUDA 12.8  production  2025-01-27 to 2026-01-27
newest   Linux 570.211.01  Windows 573.76
module   open or proprietary (open by default)
serves   Maxwell, Pascal, Volta, Turing, Ampere, Ada Lovelace, Hopper, Blackwell
dropped  Kepler (last branch 470)
not yet  Blackwell Ultra (first branch 580), Rubin (first branch 615)
doubtful eol: release notes of 2025 say February 2026
torch    2.8.0  released 2025-08-06  read 2026-11-23
"""
    )
    assert "cu129    CUDA 12.9.1, starts on 525.60.13" in text
    assert "minor version" in text


def test_the_overview_is_for_no_selector_alone(matrix, show):
    assert show().overview.torch == ("2.0.0", "2.15.0")
    assert sum(show().overview.gpu_classes.values()) == len(matrix.gpus)
    assert show().overview.driver_distributions["rhel 9"] == "610C7B14E068A878070DA4E99CD0A493D42D0685"
    assert show().overview.driver_distributions["rhel 10"] is None
    assert not show().build_rows
    assert show(torch="2.9").overview is None
    assert matrix_data(matrix, path="m").overview is None


def test_a_site_file_is_shown(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(
        "schema: gpusetup.site/1\nforbid:\n- {driver: 590, reason: not certified}\n"
        "gpus: {rows: {LAB: {nvml: [], architecture: Hopper, capability: 9.0, class: data_center, pci: [], tflops: {}, source: [tpu], read_on: 2026-11-20}}}\n"
    )
    data = matrix_data(read_matrix(site=path), path="matrix.yaml", selectors=Selectors(driver="590", gpu="LAB"))
    text = render_matrix(data, STYLE)
    assert "site     the site file forbids every build on it" in text
    assert f"({path}:3)" in text
    assert "row      gpus.rows.LAB" in text
    assert encode(data)["site"]["forbids"] == [{"what": "driver 590", "reason": "not certified", "place": f"{path}:3"}]
    assert encode(data)["driver_rows"][0]["is_forbidden"] is True
