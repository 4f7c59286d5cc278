"""`gpusetup check` beside `python -m torch.utils.collect_env` and `nvitop -1`, in interleaved rounds of fresh processes.

    .venv/bin/python benchmarks/check/run.py --torch-python ENV/bin/python --nvitop ENV/bin/nvitop --runs 11 \
        --out benchmarks/check/result.json

Two boxes: this machine as it is, and the same with the pretended NVML of eight H100 (tests/bench), which all three
programs ask. On the first, nvitop ends at once with an error: its row is what its start costs. The peers print facts
and judge nothing; both are here because they are what people run today. Ratios are
taken round by round; below 1 means that gpusetup is faster. Nothing here says how long a real driver takes.
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
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench import build  # noqa: E402 -- needs the path above

OURS = [sys.executable, "-I", "-m", "provision"]


def once(command: list[str], environ: dict[str, str]) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds of the process and its children, seconds to the first byte on stdout)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd=ROOT, env=environ
    ) as child:
        assert child.stdout is not None
        child.stdout.read(1)
        first = time.perf_counter() - started
        rest = child.stdout.read()
    if command[: len(OURS)] == OURS and (child.returncode not in (0, 1) or not rest):
        raise SystemExit(
            f"{' '.join(command)}: ended with {child.returncode} and {len(rest)} bytes; nothing was measured"
        )
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, first


def rounds(commands: dict[str, list[str]], environ: dict[str, str], runs: int) -> dict[str, list[tuple[float, ...]]]:
    """All commands once per round, their order turned from round to round, after a warm-up of each."""
    for command in commands.values():
        once(command, environ)
    kept: dict[str, list[tuple[float, ...]]] = {name: [] for name in commands}
    names = list(commands)
    for number in range(runs):
        turn = number % len(names)
        for name in (*names[turn:], *names[:turn]):
            kept[name].append(once(commands[name], environ))
    return kept


def rows_of(box: str, kept: dict[str, list[tuple[float, ...]]], peers: list[str]) -> list[dict[str, object]]:
    rows = []
    for name, taken in kept.items():
        row: dict[str, object] = {
            "box": box,
            "command": name,
            "wall_s": round(statistics.median(wall for wall, _, _ in taken), 4),
            "cpu_s": round(statistics.median(cpu for _, cpu, _ in taken), 4),
            "first_byte_s": round(statistics.median(first for _, _, first in taken), 4),
            "slowest_wall_s": round(max(wall for wall, _, _ in taken), 4),
        }
        if name not in peers:
            for peer in peers:
                ratios = sorted(mine[0] / theirs[0] for mine, theirs in zip(taken, kept[peer], strict=True))
                row[f"wall_ratio to {peer}"] = {
                    "median": round(statistics.median(ratios), 3),
                    "least": round(ratios[0], 3),
                    "most": round(ratios[-1], 3),
                }
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--torch-python", required=True, help="an interpreter that has torch")
    parser.add_argument("--nvitop", required=True, help="the program nvitop")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    peers = {
        "python -m torch.utils.collect_env": [args.torch_python, "-m", "torch.utils.collect_env"],
        "nvitop -1": [args.nvitop, "-1"],
    }
    ours = {
        "gpusetup check --level instant": [*OURS, "check", "--level", "instant"],
        "gpusetup check": [*OURS, "check"],
        "gpusetup snapshot": [*OURS, "snapshot", "--json"],
    }
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        libraries = build.build_fake_nvml(Path(folder))
        conf = build.write_conf(Path(folder) / "gpu.conf", "h100x8")
        home = {"XDG_DATA_HOME": f"{folder}/data", "PYTHONDONTWRITEBYTECODE": ""}
        boxes = {
            "this machine": {**os.environ, **home},
            "pretended 8x H100": {**build.environment(libraries, conf), **home},
        }
        for box, environ in boxes.items():
            rows += rows_of(box, rounds({**ours, **peers}, environ, args.runs), list(peers))
    result = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "runs": args.runs,
        "rows": rows,
    }
    for row in rows:
        print(f"{row['box']:<18} {row['command']:<34} wall {row['wall_s']:.3f} s  cpu {row['cpu_s']:.3f} s")
        for name, ratio in row.items():
            if isinstance(ratio, dict):
                print(f"{'':<20}{name}: {ratio['median']} ({ratio['least']} to {ratio['most']})")
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
