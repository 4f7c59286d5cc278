"""Checks of where the packages of an environment came from, and whether it still is what was installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..recorded import added, exchanged
from ..records import Evidence
from .base import check, counted
from .environment import ANEW, PIP_CHECK, installed, rows, torch_build, why_no_torch

if TYPE_CHECKING:
    from ..records import Finding
    from .base import Check, Facts, Verdict

_OWN_OF_TORCH = ("nvidia-", "cuda-toolkit", "cuda-bindings", "triton", "pytorch-triton")
"""What decides which libraries torch loads."""
_CONDA_TORCH = ("pytorch", "libtorch", "pytorch-gpu", "pytorch-cpu")


@check("wheel.provenance", level="quick", needs=("env",), leads=("wheel.import_time",))
def provenance(facts: Facts, say: Verdict) -> Finding:
    """It is known which program installed torch, and its files are those that were installed.

    What it finds
        A torch that nothing recorded, files that were overwritten after the installation, an artifact other than the
        one of the receipt, and a torch of pip on top of conda's.

    Why it matters
        An installer only takes away what it recorded: what it does not know stays behind and shadows the next release.
        conda and pip each bring CUDA and MKL, and symbols of one are then looked for in the other ("undefined symbol:
        iJIT_NotifyEvent").

    How it is decided
        INSTALLER and direct_url.json in the dist-info; the hash that RECORD has for torch/version.py; the sha256 of
        gpusetup's receipt, where the version is the same. A hash that differs fails; no INSTALLER, and a torch of pip
        in an environment where conda has one too, warn. Addresses are neither read nor kept.

    What to do
        Install torch again with one program: a new environment is the shortest way.

    Sources
        Recording installed projects and direct URL specifications, packaging.python.org; pytorch issue 123097.
    """
    if (skip := why_no_torch(facts, say)) is not None:
        return skip
    held, build = installed(facts).get("torch"), torch_build(facts)
    version = build.version if build else ""
    anew = (ANEW,)
    if facts.flag("env.torch_as_recorded") is False:
        return say.failed(
            f"torch/version.py of torch {version} is not the file that was installed: its hash differs from RECORD.",
            *facts.evidence("env.torch_as_recorded", "env.conda"),
            safe=anew,
            risky=("python -m pip install --force-reinstall --no-deps torch",),
        )
    known = {row[0]: row for row in rows(facts, "env.receipt_distribution")}
    receipt = known.get("torch")
    if held and held.sha256 and receipt and receipt[1] == held.version and receipt[2] not in ("None", held.sha256):
        return say.failed(
            f"torch {version} came from another artifact than gpusetup's receipt names.",
            Evidence("sha256", held.sha256, source="direct_url.json", needs=receipt[2]),
            safe=anew,
        )
    if held is None:
        return say.passed(f"torch {version} was put there without an installer, as a build from source does it.")
    shown = Evidence("installer", held.installer, source="INSTALLER")
    conda = [row for row in rows(facts, "env.conda") if row[0] in _CONDA_TORCH]
    if conda and held.installer not in (None, "conda"):
        return say.warned(
            f"conda has {conda[0][0]} {conda[0][1]} here and {held.installer} has put torch {version} over it.",
            shown,
            *facts.evidence("env.conda"),
            safe=("use an environment of pip or uv alone, or conda's torch alone", *anew),
        )
    if held.installer is None and facts.text("env.kind") != "system":
        return say.warned(
            f"Nothing says which program installed torch {version}.",
            shown,
            safe=(PIP_CHECK, *anew),
        )
    by = f" by {held.installer}" if held.installer else ""
    where = {"index": "from an index", "file": "from a file", "url": "from an address"}.get(
        held.origin, f"({held.origin})"
    )
    channel = f", channel {conda[0][2]}" if conda and conda[0][2] else ""
    return say.passed(f"torch {version} was installed{by} {where}{channel}.", shown)


@check("wheel.lock_drift", level="quick", needs=("env",))
def lock_drift(facts: Facts, say: Verdict) -> Finding:
    """The environment still is what gpusetup installed.

    What it finds
        Packages that were exchanged, removed or added since, such as a torch that `uv run` or another package's
        requirement put back.

    Why it matters
        What was accepted is not what runs.

    How it is decided
        gpusetup-receipt.json in the environment against the dist-info folders. Missing packages and other versions
        fail; added ones warn where they are CUDA's or triton, and are only counted otherwise. pip, setuptools, wheel
        and uv themselves do not count. Without a receipt there is nothing to compare.

    What to do
        `gpusetup install` makes the recorded set anew, beside the old one, and swaps it in at the end.

    Sources
        The receipt of gpusetup; `uv pip install --check` and `uv sync` compare alike.
    """
    if facts.failure("env.path"):
        return say.skipped("The environment could not be read (wheel.torch_present).")
    if not facts.was_looked_at("env.receipt"):
        return say.skipped("gpusetup did not make this environment: it holds no receipt.")
    if why := facts.failure("env.receipt"):
        return say.unknown(f"The receipt in the environment does not help: {why}.", *facts.evidence("env.receipt"))
    held = installed(facts)
    recorded = {row[0]: row[1] for row in rows(facts, "env.receipt_distribution")}
    versions = {name: one.version for name, one in held.items()}
    changed = [
        Evidence(one.name, one.found or "not there", source="dist-info", needs=one.expected)
        for one in exchanged(recorded, versions)
    ]
    path = facts.text("env.path") or "PATH"
    again = (f"gpusetup install --env {path}    (makes it anew beside the old one)",)
    if changed:
        first = changed[0]
        return say.failed(
            f"{counted(len(changed), 'package')} of this environment changed since it was installed:"
            f" {first.name} is {first.value}, and was {first.needs}.",
            *changed[:20],
            safe=again,
        )
    extra = added(recorded, versions)
    near = [name for name in extra if name.startswith(_OWN_OF_TORCH) and name != "nvidia-ml-py"]
    if near:
        return say.warned(
            f"{', '.join(near[:4])} came into the environment after gpusetup made it.",
            *(Evidence(name, held[name].version, source="dist-info", needs="not in the receipt") for name in near[:20]),
            safe=(PIP_CHECK, *again),
        )
    more = f"; {counted(len(extra), 'package')} came later" if extra else ""
    return say.passed(f"All {len(recorded)} packages are those of the receipt{more}.")


@check("wheel.pynvml_dist", level="quick", needs=("env",))
def pynvml_dist(facts: Facts, say: Verdict) -> Finding:
    """The Python module of NVML is NVIDIA's own.

    What it finds
        The distribution `pynvml`, which is deprecated, in the environment.

    Why it matters
        Up to release 11 it installs a module of the same name as nvidia-ml-py: the one that came later shadows the
        other, and removing either deletes the file of both. torch prints a warning about it at every start.

    How it is decided
        Its dist-info in the environment warns, whatever the release.

    What to do
        Remove it and reinstall nvidia-ml-py, in this order.

    Sources
        torch/cuda/__init__.py (its warning about the package); nvidia-ml-py on the package index.
    """
    if facts.failure("env.path"):
        return say.skipped("The environment could not be read (wheel.torch_present).")
    held = installed(facts)
    own = held.get("pynvml")
    if own is None:
        return say.passed("The deprecated distribution pynvml is not installed.")
    official = held.get("nvidia-ml-py")
    return say.warned(
        f"The deprecated distribution pynvml {own.version} is installed and stands in the way of nvidia-ml-py.",
        Evidence("pynvml", own.version, source="dist-info", needs="nvidia-ml-py in its place"),
        *((Evidence("nvidia-ml-py", official.version, source="dist-info"),) if official else ()),
        safe=("python -m pip list | grep -i nvml    (in that environment; with uv: uv pip list)",),
        risky=("python -m pip uninstall pynvml", "python -m pip install --force-reinstall nvidia-ml-py"),
    )


@check("wheel.vuln_or_yanked", level="quick", needs=("env",))
def vuln_or_yanked(facts: Facts, say: Verdict) -> Finding:
    """No weakness that is known of this torch calls for another one.

    What it finds
        A torch with a published weakness, such as torch.load before 2.6.

    Why it matters
        A weights file of a stranger may run code. transformers from 4.52 on refuses to load .bin weights with such a
        torch ("we now require users to upgrade torch to at least v2.6"); safetensors files load.

    How it is decided
        The rows `denied_torch` of the matrix, with the severity that stands there: `fail` fails, `warn` warns, `info`
        passes and is named. A nightly build or a preview of an image counts by its number.

    What to do
        Move to the release that is named, or load safetensors files only.

    Sources
        GitHub security advisories of pytorch/pytorch; matrix.yaml, denied_torch (read 2026-11).
    """
    if (skip := why_no_torch(facts, say)) is not None:
        return skip
    build, matrix = torch_build(facts), facts.matrix
    if build is None or matrix is None:
        return say.unknown("There is no matrix to compare the release with.")
    known = matrix.faults.denied_torch_of(build.public)
    shown = tuple(
        Evidence(
            row.name, build.version, source="matrix.yaml: denied_torch", needs=f">= {'.'.join(map(str, row.below))}"
        )
        for row in known
    )
    bad = sorted((row for row in known if row.severity != "info"), key=lambda row: row.severity != "fail")
    if not bad:
        named = f"; {', '.join(row.name for row in known)} is for those who load files of strangers" if known else ""
        return say.passed(f"torch {build.version} is on no list of releases to leave{named}.", *shown)
    words = f"torch {build.version} has {bad[0].name}: {bad[0].means}"
    steps = tuple(row.do for row in bad)
    if bad[0].severity == "fail":
        return say.failed(words, *shown, safe=(*steps, "gpusetup plan"))
    return say.warned(words, *shown, safe=(*steps, "gpusetup plan"))


CHECKS: tuple[Check, ...] = (provenance, lock_drift, pynvml_dist, vuln_or_yanked)
