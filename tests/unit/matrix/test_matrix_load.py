"""What the loader takes, and how it refuses: the file, the place, what was found, what was expected."""
# ruff: noqa: E501  cases stand on one line each

import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix_mini import MINI

from provision.errors import ExitCode, InputError
from provision.matrix import load_matrix, read_matrix
from provision.versions import ComputeCapability, CudaVersion, DriverVersion, Glibc


def refusal(text: str) -> str:
    with pytest.raises(InputError) as caught:
        load_matrix(text, origin="m.yaml")
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    assert caught.value.code == "matrix-invalid"
    assert caught.value.evidence[0].source == "m.yaml"
    return caught.value.happened


def without_line(message: str) -> str:
    return re.sub(r" \(line \d+\)", "", message)


def test_scalars_stay_text_until_they_are_typed(mini):
    matrix = load_matrix(mini, origin="m.yaml")
    assert [row.version for row in matrix.releases] == ["2.9.0", "2.10.0"]
    assert [row.cuda for row in matrix.toolkits] == [CudaVersion(12, 8), CudaVersion(12, 10), CudaVersion(13, 0)]
    assert matrix.cuda_majors[0].linux == DriverVersion("525.60.13")
    release = matrix.releases[1]
    assert release.platform("linux_x86_64").glibc == Glibc(2, 28)
    assert release.platform("linux_x86_64").pythons == ("cp312", "cp313t")
    assert str(release.companions.transformers) == ">=4.48,<6"


def test_a_range_may_leave_out_minors_and_patches(mini):
    matrix = load_matrix(mini.replace('">=4.48,<6"', '">=4.48,<6,!=4.52.*,!=5.1.0"', 1), origin="m.yaml")
    found = matrix.releases[0].companions.transformers
    assert str(found) == ">=4.48,<6,!=4.52.*,!=5.1.0"
    held = [(4, 48, 0), (4, 51, 3), (4, 53, 0), (5, 1, 1), (5, 10, 0)]
    refused = [(4, 47, 1), (4, 52, 0), (4, 52, 4), (5, 1, 0), (6, 0, 0)]
    assert [version for version in held + refused if found.holds(version)] == held


def test_unknown_is_none_and_empty_is_empty(mini):
    matrix = load_matrix(mini, origin="m.yaml")
    cu130 = matrix.releases[1].variant("cu130")
    assert cu130.arch_list("linux_x86_64") == (ComputeCapability(8, 0), ComputeCapability(9, 0))
    assert cu130.arch_list("linux_aarch64") is None
    assert cu130.ptx == ()
    assert [cu130.is_published(name) for name in ("linux_x86_64", "linux_aarch64", "windows_x86_64")] == [
        True,
        None,
        False,
    ]
    assert matrix.gpus[0].dense_tflops.fp8 is None


