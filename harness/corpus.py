"""The data: customer messages in which two needs are named and only one is what the customer wants in the end.

Every message has a mirror in the same split: the same frame with the two needs exchanged and the other label. Both
have the same words and the same pairs of neighbouring words, so no classifier on unigrams and bigrams can be right
on more than half of a split. A frame (the pair of clauses) belongs to one split only.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Sequence, TypeVar

from .phrases import INTENTS, WORDINGS, Wording

VERSION = "1"
TRAIN_PAIRS = 6144
HELD_OUT_PAIRS = 768
HELD_OUT_SHARE = 4
"""One frame in four is held out."""
BARE_SHARE = 0.7
"""Share of messages without an opening; the openings of the others move everything behind them."""
DATA_SEED = 20260

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Message:
    """One labelled message with the choices that made it."""

    text: str
    label: int
    """Index into INTENTS."""
    language: str
    frame: tuple[int, int]
    """Indices of the wanted and the unwanted clause."""
    mirror: int
    """Number of its mirror pair within the split."""


@dataclass(frozen=True)
class Corpus:
    """Both splits and their identity."""

    train: tuple[Message, ...]
    held_out: tuple[Message, ...]
    labels: tuple[str, ...]
    digest: str
    """SHA-256 over labels and texts of both splits, in order."""


def is_held_out(frame: tuple[int, int]) -> bool:
    """Whether the frame belongs to the held-out split; each clause alone occurs in both splits."""
    wanted, unwanted = frame
    return (wanted + unwanted) % HELD_OUT_SHARE == 0


def build_corpus(train_pairs: int = TRAIN_PAIRS, held_out_pairs: int = HELD_OUT_PAIRS) -> Corpus:
    """The corpus of this version; the same on every machine and Python."""
    train = _split(train_pairs, random.Random(DATA_SEED), held_out=False)
    held_out = _split(held_out_pairs, random.Random(DATA_SEED + 1), held_out=True)
    hashed = hashlib.sha256(f"corpus {VERSION}\n".encode())
    for name, messages in (("train", train), ("held-out", held_out)):
        for message in messages:
            hashed.update(f"{name}\t{message.label}\t{message.text}\n".encode())
    return Corpus(train, held_out, INTENTS, hashed.hexdigest())


def _split(pairs: int, source: random.Random, *, held_out: bool) -> tuple[Message, ...]:
    messages: list[Message] = []
    seen: set[str] = set()
    while len(messages) < 2 * pairs:
        pair = _mirror_pair(_pick(WORDINGS, source), len(messages) // 2, source, held_out=held_out)
        texts = {message.text for message in pair}
        if seen.isdisjoint(texts):
            seen |= texts
            messages.extend(pair)
    return tuple(messages)


def _mirror_pair(wording: Wording, number: int, source: random.Random, *, held_out: bool) -> tuple[Message, Message]:
    """Two messages that differ only in which need stands in which clause."""
    while True:
        frame = (_below(len(wording.wanted), source), _below(len(wording.unwanted), source))
        if is_held_out(frame) == held_out:
            break
    first = _below(len(INTENTS), source)
    second = (first + 1 + _below(len(INTENTS) - 1, source)) % len(INTENTS)
    item = _pick(wording.items, source)
    needs = tuple(wording.need.format(core=_pick(wording.cores[i], source), item=item) for i in (first, second))
    opening = "" if source.random() < BARE_SHARE else _pick(wording.openings, source)
    closing = _pick(wording.closings, source)
    joint = _pick(wording.joints, source)
    wanted_leads = source.random() < 0.5

    def render(wanted: str, unwanted: str) -> str:
        clauses = [wording.wanted[frame[0]].format(need=wanted), wording.unwanted[frame[1]].format(need=unwanted)]
        body = joint.join(clauses if wanted_leads else clauses[::-1])
        return wording.gap.join(part for part in (opening, body, closing) if part)

    return (
        Message(render(needs[0], needs[1]), first, wording.language, frame, number),
        Message(render(needs[1], needs[0]), second, wording.language, frame, number),
    )


def shuffled(count: int, source: random.Random) -> list[int]:
    """The numbers below `count` in an order that depends on the seed alone, not on the version of Python."""
    order = list(range(count))
    for last in range(count - 1, 0, -1):
        other = _below(last + 1, source)
        order[last], order[other] = order[other], order[last]
    return order


def _below(limit: int, source: random.Random) -> int:
    # Only random() is promised to repeat between versions of Python.
    return int(source.random() * limit)


def _pick(options: Sequence[Choice], source: random.Random) -> Choice:
    return options[_below(len(options), source)]
