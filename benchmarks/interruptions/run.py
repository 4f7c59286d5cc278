"""Kills of real `gpusetup install` runs, as many in each phase: what was there works, the next run ends and leaves nothing.

    .venv/bin/python benchmarks/interruptions/run.py --kills 300 --boxes 2 --out benchmarks/interruptions/result.json

Stand-in wheels from a local index, two builds in turn; SIGKILL some time into each phase (start, choose, venv, install, verify,
switch, prune), the delay drawn from a seed that is kept. A phase may be over before the signal arrives: where the kill really hit is
read from the disk and counted. After each one the environment's Python has to run and import, one more install has to succeed,
nothing but environments may be left, and nothing may still run. Each box has an environment, an index and a process of its own. About 2 CPU seconds per kill.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from tests.bench import index as bench_index  # noqa: E402 -- needs the path above
from tests.bench.interrupting import PHASES, Box, alternating, make_site  # noqa: E402


def one(box: Box, old: str, new: str, phase: str, dice: random.Random) -> dict[str, Any]:
    """One kill and what followed; AssertionError when something does not hold."""
    cut = box.cut(new, dice, phase=phase)
    works = box.torch()
    assert works in {old, new}, (cut, works)
    return {
        "wanted": cut.wanted,
        "hit": cut.phase,
        "delay_s": cut.delay_s,
        "after": "old" if works == old else "new",
        **box.recovered(new),
    }


def kills(folder: Path, count: int, seed: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Every kill as a row, and the words of those after which something did not hold."""
    dice, rows, failures = random.Random(seed), [], []
    site = make_site(folder / "site")
    with bench_index.serving(site) as (address, _):
        box, torches = Box(folder / "box", address), alternating()
        box.env.parent.mkdir(parents=True)
        old = next(torches)
        box.recovered(old)
        for number in range(count):
            new = next(torches)
            try:
                rows.append(one(box, old, new, PHASES[number % len(PHASES)], dice))
            except AssertionError as err:
                failures.append(f"kill {number}: {err}")
                box.run("env", "remove", "--yes")
                box.recovered(new)
            old = new
            print(f"{number + 1}/{count} {rows[-1] if rows else ''}", file=sys.stderr, flush=True)
    return rows, failures


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By the phase that was hit: kills, which environment was there afterwards, what was not repeated, seconds to recover."""
    found = {}
    for phase in (*PHASES, "end"):
        of = [row for row in rows if row["hit"] == phase]
        if of:
            resumed = collections.Counter(",".join(row["resumed"]) or "nothing" for row in of)
            found[phase] = {
                "kills": len(of),
                "environment_after": dict(collections.Counter(row["after"] for row in of)),
                "not_repeated": dict(resumed),
                "recovery_s": round(statistics.median(row["seconds"] for row in of), 2),
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--boxes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gpusetup-interruptions-") as folder:
        places = [Path(folder) / f"box-{number}" for number in range(args.boxes)]
        counts = [args.kills // args.boxes] * args.boxes
        seeds = [args.seed + number for number in range(args.boxes)]
        with concurrent.futures.ProcessPoolExecutor(args.boxes) as pool:
            answers = list(pool.map(kills, places, counts, seeds))
    rows = [row for of_box, _ in answers for row in of_box]
    failures = [text for _, of_box in answers for text in of_box]
    result = {
        "command": f"benchmarks/interruptions/run.py --kills {args.kills} --boxes {args.boxes} --seed {args.seed}",
        "python": platform.python_version(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[1], 1),
        "kills": len(rows) + len(failures),
        "seconds": round(time.monotonic() - started),
        "failures": failures,
        "hit": summary(rows),
        "rows": [[row["wanted"], row["hit"], row["delay_s"], row["after"], row["seconds"]] for row in rows],
    }
    text = json.dumps(result, indent=1)
    text = (
        text[: text.index('"rows"')]
        + '"rows": [\n'
        + ",\n".join(f"  {json.dumps(row)}" for row in result["rows"])
        + "\n ]\n}\n"
    )
    if args.out:
        args.out.write_text(text)
    print(text if not args.out else json.dumps(result["hit"], indent=1))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
