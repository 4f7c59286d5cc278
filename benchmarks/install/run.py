"""`gpusetup install` beside the bare installer with the same requirements and flags, cold and warm.

    .venv/bin/python benchmarks/install/run.py --folder DIR [--pairs 2] [--out benchmarks/install/result.json]

The bare run is what a user would type: `uv venv`, then one `uv pip install` that resolves, downloads, unpacks, links and
compiles: the same requirements with torch pinned and bound to the same source, the same indexes, index strategy, wheels
only and bytecode compilation, in a pyproject.toml. Ours is the whole `gpusetup install` with detection, planning, the
look at the sources, the lock, the receipt and the switch, less the verification, which is timed apart. "cold" starts with
an empty uv cache, "warm" with the one that the cold run filled. Pairs are interleaved, A B B A. `phases` are those of our
side; what the phases do not cover (start, detection, planning, receipt, switch) is `outside`. `cpu` is user and system time
of all processes, ours with the verification: it tells the two sides apart where the machine is shared with others.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provision.examined import examine_host, load_default_matrix
from provision.install.backends import UvBackend, uv_environment
from provision.install.configuration import read_configuration
from provision.install.lock import pinned, project_text
from provision.install.looking import look
from provision.install.tools import uv_binary
from provision.planning import plan_for
from provision.records import Request

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Bare:
    """The bare installer's project, options and environment."""

    project: Path
    options: tuple[str, ...]
    environ: dict[str, str]
    python: str
    torch: str


def prepare(folder: Path, words: Sequence[str]) -> Bare:
    """What a user would write down to get the same environment without gpusetup."""
    request = Request(cpu="--cpu" in words, torch=words[words.index("--torch") + 1] if "--torch" in words else None)
    examined = examine_host()
    plan = plan_for(examined, request, load_default_matrix(None))
    configuration = read_configuration()
    choice = look(plan.resolution.candidates, configuration).choice
    assert choice.build
    assert choice.wheel
    assert choice.location
    bound = None if configuration.no_index else choice.location
    text = project_text(pinned(choice.build.requirements, choice.wheel), bound)
    project = folder / "bare" / "pyproject.toml"
    project.parent.mkdir(exist_ok=True)
    project.write_text(text)
    backend = UvBackend(str(uv_binary()), configuration, choice.location)
    argv = backend.compile(project, folder / "unused", "python", os.environ).argv
    strategy = argv[argv.index("--index-strategy") :][:2] if "--index-strategy" in argv else ()
    options = ("--only-binary", ":all:", "--compile-bytecode", *strategy)
    options += ("--no-index",) if configuration.no_index else ()
    interpreters = (examined.machine.python, *examined.machine.interpreters)
    python = next(i.executable for i in interpreters if i and i.version.startswith(choice.build.python + "."))
    environ = uv_environment(os.environ, configuration, choice.location)
    return Bare(project, options, environ, str(python), choice.build.local_version)


def cpu() -> float:
    """CPU seconds of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def gpusetup(env: Path, cache: Path, words: Sequence[str]) -> dict[str, float]:
    """Seconds of each phase of one `gpusetup install`; `total` without the verification."""
    environ = {**os.environ, "UV_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "provision", "install", *words, "--env", str(env), "--json"]
    started, used = time.perf_counter(), cpu()
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    wall = time.perf_counter() - started
    data = json.loads(done.stdout)["data"]
    seconds = data["seconds"]
    assert not data["reused"]
    outside = wall - sum(seconds.values())
    return {**seconds, "outside": outside, "wall": wall, "total": wall - seconds["verify"], "cpu": cpu() - used}


def bare(spec: Bare, env: Path, cache: Path) -> dict[str, float]:
    """Seconds of the bare installer for the same environment."""
    environ = {**spec.environ, "UV_CACHE_DIR": str(cache)}
    binary = str(uv_binary())
    started, used = time.perf_counter(), cpu()
    subprocess.run(
        [binary, "venv", "--quiet", "--no-project", "--python", spec.python, str(env)], env=environ, check=True
    )
    command = [binary, "pip", "install", "--quiet", "--python", f"{env}/bin/python", "-r", str(spec.project)]
    subprocess.run([*command, *spec.options], env=environ, cwd=spec.project.parent, check=True)
    return {"total": time.perf_counter() - started, "cpu": cpu() - used}


def installed(env: Path) -> list[str]:
    """Name and version of every distribution of an environment."""
    return sorted(path.name for path in env.glob("lib/python*/site-packages/*.dist-info"))


def pair(
    folder: Path, spec: Bare, words: Sequence[str], *, is_cold: bool, first: str
) -> tuple[dict[str, float], dict[str, float]]:
    """Figures of (ours, bare); each side has a cache of its own, emptied first when cold."""
    figures = {}
    for side in ("ours", "bare") if first == "ours" else ("bare", "ours"):
        env, cache = folder / f"env-{side}", folder / f"cache-{side}"
        for gone in (env, folder / f".env-{side}.gpusetup", *([cache] if is_cold else [])):
            gone.unlink() if gone.is_symlink() else shutil.rmtree(gone, ignore_errors=True)
        os.sync()  # what the other side left in memory is not written while this one is timed
        figures[side] = gpusetup(env, cache, words) if side == "ours" else bare(spec, env, cache)
    assert installed(folder / "env-ours") == installed(folder / "env-bare"), "the two sides installed different things"
    return figures["ours"], figures["bare"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--torch", help="as that of `gpusetup install`")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    words = ["--cpu", *(["--torch", args.torch] if args.torch else [])]
    spec = prepare(folder, words)
    rows = {}
    verify = 0.0
    for kind in ("cold", "warm"):
        pairs = [
            pair(folder, spec, words, is_cold=kind == "cold", first="ours" if n % 2 else "bare")
            for n in range(args.pairs)
        ]
        totals = [(ours["total"], theirs["total"]) for ours, theirs in pairs]
        rows[kind] = {
            "ours_s": round(statistics.median(a for a, _ in totals), 2),
            "bare_s": round(statistics.median(b for _, b in totals), 2),
            "ratio": round(statistics.median(a / b for a, b in totals), 3),
            "pairs": [[round(a, 2), round(b, 2)] for a, b in totals],
            "cpu_s": [[round(ours["cpu"], 2), round(theirs["cpu"], 2)] for ours, theirs in pairs],
            "phases_s": {k: round(v, 2) for k, v in pairs[-1][0].items()},
        }
        verify = max(verify, *(ours["verify"] for ours, _ in pairs))
        print(f"{kind}: ours {rows[kind]['ours_s']} s, bare {rows[kind]['bare_s']} s, ratio {rows[kind]['ratio']}")
        print("  phases of ours:", "  ".join(f"{k} {v}" for k, v in rows[kind]["phases_s"].items()))
    started = time.perf_counter()
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "provision", "install", *words, "--env", str(folder / "env-ours"), "--json"]
    again = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    reuse = time.perf_counter() - started
    assert json.loads(again.stdout)["data"]["reused"]
    print(f"verify {verify:.1f} s at most, second install of the same plan {reuse:.2f} s")
    result = {
        "torch": spec.torch,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "verify_s": round(verify, 2),
        "reuse_s": round(reuse, 3),
        **rows,
    }
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
