"""The safe reading of YAML: what a data file does not need is refused, with line and column."""
# ruff: noqa: E501  cases stand on one line each

import pytest

from provision.errors import InputError
from provision.matrix import document
from provision.matrix.document import line_of, parse_document
from provision.matrix.places import MAX_BYTES, path_text


def test_scalars_are_text_and_plain_null_is_none():
    text = "a: 12.10\nb: yes\nc: null\nd: 'null'\ne: [1, 2.0]\nf: {}\ng: ''\n"
    tree = parse_document(text, origin="f")
    assert tree == {"a": "12.10", "b": "yes", "c": None, "d": "null", "e": ["1", "2.0"], "f": {}, "g": ""}


REFUSED = {
    "repeated key": ("a: 1\nb: 2\na: 3\n", "f: line 3, column 1: found repeated key 'a', expected each key once"),
    "alias": ("a: &x 1\nb: *x\n", "f: line 1, column 4: found anchor &x, expected no anchor: they are not used here"),
    "undefined alias": (
        "b: *x\n",
        "f: line 1, column 4: found alias *x, expected the value itself: aliases are not used here",
    ),
    "python tag": (
        "a: !!python/object/apply:os.system ['true']\n",
        "f: line 1, column 4: found tag tag:yaml.org,2002:python/object/apply:os.system, expected no tag: all values are text here",
    ),
    "list as key": ("? [a]\n: 1\n", "f: line 1, column 3: found a mapping or list as key, expected text as key"),
    "null as key": ("null: 1\n", "f: line 1, column 1: found null as key, expected each key once"),
    "two documents": ("a: 1\n---\nb: 1\n", "f: line 2, column 1: found a second document, expected one document"),
    "nothing": ("# only a comment\n", "f: the file: found nothing, expected one document"),
    "deep": ("[" * 100 + "]" * 100, "f: line 1, column 17: found more than 16 levels, expected at most 16"),
    "very deep": ("[" * 100_000, "f: line 1, column 17: found more than 16 levels, expected at most 16"),
    "too long": (" " * (MAX_BYTES + 1), f"f: the file: found {MAX_BYTES + 1} characters, expected at most {MAX_BYTES}"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_data_does_not_need_is_refused(text, message):
    with pytest.raises(InputError) as caught:
        parse_document(text, origin="f")
    assert caught.value.happened == message


@pytest.mark.parametrize("text", ["a: [1\n", "a: b: c\n", "\tx: 1\n", "a: \x00\n", "a: 'b\n", "%YAML 9.9\n---\na: 1\n"])
def test_broken_yaml_is_an_input_error(text):
    with pytest.raises(InputError) as caught:
        parse_document(text, origin="f")
    assert "expected well-formed YAML" in caught.value.happened


def test_billion_laughs_stop_at_the_first_anchor():
    text = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    with pytest.raises(InputError, match="anchor &a"):
        parse_document(text, origin="f")


def test_paths_are_written_as_people_write_them():
    path = ("torch", "releases", "2.9.1", "variants", "cu128", "arch", "linux_x86_64", 2)
    assert path_text(path) == "torch.releases['2.9.1'].variants.cu128.arch.linux_x86_64[2]"
    assert path_text(()) == "the document"
    assert path_text(("", 0)) == "[''][0]"


def test_lines_lead_to_the_value():
    text = "a:\n  b: [1,\n    2]\n"
    assert line_of(text, ("a", "b", 1)) == 3
    assert line_of(text, ("a", "c")) is None
    assert line_of(text, ("a", "b", 7)) is None


def test_the_pure_parser_reads_the_same(mini):
    fast = parse_document(mini, origin="f")
    import yaml

    composer = document._Composer(mini, "f")
    composer._events = yaml.parse(mini, Loader=yaml.BaseLoader)
    assert composer.document() == fast
