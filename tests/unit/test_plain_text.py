from __future__ import annotations

import pytest

from provision.plain_text import clean_text, plain


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("NVIDIA A100", "NVIDIA A100"),
        ("\x1b[31mred\x1b[0m\r\n", "[31mred [0m"),
        ("a\u202eb\u200bc\ud800d\x00e", "a b c d e"),
        ("  two   spaces\tand tabs ", "two spaces and tabs"),
        ("Größe ü 名", "Größe ü 名"),
        ("x" * 1000, "x" * 256),
    ],
)
def test_text_is_made_safe(text, safe):
    assert plain(text) == safe


def test_a_surrogate_that_no_stream_can_encode_is_removed():
    assert clean_text("a\ud800b\udcffc") == "abc"
