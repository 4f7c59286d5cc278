"""Runs inside the environment on trial: a tiny BERT, five steps, saved and reloaded. One JSON line on stdout.

Python 3.8 syntax: it has to start wherever the oldest torch does. A failure is reported with the stage that it stopped.
"""

import json
import platform
import tempfile
import time
import zlib
from pathlib import Path

STEPS = 5
WORDS = 120


def main():
    report = {"python": platform.python_version()}
    started = time.perf_counter()
    try:
        for stage, run in STAGES:
            report["stage"] = stage
            run(report)
        report["outcome"] = "ok"
        del report["stage"]
    except Exception as err:  # noqa: BLE001  whatever a foreign package raises is the finding
        report.update(outcome="fails", error=last_line(err))
    report.pop("model", None)
    report["seconds"] = round(time.perf_counter() - started, 1)
    print(json.dumps(report))


def last_line(err):
    while err.__cause__ is not None:  # transformers wraps what went wrong in a sentence of its own
        err = err.__cause__
    lines = [line for line in str(err).splitlines() if line.strip()] or [""]
    return (type(err).__name__ + ": " + lines[-1].strip())[:300]


def import_torch(report):
    import torch

    torch.set_num_threads(1)
    report.update(torch=torch.__version__, torch_cuda=torch.version.cuda)


def import_model(report):
    import transformers

    report["transformers"] = transformers.__version__
    from transformers import BertForSequenceClassification

    assert hasattr(BertForSequenceClassification, "forward")


def read_versions(report):
    import numpy as np
    import safetensors
    import tokenizers

    found = {"numpy": np, "safetensors": safetensors, "tokenizers": tokenizers}
    report["versions"] = {name: module.__version__ for name, module in found.items()}
    from importlib.metadata import PackageNotFoundError, version

    for name in ("huggingface_hub", "setuptools"):
        try:
            report["versions"][name] = version(name)
        except PackageNotFoundError:
            report["versions"][name] = None


def bridge_numpy(_report):
    import numpy as np
    import torch

    there = torch.from_numpy(np.arange(6, dtype=np.float32))
    back = (there * 2).numpy()
    assert back.tolist() == [0, 2, 4, 6, 8, 10], back


def build(report):
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=WORDS,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=3,
    )
    model = BertForSequenceClassification(config)
    # Weights by name, not by the order in which a release draws them: losses can then be compared across releases.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            if name.endswith("LayerNorm.weight"):
                parameter.fill_(1.0)
            else:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    report["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    report["model"] = model


def batch():
    import torch

    generator = torch.Generator().manual_seed(7)
    tokens = torch.randint(1, WORDS, (8, 16), generator=generator)
    lengths = torch.randint(4, 17, (8, 1), generator=generator)
    mask = (torch.arange(16)[None, :] < lengths).long()
    return {"input_ids": tokens * mask, "attention_mask": mask}, torch.randint(0, 3, (8,), generator=generator)


def train(report):
    import math

    import torch

    model = report["model"]
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    inputs, labels = batch()
    losses = []
    for _ in range(STEPS):
        loss = model(labels=labels, **inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach().numpy()))
    assert all(math.isfinite(value) for value in losses), losses
    assert losses[-1] < losses[0], losses
    report["losses"] = [round(value, 7) for value in losses]


def save_and_reload(report):
    import torch
    from transformers import BertForSequenceClassification

    model = report["model"].eval()
    inputs, _ = batch()
    # Before transformers 4.35 safetensors was the choice of the caller; from 5 on there is no other.
    choice = {} if int(report["transformers"].split(".")[0]) >= 5 else {"safe_serialization": True}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        before = model(**inputs).logits
        model.save_pretrained(folder, **choice)
        assert (Path(folder) / "model.safetensors").exists(), sorted(Path(folder).iterdir())
        after = BertForSequenceClassification.from_pretrained(folder).eval()(**inputs).logits
    assert torch.allclose(before, after, atol=1e-6), (before - after).abs().max()


STAGES = (
    ("import torch", import_torch),
    ("import BertForSequenceClassification", import_model),
    ("versions", read_versions),
    ("numpy bridge", bridge_numpy),
    ("build", build),
    ("train", train),
    ("save and reload", save_and_reload),
)

if __name__ == "__main__":
    main()
