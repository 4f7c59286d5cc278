from __future__ import annotations

import dataclasses
import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from harness.model import build_model, decay_groups  # noqa: E402
from harness.presets import SMOKE  # noqa: E402
from harness.tape import Tape  # noqa: E402

SMALL = dataclasses.replace(SMOKE, hidden=16, heads=2, longest=8)
LABELS = ("a", "b", "c")


def test_weights_depend_on_the_seed_alone():
    first, second, other = (build_model(SMALL, 20, LABELS, seed) for seed in (1, 1, 2))
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name])
    assert not torch.equal(first.classifier.weight, other.classifier.weight)


def test_positions_start_as_waves_and_attention_nearby():
    model = build_model(SMALL, 20, LABELS, 1)
    positions = model.bert.embeddings.position_embeddings.weight
    assert positions[0, :4].tolist() == pytest.approx([0.0, 0.15, 0.0, 0.15])
    assert positions[3, 0].item() == pytest.approx(0.15 * math.sin(3.0))
    attention = model.bert.encoder.layer[0].attention.self
    assert torch.equal(attention.query.weight, attention.key.weight)
    assert positions.requires_grad


def test_matrices_decay_and_vectors_do_not():
    model = build_model(SMALL, 20, LABELS, 1)
    decayed, kept = decay_groups(model, 0.1)
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    assert all(parameter.dim() > 1 for parameter in decayed["params"])
    assert len(decayed["params"]) + len(kept["params"]) == len(list(model.parameters()))


def test_frozen_parameters_are_left_out():
    model = build_model(SMALL, 20, LABELS, 1)
    model.bert.requires_grad_(requires_grad=False)
    assert sum(len(group["params"]) for group in decay_groups(model, 0.1)) == 2


@pytest.mark.parametrize(
    ("loss", "norm", "may_overflow", "bad"),
    [
        (1.0, 2.0, False, None),
        (math.nan, 2.0, False, 0),
        (1.0, math.inf, False, 0),
        (1.0, math.inf, True, None),
        (math.inf, 1.0, True, 0),
    ],
)
def test_tape_finds_what_is_not_finite(loss, norm, may_overflow, bad):
    tape = Tape(torch.device("cpu"), norms_may_overflow=may_overflow)
    tape.push(torch.tensor(loss), torch.tensor(norm))
    assert tape.first_non_finite_step == bad
    assert tape.skipped_updates == (1 if math.isfinite(loss) and not math.isfinite(norm) else 0)
