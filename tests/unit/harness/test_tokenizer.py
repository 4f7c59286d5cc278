from __future__ import annotations

from harness.tokenizer import END, START, UNKNOWN, build_tokenizer, split


def test_words_and_single_characters():
    assert split("Hello, I need 2 lamps.") == ["hello", ",", "i", "need", "2", "lamps", "."]
    assert split("请帮我 refund。") == ["请", "帮", "我", "refund", "。"]


def test_vocabulary_is_in_order_of_first_sight():
    tokenizer = build_tokenizer(["b a", "a c"])
    assert tokenizer.tokens == ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "b", "a", "c")
    assert tokenizer.encode("c a x", longest=8) == [START, 6, 5, UNKNOWN, END]


def test_long_text_is_cut_and_still_ends():
    tokenizer = build_tokenizer(["a b c d"])
    assert tokenizer.encode("a b c d", longest=4) == [START, 4, 5, END]
