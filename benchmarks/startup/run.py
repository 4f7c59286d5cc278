"""Cold starts of gpusetup beside peers, in interleaved pairs: wall and CPU seconds, medians and ratios.

    .venv/bin/python benchmarks/startup/run.py --runs 15 --torch-python ENV/bin/python --out benchmarks/startup/result.json

Every run is a fresh process. `--torch-python` names an interpreter that has torch, for the peer
`python -m torch.utils.collect_env`; without it that pair is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = [sys.executable, "-I", "-m", "provision"]


def once(command: list[str]) -> tuple[float, float]:
    """(wall seconds, CPU seconds of the process and its children)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, cwd=ROOT)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def pair(ours: list[str], peer: list[str], runs: int) -> dict[str, object]:
    """A B, B A, A B ... after one warm-up of each; the ratio is taken pair by pair."""
    once(ours), once(peer)
    mine, theirs = [], []
    for number in range(runs):
        for command, kept in ((ours, mine), (peer, theirs)) if number % 2 else ((peer, theirs), (ours, mine)):
            kept.append(once(command))
    return {
        "ours": " ".join(["gpusetup", *ours[len(OURS) :]]),
        "peer": " ".join(Path(word).name for word in peer),
        "wall_s": round(statistics.median(wall for wall, _ in mine), 4),
        "cpu_s": round(statistics.median(cpu for _, cpu in mine), 4),
        "peer_wall_s": round(statistics.median(wall for wall, _ in theirs), 4),
        "wall_ratio": round(statistics.median(a[0] / b[0] for a, b in zip(mine, theirs, strict=True)), 3),
        "runs": runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--torch-python")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    bare = [sys.executable, "-I", "-c", "pass"]
    pip = [sys.executable, "-I", "-m", "pip", "--version"]
    rows = [pair([*OURS, word], bare, args.runs) for word in ("--version", "--help")]
    rows += [
        pair([*OURS, *words], pip, args.runs)
        for words in (["detect"], ["plan"], ["check", "--level", "instant"], ["check"])
    ]
    if args.torch_python:
        collect = [args.torch_python, "-m", "torch.utils.collect_env"]
        rows.append(pair([*OURS, "detect"], collect, max(3, args.runs // 5)))
    result = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "rows": rows,
    }
    for row in rows:
        print(
            f"{row['ours']:<22} wall {row['wall_s']:.3f} s  cpu {row['cpu_s']:.3f} s   "
            f"{row['wall_ratio']:>7.3f} x  {row['peer']}"
        )
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
