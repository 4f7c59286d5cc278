"""Pages of `gpusetup explain`: checks and rules carry theirs in the source, errors have theirs here."""

from __future__ import annotations

import inspect
from typing import Any, Final

#: Pages of the errors and findings that are neither a check nor a rule of the resolver.
PAGES: Final[dict[str, str]] = {
    "no-usable-gpu": """Fewer GPUs can be used than --require-gpu asked for.

A GPU counts as usable when NVML lists it and answers for it. `gpusetup check` names the cause for each one that is there
and does not count; `gpusetup detect` shows what was read, from which source.""",
    "gpu-unusable": """An NVIDIA GPU is there and cannot be used.

A plan for the CPU is never made in silence on such a box: the environment would look healthy and train a hundred times
slower. Mend the cause (`gpusetup check`), or say --cpu to get a CPU environment on purpose.""",
    "no-compatible-build": """No build in the matrix fits this machine and this request.

`gpusetup plan` lists every build that was passed over with its failing rule, and the smallest changes (another driver,
Python or torch) that would admit one.""",
    "no-source-holds-it": """Builds fit the machine, and none of the configured package sources holds one.

gpusetup asks the index that the matrix names and the sources of your own configuration (pip.conf, PIP_*, uv settings,
find-links). A CPU plan is met only by a CPU build, a CUDA plan only by that CUDA build. Check the network and proxies, point
--torch-index at a mirror of PyTorch's wheel index, or add a find-links folder that holds the wheel.""",
    "not-in-sources": """A build that fits is held by none of the sources that were asked.

The plan goes on to the next build of the same kind. Each source that was asked is listed with its answer.""",
    "install-failed": """The environment could not be made. The old one, if there was one, still works.

The installer's own last lines and its log are named with the error. Running the command again finishes the job; leftovers
of the failed run are removed first.""",
    "harness-failed": """The acceptance workload could not run in the environment.

The lines that it wrote last are part of the error. This is not a verdict on the machine: nothing was measured.""",
    "bad-input": """A file that was read is not what it should be.

The message names the place inside the file, what was found there and what was expected.""",
    "usage": """The words of the command line do not fit together. `gpusetup COMMAND --help` shows an example.""",
    "interrupted": """The command was stopped by Ctrl-C. What was there before still works; the next run finishes the job.""",
    "terminated": """The command was stopped by SIGTERM. What was there before still works; the next run finishes the job.""",
    "internal-error": """gpusetup met a bug of its own. The log that is named holds what a report of it needs.""",
    "acc.on_gpu": """The plan was for the GPU, and the training ran, or would have run, on the CPU.

What it finds: tensors that live elsewhere than planned. Why it matters: a speed measured on the CPU says nothing about the
GPU, and torch.cuda.is_available() proves nothing. How it is decided: by the device on which the parameters and batches really
were, and by a kernel whose result was compared with the CPU's. What to do: `gpusetup check`.""",
    "acc.loss": """The training loss must stay finite and fall.

How it is decided: the mean of the last steps against the mean of the first ones; the bar stands beside the figure.""",
    "acc.quality": """The held-out accuracy must be above the bar of the workload.

The bar is the mean minus three standard deviations over at least 20 reference seeds, kept under benchmarks/. A word-counting
classifier stays clearly below it, so only a model that really learned passes.""",
    "acc.steps": """As many optimizer steps must have been executed as were planned; otherwise no rate is printed.""",
    "acc.software": """torch.__version__ and torch.version.cuda inside the environment must equal the plan.""",
}


def page(id_: str) -> str | None:
    """The page of an id; None when nothing has that id."""
    return PAGES.get(id_) or _check_pages().get(id_) or _rule_pages().get(id_)


def known_ids() -> tuple[str, ...]:
    """Every id that has a page, sorted."""
    return tuple(sorted({*PAGES, *_check_pages(), *_rule_pages()}))


def _check_pages() -> dict[str, str]:
    from .checks import CHECKS

    return {check.id: inspect.cleandoc(check.page) for check in CHECKS}


def _rule_pages() -> dict[str, str]:
    from .resolve import RULES, rule_id

    rules: tuple[Any, ...] = RULES
    return {rule_id(rule): inspect.cleandoc(rule.__doc__ or "") for rule in rules}
