from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from harness.corpus import Corpus, Message, build_corpus, is_held_out, shuffled
from harness.phrases import INTENTS, WORDINGS
from harness.tokenizer import split

DIGEST = "2db1573684f5eda5bf90723ba6ee6f076972391c79cf06c9218c16121f5ef163"


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return build_corpus()


def pairs(messages: tuple[Message, ...]) -> list[tuple[Message, Message]]:
    return list(zip(messages[::2], messages[1::2], strict=True))


def test_same_data_everywhere(corpus):
    assert corpus.digest == DIGEST
    assert build_corpus().digest == DIGEST


def test_both_languages_are_there(corpus):
    for part in (corpus.train, corpus.held_out):
        shares = Counter(message.language for message in part)
        assert set(shares) == {"en", "zh"}
        assert min(shares.values()) > 0.45 * len(part)


def test_splits_share_no_message_and_no_frame(corpus):
    assert not {m.text for m in corpus.train} & {m.text for m in corpus.held_out}
    assert not {(m.language, m.frame) for m in corpus.train} & {(m.language, m.frame) for m in corpus.held_out}


def test_no_message_twice(corpus):
    for part in (corpus.train, corpus.held_out):
        assert len({message.text for message in part}) == len(part)


def test_every_clause_is_seen_in_training(corpus):
    for wording in WORDINGS:
        frames = {m.frame for m in corpus.train if m.language == wording.language}
        assert {wanted for wanted, _ in frames} == set(range(len(wording.wanted)))
        assert {unwanted for _, unwanted in frames} == set(range(len(wording.unwanted)))


def test_frame_decides_the_split(corpus):
    assert not any(is_held_out(message.frame) for message in corpus.train)
    assert all(is_held_out(message.frame) for message in corpus.held_out)


@pytest.mark.parametrize("name", ["train", "held_out"])
def test_mirrors_have_the_same_words_and_neighbours_and_other_labels(corpus, name):
    for one, other in pairs(getattr(corpus, name)):
        first, second = split(one.text), split(other.text)
        assert one.mirror == other.mirror
        assert one.label != other.label
        assert Counter(first) == Counter(second)
        assert Counter(pairwise(first)) == Counter(pairwise(second))


@pytest.mark.parametrize("name", ["train", "held_out"])
def test_labels_are_balanced(corpus, name):
    part = getattr(corpus, name)
    shares = [count / len(part) for count in Counter(message.label for message in part).values()]
    assert len(shares) == len(INTENTS)
    assert max(shares) < 1.2 / len(INTENTS)
    assert min(shares) > 0.8 / len(INTENTS)


def test_wanted_clause_leads_as_often_as_not(corpus):
    """Otherwise the first need would be a good guess."""
    leads = total = 0
    for wording in WORDINGS:
        cues = [clause.replace("{need}", "").strip() for clause in wording.wanted]
        others = [clause.replace("{need}", "").strip() for clause in wording.unwanted]
        for message in corpus.train:
            if message.language == wording.language and "{need} " not in wording.unwanted[message.frame[1]]:
                wanted, unwanted = cues[message.frame[0]], others[message.frame[1]]
                if wanted in message.text and unwanted in message.text:
                    leads += message.text.index(wanted) < message.text.index(unwanted)
                    total += 1
    assert total > 5000
    assert 0.47 < leads / total < 0.53


def test_messages_differ_in_length_and_fit(corpus):
    lengths = [len(split(message.text)) + 2 for message in corpus.train + corpus.held_out]
    assert max(lengths) <= 64
    assert max(lengths) - min(lengths) > 25


def test_shuffled_is_a_permutation_that_depends_on_its_source():
    import random

    assert sorted(shuffled(50, random.Random(1))) == list(range(50))
    assert shuffled(50, random.Random(1)) == shuffled(50, random.Random(1))
    assert shuffled(50, random.Random(1)) != shuffled(50, random.Random(2))
    assert shuffled(6, random.Random(3)) == [0, 4, 3, 5, 2, 1]
