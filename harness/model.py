"""The model: BertForSequenceClassification from a configuration, with seeded weights and no network."""

from __future__ import annotations

import math
from typing import Any, Sequence

import torch
from transformers import BertConfig, BertForSequenceClassification

from .presets import Preset
from .tokenizer import PAD


def build_model(preset: Preset, vocabulary: int, labels: Sequence[str], seed: int) -> Any:
    """A fresh model on the CPU in fp32; seeds torch, so the weights depend on the seed alone."""
    torch.manual_seed(seed)
    model = BertForSequenceClassification(build_config(preset, vocabulary, labels))
    start_positions_as_waves(model.bert.embeddings.position_embeddings.weight, preset)
    start_attention_nearby(model.bert.encoder.layer[0].attention.self)
    return model


def build_config(preset: Preset, vocabulary: int, labels: Sequence[str]) -> Any:
    """The BertConfig of a preset."""
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=preset.hidden,
        num_hidden_layers=preset.layers,
        num_attention_heads=preset.heads,
        intermediate_size=4 * preset.hidden,
        max_position_embeddings=preset.longest,
        hidden_dropout_prob=preset.dropout,
        attention_probs_dropout_prob=preset.dropout,
        initializer_range=preset.initializer_range,
        pad_token_id=PAD,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
        # One attention kernel under every transformers: 4.41 and later would choose by themselves.
        attn_implementation="eager",
    )


def start_positions_as_waves(weight: torch.Tensor, preset: Preset) -> None:
    """Fills the position embeddings [longest, hidden] in place with sinusoids, which are then trained like the rest.

    Random ones take thousands of steps until attention finds neighbours, which is longer than the whole run.
    """
    longest, hidden = weight.shape
    positions = torch.arange(longest, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, hidden, 2, dtype=torch.float32) * (-math.log(preset.position_base) / hidden))
    with torch.no_grad():
        weight[:, 0::2] = preset.position_scale * torch.sin(positions * rates)
        weight[:, 1::2] = preset.position_scale * torch.cos(positions * rates)


def start_attention_nearby(attention: Any) -> None:
    """Gives the keys the weights of the queries, so that a token first looks at positions and words like its own.

    On wave positions that is its neighbourhood. Without it some seeds need twice the steps to find the binding.
    """
    with torch.no_grad():
        attention.key.weight.copy_(attention.query.weight)


def decay_groups(model: Any, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups for AdamW: matrices decay, biases and LayerNorm weights do not; frozen ones are left out."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trained if parameter.dim() > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.dim() <= 1], "weight_decay": 0.0},
    ]
