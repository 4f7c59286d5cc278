"""Pastes as people make them, and what happens to them when they are cut, quoted and indented."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paste_texts import COLLECT_ENV
from real_shapes import SHAPES
from report_texts import TRANSFORMERS

from provision.errors import InputError
from provision.matrix import default_matrix_path, read_matrix
from provision.pasted import machine_from_paste
from provision.records import GpuState, Machine

SCRIPT = """\
PyTorch version              : {torch_version}
Is CUDA available            : {is_cuda_available}
GPU models and configuration : {nvidia_gpu_models}
Nvidia driver version        : {nvidia_driver_version}
"""
MATRIX = read_matrix(default_matrix_path())


def text_of(value):
    return None if value is None else str(value)


def facts_of(machine):
    host, driver = machine.host, machine.driver
    return {
        "gpus": [gpu.name for gpu in machine.gpus],
        "capabilities": [text_of(gpu.compute_capability) for gpu in machine.gpus],
        "bus_ids": [gpu.pci_bus_id for gpu in machine.gpus],
        "mib": [gpu.memory_bytes and gpu.memory_bytes >> 20 for gpu in machine.gpus],
        "state": machine.gpu_state.value,
        "driver": text_of(driver and driver.driver_version),
        "cuda": text_of(driver and driver.driver_cuda_version),
        "python": machine.python and machine.python.version,
        "system": host.system,
        "os": host.os,
        "os_version": host.os_version,
        "kernel": host.kernel,
        "arch": host.arch,
        "glibc": text_of(host.glibc),
        "wsl": host.is_wsl,
    }


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_read_as_what_it_says(name, pasted):
    shape = SHAPES[name]
    machine = pasted(shape.text)
    found = facts_of(machine)
    assert {key: found[key] for key in shape.facts} == shape.facts
    said = machine.assumptions
    assert len(said) == len(shape.says), said
    assert [part for part, line in zip(shape.says, said, strict=True) if part not in line] == [], said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TRANSFORMERS.replace("(True)", "(False)"), "that PyTorch sees none does not say that there is none"),
        (SCRIPT, "ends before it names GPUs"),
        (COLLECT_ENV[: COLLECT_ENV.index("GPU models")].replace("True", "False"), "ends before it names GPUs"),
    ],
    ids=["transformers-without-gpu", "the-script-itself", "cut-before-its-gpus"],
)
def test_texts_that_tell_too_little_are_refused(text, message, pasted):
    with pytest.raises(InputError, match=f"paste: .*{message}") as caught:
        pasted(text)
    assert caught.value.do


def test_rows_of_a_table_are_no_line_numbers(pasted):
    """Eight rows without bars are numbered on from 0."""
    rows = "".join(f"   {n}  NVIDIA H100 80GB HBM3   On    00000000:{n + 16:02X}:00.0 Off     0\n" for n in range(8))
    assert [gpu.index for gpu in pasted(rows).gpus] == list(range(8))


def read_or_refused(text):
    """The machine, None for a refusal; any other exception is a bug."""
    try:
        machine = machine_from_paste(text, MATRIX, origin="paste")
    except InputError:
        return None
    assert isinstance(machine, Machine)
    assert machine.gpus or machine.gpu_state is not GpuState.USABLE
    return machine


CUT = (
    "table-in-details-of-a-template",
    "table-with-single-blanks",
    "tables-of-two-machines",
    "query-of-wsl",
    "xml-as-html",
    "env-of-vllm",
    "env-and-table",
    "detectron2",
    "lightning",
)


@pytest.mark.parametrize("name", CUT)
def test_a_shape_cut_at_any_line_names_no_other_gpu(name):
    shape = SHAPES[name]
    lines = shape.text.splitlines(keepends=True)
    known = {"", None, *shape.facts["gpus"], "NVIDIA GeForce RTX 4090", "NVIDIA RTX PRO 6000 Blac..."}
    for place in range(1, len(lines)):
        for part in ("".join(lines[:place]), "".join(lines[place:])):
            machine = read_or_refused(part)
            found = {gpu.name for gpu in machine.gpus} if machine else set()
            assert found <= known, place


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(list(SHAPES.values())), st.data())
def test_indentation_and_quotation_change_no_fact(shape, data):
    before = data.draw(st.sampled_from(["    ", "\t", "> ", ">> ", "  > > ", "# ", "\xa0\xa0", "\u3000"]))
    after = data.draw(st.sampled_from(["", "  ", "\t", "\r", "\xa0", "\u200b"]))
    text = "".join(f"{before}{line}{after}\n" for line in shape.text.splitlines())
    machine = read_or_refused(text)
    assert machine is not None
    found = facts_of(machine)
    assert {key: found[key] for key in shape.facts} == shape.facts


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(SHAPES.values())), st.sampled_from(list(SHAPES.values())), st.data())
def test_pieces_of_two_shapes_are_read_or_refused(one, other, data):
    ours, theirs = one.text.splitlines(), other.text.splitlines()
    start, end = data.draw(st.integers(0, len(ours))), data.draw(st.integers(0, len(theirs)))
    glue = data.draw(st.text(max_size=8))
    read_or_refused("\n".join([*ours[start:], glue, *theirs[:end]]))


MOST_SECONDS = 20.0
"""For one megabyte, on a machine that others use, too; a pattern that backtracks takes hours."""


@pytest.mark.parametrize(
    "piece",
    [
        "PyTorch version: Is debug build: ",
        "GPU 0,1,2,3,4,5,6,7,",
        "GPU 0: " * 40,
        "NVIDIA-SMI 1 | 0000:00:00.0 + ",
        "a" * 64 + " " * 32,
        "trainer-1 | \n",
        "&#x26;&amp;&lt;" * 20,
        "&" * 900,
        "<span " + "x" * 300,
        "<br " * 200,
        "\\" * 1000,
        "1:\n2:\n3:\n4:\n",
        "12345 " * 300,
        "label" + " " * 200 + ":",
        "==============NVSMI LOG==============\n",
        "NVIDIA-SMI | 0 A On | 00000000:00:00.0\n| NVIDIA-SMI 1.1 |\n",
        "Collecting environment information\nIs CUDA available: x\nPyTorch version: y\n",
        "- GPU:\n- x\n- available: y\n",
        "</nvidia_smi_log><nvidia_smi_log>",
    ],
)
def test_a_megabyte_that_is_made_to_be_slow_is_read_in_time(piece):
    line = piece * max(1, 2000 // len(piece)) + "\n"
    start = time.perf_counter()
    read_or_refused(line * (2**20 // len(line)))
    assert time.perf_counter() - start < MOST_SECONDS
