"""What classifiers that cannot see order reach on the same split: naive Bayes and logistic regression."""

from __future__ import annotations

import math
from itertools import chain

import numpy as np
import torch

from harness.corpus import Corpus, Message
from harness.tokenizer import split


def accuracies(corpus: Corpus, order: int) -> dict[str, float]:
    """Held-out accuracy of both classifiers on n-grams up to `order`."""
    known = dict.fromkeys(chain(*(grams(message, order) for message in corpus.train)))
    columns = {gram: number for number, gram in enumerate(known)}
    train, held_out = (counts(part, columns, order) for part in (corpus.train, corpus.held_out))
    labels, truth = (np.array([m.label for m in part]) for part in (corpus.train, corpus.held_out))
    kinds = len(corpus.labels)
    return {
        "naive_bayes": naive_bayes(train, labels, held_out, truth, kinds),
        "logistic_regression": logistic_regression(train, labels, held_out, truth, kinds),
    }


def grams(message: Message, order: int) -> list[str]:
    tokens = ["<", *split(message.text), ">"]
    return [" ".join(tokens[at : at + size]) for size in range(1, order + 1) for at in range(len(tokens) - size + 1)]


def counts(messages: tuple[Message, ...], columns: dict[str, int], order: int) -> np.ndarray:
    matrix = np.zeros((len(messages), len(columns)), dtype=np.float32)
    for row, message in enumerate(messages):
        for gram in grams(message, order):
            if gram in columns:
                matrix[row, columns[gram]] += 1
    return matrix


def naive_bayes(train, labels, held_out, truth, kinds) -> float:
    per_kind = np.stack([train[labels == kind].sum(0) for kind in range(kinds)]) + 1.0
    scores = held_out @ np.log(per_kind / per_kind.sum(1, keepdims=True)).T
    scores += np.array([math.log((labels == kind).mean()) for kind in range(kinds)])
    return float((scores.argmax(1) == truth).mean())


def logistic_regression(train, labels, held_out, truth, kinds, steps: int = 60) -> float:
    inputs, targets = torch.from_numpy(train), torch.from_numpy(labels)
    weights = torch.zeros(train.shape[1] + 1, kinds, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=steps)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(inputs @ weights[:-1] + weights[-1], targets)
        value = value + 1e-4 * weights.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        guesses = (torch.from_numpy(held_out) @ weights[:-1] + weights[-1]).argmax(1).numpy()
    return float((guesses == truth).mean())
