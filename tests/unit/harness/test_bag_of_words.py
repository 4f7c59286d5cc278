"""Classifiers that cannot see order must stay far below the bar."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from benchmarks.smoke_seeds.bag_of_words import accuracies  # noqa: E402
from harness.corpus import build_corpus  # noqa: E402
from provision.accept.bars import BARS  # noqa: E402


@pytest.mark.parametrize("order", [1, 2])
def test_bags_of_words_stay_fifteen_points_below_the_bar(order):
    scores = accuracies(build_corpus(train_pairs=1500, held_out_pairs=400), order)
    assert set(scores) == {"naive_bayes", "logistic_regression"}
    for score in scores.values():
        # Above chance, so the classifier works; at most one of two mirrors can be right.
        assert 0.3 < score <= 0.5
        assert score <= BARS["smoke"].accuracy - 0.15
