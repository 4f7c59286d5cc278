"""The trained model on disk: safetensors, configuration and vocabulary, as transformers reads them."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

from safetensors.torch import save_file

from .tokenizer import Tokenizer


def is_free(folder: str) -> bool:
    """Whether a model may be saved there: nothing is there, or an empty folder."""
    return not os.path.exists(folder) or (os.path.isdir(folder) and not os.listdir(folder))


def save_model(folder: str, model: Any, tokenizer: Tokenizer) -> None:
    """Writes the folder whole or not at all. Raises OSError, also when it is not free."""
    target = os.path.abspath(folder)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    beside = tempfile.mkdtemp(dir=os.path.dirname(target), suffix=".part")
    os.chmod(beside, 0o755)  # noqa: S103 - mkdtemp made it private, and a model is meant to be read
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, os.path.join(beside, "model.safetensors"), metadata={"format": "pt"})
    model.config.architectures = ["BertForSequenceClassification"]
    model.config.save_pretrained(beside)
    with open(os.path.join(beside, "vocab.txt"), "w", encoding="utf-8") as stream:
        stream.writelines(f"{token}\n" for token in tokenizer.tokens)
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": _longest(model)}
    with open(os.path.join(beside, "tokenizer_config.json"), "w", encoding="utf-8") as stream:
        json.dump(settings, stream, indent=1)
    # rename(2) replaces an empty folder and refuses one with content.
    os.rename(beside, target)


def _longest(model: Any) -> int:
    return int(model.config.max_position_embeddings)