BROKEN = [
    ("schema: gpusetup.matrix/1", "schema: gpusetup.matrix/2", "schema: found 'gpusetup.matrix/2', expected one of gpusetup.matrix/1"),
    ("read_on: 2026-11-23\nsources", "read_on: yesterday\nsources", "read_on: found 'yesterday', expected a date such as 2026-11-23"),
    ("triton: \"3.5.0; python_version < '3.14'\"", "triton: newest", "torch.releases['2.9.0'].platforms.linux_x86_64.requires.triton: found 'newest', expected a version or specifiers such as >=13.0.3,<14, perhaps with a marker such as ; python_version < '3.13'"),
    ("nvidia-nccl-cu12: 2.27.5", "NVIDIA nccl: 2.27.5", "torch.releases['2.9.0'].platforms.linux_x86_64.requires['NVIDIA nccl']: found 'NVIDIA nccl', expected a project such as nvidia-nccl-cu13 or cuda-toolkit[cudart,cufft]"),
    ("macos: 14.0", "macos: Sonoma", "torch.releases['2.10.0'].platforms.darwin_arm64.macos: found 'Sonoma', expected a release such as 2.9.1"),
    (
        "arch: {linux_x86_64: [sm_80, sm_90]}, ptx: [compute_90]",
        "arch: {linux_x86_64: [sm_80, 90]}, ptx: [compute_90]",
        "torch.releases['2.9.0'].variants.cu128.arch.linux_x86_64[1]: found '90', expected binary code such as sm_90",
    ),
    (
        "ptx: [compute_90]",
        "ptx: [sm_90]",
        "torch.releases['2.9.0'].variants.cu128.ptx[0]: found 'sm_90', expected virtual code such as compute_90",
    ),
    (
        "toolkit: 12.8.1, on",
        "toolkit: 12.8.1, off: 1, on",
        "torch.releases['2.9.0'].variants.cu128.off: found unknown key 'off', expected one of arch, cudnn, doubtful, glibc, nccl, note, on, ptx, source, tag, toolkit, unknown_on, unlabelled_on",
    ),
    ("      released: 2025-10-15\n", "", "torch.releases['2.9.0']: found no key 'released', expected the key released"),
    ("        cu128:", "        rocm6:", "torch.releases['2.9.0'].variants.rocm6: found 'rocm6', expected cpu or a variant such as cu128"),
    ("assumed_pythons: [3.12]", "assumed_pythons: [3]", "torch.assumed_pythons[0]: found '3', expected a Python such as 3.12"),
    ("whl/{variant}", "whl", "torch.index: found 'https://download.pytorch.org/whl', expected an https address with {variant} in it"),
    ("pythons: [cp312], glibc: 2.28", "pythons: [py3], glibc: 2.28", "torch.releases['2.9.0'].platforms.linux_x86_64.pythons[0]: found 'py3', expected a Python tag such as cp312 or cp313t"),
    ("glibc: 2.28, tag", "glibc: new, tag", "torch.releases['2.9.0'].platforms.linux_x86_64.glibc: found 'new', expected a glibc such as 2.28"),
    ('">=4.48,<6"', '">=6,<4.48"', "torch.releases['2.9.0'].companions.transformers: found '>=6,<4.48', expected a range such as >=4.48,<6"),
    ('numpy: "<3"', "numpy: three", "torch.releases['2.10.0'].companions.numpy: found 'three', expected one specifier such as <2"),
    ("linux: 525.60.13", "linux: 525.x", "cuda_majors.rows['12'].linux: found '525.x', expected a driver such as 535.104.05"),
    ("cuda: 12.8, type: PB", "cuda: twelve, type: PB", "driver_branches.rows['570'].cuda: found 'twelve', expected a CUDA release such as 12.8"),
    ("type: PB", "type: good", "driver_branches.rows['570'].type: found 'good', expected one of LTS, PB, NFB"),
    ("kernel_module: either", "kernel_module: any", "architectures.rows.Ampere.kernel_module: found 'any', expected one of open, proprietary, either"),
    ("at_least: 9.0, below", "at_least: 9, below", "cubins.rows.sm_90.at_least: found '9', expected a compute capability such as 9.0"),
    ("at_least: 9.0, below: 10.0", "at_least: 9.0", "cubins.rows.sm_90: found no key 'below', expected the key below"),
    ('"10de:20b0"', '"10DE:20B0"', "gpus.rows['A100-SXM4-40GB'].pci[0]: found '10DE:20B0', expected a PCI id in lower case such as 10de:2330"),
    ("tdp_w: 400", "tdp_w: -1", "gpus.rows['A100-SXM4-40GB'].tdp_w: found '-1', expected a whole number above 0"),
    ("fp32: 19.5", "fp32: nan", "gpus.rows['A100-SXM4-40GB'].tflops.fp32: found 'nan', expected a number above 0"),
    ('class: data_center, pci: ["10de:20b0"]', 'class: gaming, pci: ["10de:20b0"]', "gpus.rows['A100-SXM4-40GB'].class: found 'gaming', expected one of data_center, workstation, geforce, embedded"),
    ("source: [notes]}\n    A16", "source: [gossip]}\n    A16", "gpus.rows['A100-SXM4-40GB'].source[0]: found 'gossip', expected a key of `sources`"),
    ("[8.0, 8.6, 8.7]", "8.0", "architectures.rows.Ampere.capabilities: found '8.0', expected a list"),
    ("[8.0, 8.6, 8.7]", "[8.0, 8.0]", "architectures.rows.Ampere.capabilities[1]: found '8.0', expected each entry once"),
    ("last: 4.57.6", "last: []", "transformers.rows['4.57.1'].last: found a list of 0, expected a release such as 2.9.1"),
    ("revision: 2026.11.23", "revision: null", "revision: found null, expected text"),
    ("accepted: [470, 535]", "accepted: [470, R535]", "forward_compatibility.rows['12.8'].accepted[1]: found 'R535', expected a whole number above 0"),
    ("classes: [data_center]", "classes: [server]", "forward_compatibility.classes[0]: found 'server', expected one of data_center, workstation, geforce, embedded"),
    ("12.8: {accepted", "12.x: {accepted", "forward_compatibility.rows['12.x']: found '12.x', expected a CUDA release such as 12.8"),
    ("gpus:\n", "guesses: 1\ngpus:\n", "guesses: found unknown key 'guesses', expected one of accelerate, architectures, chips, clock_reasons, container_toolkit, containers, cubins, cuda_errors, cuda_majors, cuda_toolkits, denied_drivers, denied_torch, distributions, driver_branches, driver_packages, forward_compatibility, gpus, jetson, kernel_drivers, kernel_messages, memory_repair, nvml_errors, peft, read_on, recovery_actions, repositories, revision, schema, sources, sxids, systems, torch, transformers, vgpu, xids"),
    ("RTX 2050 = 25a7 25a9", "RTX 2050 = 25a7 25A9", "chips.rows.GA107.geforce: found '25A9', expected a PCI device id in lower case such as 2330"),
    ("RTX 2050 = 25a7 25a9", "RTX 2050 = 25a7 25a7", "chips.rows.GA107.geforce: found ' 25a7 25a7', expected each PCI device id once"),
    ("CMP 170HX = 2082", "CMP 170HX =", "chips.rows.GA100.geforce: found '', expected text"),
    ("CMP 170HX = 2082", "GeForce RTX 2050", "chips.rows.GA100.geforce: found 'GeForce RTX 2050', expected each name once, as in `Tesla K40c = 1024; Tesla K40`"),
    ("other: 25a3", "others: 25a3", "chips.rows.GA107.others: found unknown key 'others', expected one of architecture, capability, data_center, embedded, geforce, other, workstation"),
    ("cuda: none", "cuda: maybe", "vgpu.series.B.cuda: found 'maybe', expected one of all, none"),
    ("{A2: 8}", "{A2: no}", "vgpu.series.Q.only_gib.A2: found 'no', expected a whole number above 0"),
    ('">=4.48,<6"', '">=4.48,<6,!=6.0.*"', "torch.releases['2.9.0'].companions.transformers: found '>=4.48,<6,!=6.0.*', expected a range that 6.0.* lies in before it is taken out"),
    ('">=4.48,<6"', '">=4.48,<6,!=5.1"', "torch.releases['2.9.0'].companions.transformers: found '>=4.48,<6,!=5.1', expected a range such as >=4.48,<6"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("right", "wrong", "message"), BROKEN, ids=[case[2].split(" ")[0] + f"-{i}" for i, case in enumerate(BROKEN)]
)
def test_a_broken_field_is_named(mini, right, wrong, message):
    assert right in mini
    assert without_line(refusal(mini.replace(right, wrong, 1))) == f"m.yaml: {message}"


def test_a_message_tells_the_line(mini):
    text = mini.replace("capability: 8.6", "capability: high", 1)
    line = text[: text.index("capability: high")].count("\n") + 1
    assert f"(line {line})" in refusal(text)


CONTRADICTIONS = [
    ("    2.10.0:\n", "    2.8.0:\n", "torch.releases['2.8.0']: found 2.8.0 after 2.9.0, expected releases in ascending order"),
    (
        "12.10.0: {released: null, linux: null",
        "12.10.0: {released: null, linux: 560.28.03",
        "cuda_toolkits.rows['12.10.0'].linux: found 560.28.03, expected at least 570.124.06, which an older toolkit of the same major needs",
    ),
    ("580: {cuda: 13.0", "580: {cuda: 12.6", "driver_branches.rows['580']: found branch 580 with CUDA 12.6 after 570 with 12.8, expected both ascending"),
    ("Hopper: {capabilities: [9.0]", "Hopper: {capabilities: [9.0, 8.6]", "architectures.rows.Hopper.capabilities[1]: found 8.6, already of Ampere, expected each capability once"),
    ("general_variant: cu128", "general_variant: cu126", "torch.releases['2.9.0'].platforms.linux_x86_64.general_variant: found 'cu126', expected a variant of this release that is published for the platform"),
    ("12: {linux: 525.60.13, windows: 528.33}\n", "11: {linux: 450.80.02, windows: 452.39}\n", "torch.releases['2.9.0'].variants.cu128: found CUDA 12.8, expected a CUDA major of cuda_majors"),
    ("toolkit: 12.8.1, on", "toolkit: 12.9.1, on", "torch.releases['2.9.0'].variants.cu128.toolkit: found toolkit 12.9.1, expected a toolkit of CUDA 12.8"),
    ("[sm_80, sm_90]}, ptx: [compute_90]", "[sm_80, sm_86]}, ptx: [compute_90]", "torch.releases['2.9.0'].variants.cu128.arch.linux_x86_64[1]: found code for 8.6, expected code of a known architecture with a row in cubins"),
    ("first_cuda: 11.0, last_cuda: null", "first_cuda: 11.0, last_cuda: 12.9", "torch.releases['2.10.0'].variants.cu130.arch.linux_x86_64[0]: found code for 8.0, expected no Ampere code after CUDA 12.9"),
    (", linux_aarch64: null}", "}", "torch.releases['2.10.0'].variants.cu130.arch: found no list for linux_aarch64, expected a list, or null when nobody has read it"),
    ("unknown_on: [linux_aarch64]", "unknown_on: [linux_x86_64]", "torch.releases['2.10.0'].variants.cu130: found linux_x86_64 in both on and unknown_on, expected one of them"),
    ("glibc: 2.28, tag", "glibc: null, tag", "torch.releases['2.9.0'].platforms.linux_x86_64.glibc: found null, expected the glibc that the wheels need"),
    ("NVIDIA A16]", "NVIDIA A2]", "gpus.rows.A2.nvml[0]: found 'NVIDIA A2', already of A16, expected each name once"),
    ("refused: [418, 560]", "refused: [418, 535]", "forward_compatibility.rows['12.8']: found 535 in both accepted and refused, expected one of them"),
    ("refused_classes: [geforce]", "refused_classes: [data_center]", "forward_compatibility.refused_classes: found data_center in both lists, expected one of them"),
    ("13.0: {accepted", "12.4: {accepted", "forward_compatibility.rows['12.4']: found CUDA 12.4 after 12.8, expected rows in ascending order"),
    (', subsystem: ["25b6:10de:14a9"]', "", None),
    ("architecture: Ampere, capability: 8.0", "architecture: Hopper, capability: 8.0", "gpus.rows['A100-SXM4-40GB'].architecture: found 'Hopper', expected the architecture of 8.0, Ampere"),
    ("      architecture: Ampere\n      capability: 8.6", "      architecture: Hopper\n      capability: 8.6", "chips.rows.GA107.architecture: found 'Hopper', expected the architecture of 8.6, Ampere"),
    ("CMP 170HX = 2082", "CMP 170HX = 25a9", "chips.rows.GA100.geforce: found 25a9, already of GA107, expected each PCI id of one chip"),
    ("other: 25a3", "other: 20b0", "chips.rows.GA107.other: found 20b0 with 8.6, expected 8.0, as A100-SXM4-40GB in gpus.rows"),
    ("A17 = 25b8", "A100-SXM4-40GB = 25b8", "chips.rows.GA107.data_center: found 'A100-SXM4-40GB' with 8.6 and data_center, expected 8.0 and data_center, as in gpus.rows"),
    ("GeForce GT 930\n", "A16\n", "chips.rows.GA107.geforce: found 'A16' with 8.6 and geforce, expected 8.6 and data_center, as in gpus.rows"),
    ("A100X: A100-SXM4-40GB", "A100X: A100-SXM5", "vgpu.boards.A100X: found 'A100-SXM5', expected the name of a board of gpus or chips"),
    ("{A2: 8}", "{A3: 8}", "vgpu.series.Q.only_gib.A3: found 'A3', expected the board of a vGPU"),
    ("nvidia-nccl-cu12: 2.27.5", "nvidia-nccl-cu13: 2.27.5", "torch.releases['2.9.0'].platforms.linux_x86_64.requires['nvidia-nccl-cu13']: found nvidia-nccl-cu13, expected a project of CUDA 12"),
    ("triton: 3.5.0, transformers", "triton: 3.5.1, transformers", "torch.releases['2.9.0'].platforms.linux_x86_64.requires.triton: found \"3.5.0; python_version < '3.14'\", expected 3.5.1, as the row of 2.9.0 says elsewhere"),
    ("cudnn: null, nccl: null", "cudnn: null, nccl: 2.27.3", "torch.releases['2.9.0'].platforms.linux_x86_64.requires['nvidia-nccl-cu12']: found '2.27.5', expected 2.27.3, as the row of 2.9.0 says elsewhere"),
    ("general_variant: cpu, requires: {}", "general_variant: cpu, requires: {triton: 3.6.0}", "torch.releases['2.10.0'].platforms.darwin_arm64.requires: found 1 of them, expected none: the build is for the CPU"),
    ("macos: 14.0", "macos: null", "torch.releases['2.10.0'].platforms.darwin_arm64.macos: found null, expected the macOS that the wheels need"),
    ("abi_none: [cp312]", "abi_none: [cp311]", "torch.releases['2.10.0'].platforms.darwin_arm64.abi_none: found 'cp311', expected a Python tag of this row"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "message"), CONTRADICTIONS, ids=range(len(CONTRADICTIONS)))
def test_rows_that_contradict_each_other_are_named(mini, right, wrong, message):
    assert right in mini
    text = mini.replace(right, wrong, 1)
    if message is None:
        load_matrix(text, origin="m.yaml")
    else:
        assert without_line(refusal(text)) == f"m.yaml: {message}"


def test_a_pci_id_of_two_products_needs_subsystems(mini):
    text = mini.replace(', subsystem: ["25b6:10de:14a9"]', "").replace(', subsystem: ["25b6:10de:157e"]', "")
    assert "gpus.rows.A16.pci[0]" in refusal(text)
    assert "found 10de:25b6, also of A2, expected a subsystem that tells them apart" in refusal(text)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_is_wrong_is_an_input_error(data):
    """A piece of the text is replaced by another piece or by rubbish: no other exception comes out."""
    start = data.draw(st.integers(0, len(MINI) - 1))
    length = data.draw(st.integers(0, 40))
    other = data.draw(st.integers(0, len(MINI) - 40))
    rubbish = data.draw(
        st.sampled_from(
            ["", "null", "[]", "{}", "[[[", "- - -", ": :", "\t", "!!int 1", "*a", "&a", "\x7f", "9" * 30, "sm_1", "é"]
        )
        | st.just(MINI[other : other + length])
    )
    try:
        load_matrix(MINI[:start] + rubbish + MINI[start + length :], origin="m.yaml")
    except InputError as err:
        assert err.happened.startswith("m.yaml: ")  # noqa: PT017  both ends are right


def test_a_pipe_without_a_writer_is_refused_and_not_waited_for(tmp_path):
    pipe = tmp_path / "matrix.yaml"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="found a pipe, device or socket, expected a regular file"):
        read_matrix(pipe)
