"""Words for Latin text, single characters for everything else, numbered by a vocabulary from the training split.

Its own few lines, because the constructors of the tokenizers in transformers 4 and 5 take different things.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterable

PAD, UNKNOWN, START, END = range(4)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_TOKEN = re.compile(r"[a-z0-9]+|[^\sa-z0-9]")


def split(text: str) -> list[str]:
    """The tokens of a text, in lower case."""
    return _TOKEN.findall(text.lower())


@dataclass(frozen=True)
class Tokenizer:
    """Turns text into numbers. `tokens[i]` is the token with number i; the first four are special."""

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_numbers", {token: number for number, token in enumerate(self.tokens)})

    def encode(self, text: str, longest: int) -> list[int]:
        """Token ids with [CLS] in front and [SEP] at the end, at most `longest` of them."""
        numbers: dict[str, int] = getattr(self, "_numbers")  # noqa: B009 - set past the frozen dataclass
        ids = [numbers.get(token, UNKNOWN) for token in split(text)]
        return [START, *ids[: longest - 2], END]


def build_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """The tokenizer whose vocabulary is every token of the texts, in the order of first sight."""
    seen = dict.fromkeys(token for text in texts for token in split(text))
    return Tokenizer((*SPECIAL, *seen))
