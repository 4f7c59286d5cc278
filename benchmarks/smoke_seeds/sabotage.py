"""Ways to break the run on purpose: each must be rejected by the bar that the healthy run passes."""

from __future__ import annotations

import dataclasses
import random

from harness.corpus import shuffled
from harness.train import Batch, Hooks, Samples


def shuffle_labels(samples: Samples) -> Samples:
    """The same messages and labels, with no relation between them."""
    order = shuffled(len(samples.labels), random.Random(99))
    return dataclasses.replace(samples, labels=tuple(samples.labels[number] for number in order))


def freeze_encoder(model):
    """Only the classifier head is left to train."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("classifier."))
    return model


def zero_mask(batch: Batch) -> Batch:
    """The model is told that every token is padding."""
    return dataclasses.replace(batch, attention_mask=batch.attention_mask * 0)


SABOTAGES = {
    "none": Hooks(),
    "shuffled-labels": Hooks(change_samples=shuffle_labels),
    "frozen-encoder": Hooks(change_model=freeze_encoder),
    "zero-mask": Hooks(change_batch=zero_mask),
}
