"""Which format a text has, and what no text may do."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paste_texts import ALL, COLLECT_ENV, LIST, QUERY, TABLE

from provision import pasted as package
from provision.errors import InputError
from provision.pasted import FORMATS, machine_from_paste, read_paste
from provision.pasted.paste import LONGEST_LINE, LONGEST_PASTE
from tests.bench.matrix import shipped

MATRIX = shipped()
HAND = "- **GPU**: NVIDIA GeForce RTX 5090 (32GB GDDR7)\n- **OS**: Ubuntu (Linux)\n- **Python**: 3.12.3\n"
NAMES = {"NVIDIA L40S", "NVIDIA H100 80GB HBM3", "NVIDIA H200", "NVIDIA A10G", "NVIDIA A100-SXM4-80GB"}
PIECES = st.one_of(
    st.text(max_size=40),
    st.sampled_from([line for text in ALL.values() for line in text.splitlines()]),
    st.sampled_from(
        ["|", ":", "GPU ", "NVIDIA-SMI ", "\x1b[", "<nvidia_smi_log>", "<gpu>", "</gpu>", "MIG Device", "²"]
    ),
)


def essence(machine):
    gpus = [(gpu.index, gpu.name, gpu.pci_bus_id, gpu.memory_bytes, gpu.mig_mode) for gpu in machine.gpus]
    return machine.driver, gpus, machine.gpu_state, machine.host, machine.python


def test_every_module_of_a_format_is_listed():
    modules = {path.stem for path in Path(package.__file__).parent.glob("*.py")} - {
        "__init__",
        "paste",
        "names",
        "together",
    }
    assert modules == {one.parse.__module__.rsplit(".", 1)[-1] for one in FORMATS} == set(ALL)


@pytest.mark.parametrize("module", ALL)
def test_each_text_is_recognised_as_what_it_is(module):
    chosen = next(one for one in FORMATS if one.recognise(read_paste(ALL[module])))
    assert chosen.parse.__module__.endswith(module)


@pytest.mark.parametrize("text", ALL.values(), ids=ALL)
@pytest.mark.parametrize(
    "mangle",
    [
        lambda text: "".join(f"> {line}" for line in text.splitlines(keepends=True)),
        lambda text: "".join(f">> > {line}" for line in text.splitlines(keepends=True)),
        lambda text: "".join(f"# {line}" for line in text.splitlines(keepends=True)),
        lambda text: "".join(f"        {line}" for line in text.splitlines(keepends=True)),
        lambda text: "\n".join(line.strip() for line in text.splitlines()),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "".join(f"\x1b[32m{line.rstrip()}\x1b[0m\n" for line in text.splitlines()),
        lambda text: text.replace("    ", "\t"),
        lambda text: text.replace("  ", "\xa0 "),
        lambda text: f"\ufeffada@box:~$ command\n```\n{text}```\n",
    ],
    ids=["quoted", "quoted-twice", "comment", "indented", "stripped", "crlf", "colour", "tabs", "nbsp", "shell"],
)
def test_what_mail_and_terminals_do_to_a_text_changes_nothing(text, mangle, pasted):
    assert essence(pasted(mangle(text))) == essence(pasted(text))


@pytest.mark.parametrize("text", ALL.values(), ids=ALL)
def test_a_text_cut_anywhere_is_read_or_refused(text, pasted):
    for end in range(0, len(text), 5):
        try:
            machine = pasted(text[:end])
        except InputError:
            continue
        # Only whole names: those of the text, as they stand there, and beginnings that say that they are.
        assert {gpu.name for gpu in machine.gpus if gpu.name and not gpu.name.endswith("...")} <= NAMES


def test_names_that_are_cut_off_are_not_taken_for_shorter_ones(pasted):
    """A10 is the beginning of A100: a row that ends inside the name is no row."""
    whole = TABLE.replace("NVIDIA L40S ", "NVIDIA A100 ")
    cut = whole[: whole.index("NVIDIA A100 ") + len("NVIDIA A10")]
    assert [gpu.name for gpu in pasted(cut).gpus] == [None]


@pytest.mark.parametrize(
    "text", ["", "\n\n", "hello\nworld", "GPU is fine", "{", "[1]", "N/A", "NVIDIA-SMI", "\x00" * 9, HAND]
)
def test_other_texts_are_refused_with_their_first_line(text, pasted):
    with pytest.raises(InputError) as caught:
        pasted(text)
    said = caught.value.happened
    assert said.startswith("paste: not understood: it")
    assert all(one.name in said for one in FORMATS)
    assert "'hello'" in said or "hello" not in text


def test_a_text_without_end_is_refused(pasted):
    with pytest.raises(InputError, match=r"paste: \d+ characters, more than"):
        pasted(TABLE * (LONGEST_PASTE // len(TABLE) + 1))


def test_a_text_of_lines_without_end_is_refused(pasted):
    with pytest.raises(InputError, match="paste: more than 200000 lines"):
        pasted("\n" * 200_001)


def test_lines_are_read_up_to_a_length():
    assert len(read_paste("x" * 5000).lines[0]) == LONGEST_LINE


def test_more_gpus_than_any_box_has_are_refused(pasted):
    with pytest.raises(InputError, match="more than 1024 GPUs"):
        pasted("".join(f"GPU {n}: NVIDIA A10 (UUID: x)\n" for n in range(1025)))


@pytest.mark.parametrize(
    "text",
    [
        "|" * 1000 + "\n",
        "NVIDIA-SMI Version" + " " * 1000 + "\n",
        "<" * 1000,
        "<a " * 300,
        "\x1b]" * 500,
        "\x1b[" + "0" * 900,
        "> " * 500 + "\n",
        "GPU 0: " + " " * 900 + "\n",
        "<nvidia_smi_log>" + "<a>" * 300,
        "<nvidia_smi_log><a" + " b" * 500,
    ],
)
def test_no_text_takes_long(text, pasted):
    """A megabyte that is made to be slow; only a pattern that backtracks would take minutes."""
    with suppress(InputError):
        pasted((text * (2**20 // len(text)))[:LONGEST_PASTE])


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=30), st.sampled_from(["", "\n", " ", "\r\n"]))
def test_any_text_is_a_machine_or_an_input_error(pieces, glue):
    with suppress(InputError):
        machine = machine_from_paste(glue.join(pieces), MATRIX, origin="paste")
        assert machine.gpus or machine.gpu_state.value != "usable"


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(ALL.values())), st.data())
def test_any_broken_output_is_a_machine_or_an_input_error(text, data):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    patch = data.draw(st.text(max_size=12))
    with suppress(InputError):
        machine_from_paste(text[:start] + patch + text[end:], MATRIX, origin="paste")


def test_the_richest_of_several_outputs_is_read(pasted):
    machine = pasted(TABLE + QUERY)
    assert machine.driver == pasted(QUERY).driver
    assert "the table of `nvidia-smi` of another machine or time (driver 575.57.08, not 570.133.20)" in str(machine)
    assert pasted(LIST + COLLECT_ENV).python is not None
