"""The software of the target environment, as seen from inside."""

from __future__ import annotations

import platform
from typing import Optional

import numpy as np
import torch
import transformers

from .contract import Software


def read_software() -> Software:
    """Versions of everything that takes part; starts no CUDA context.

    Raises RuntimeError when torch and numpy do not work together: training would go on and everything else fail.
    """
    # torch before 2.3 beside numpy 2 imports with a warning alone and says "Numpy is not available" here.
    torch.zeros(1).numpy()
    return Software(
        python=platform.python_version(),
        torch=str(torch.__version__),
        torch_cuda=torch.version.cuda,
        arch_list=tuple(torch.cuda.get_arch_list()),
        transformers=transformers.__version__,
        numpy=np.__version__,
        cudnn=_cudnn(),
        driver=_driver(),
    )


def explain_gaps(software: Software, device_kind: str) -> tuple[str, ...]:
    """One sentence for each fact that is missing although the device is a GPU, and for GPUs that stay idle."""
    if device_kind != "cuda":
        return ()
    notes = []
    if software.driver is None:
        notes.append("The driver version is unknown: /sys/module/nvidia/version cannot be read (WSL has none).")
    if torch.cuda.device_count() > 1:
        notes.append(f"One of {torch.cuda.device_count()} visible GPUs was used.")
    return tuple(notes)


def _cudnn() -> Optional[str]:
    if torch.version.cuda is None or not torch.backends.cudnn.is_available():
        return None
    # 90100 is 9.1.0 and, before version 9, 8902 is 8.9.2 (cudnn_version.h).
    number = int(torch.backends.cudnn.version())
    major, rest = divmod(number, 10000 if number >= 90000 else 1000)
    return f"{major}.{rest // 100}.{rest % 100}"


def _driver() -> Optional[str]:
    # 535.104.05
    try:
        with open("/sys/module/nvidia/version", encoding="ascii") as stream:
            return stream.read().strip() or None
    except OSError:
        return None
