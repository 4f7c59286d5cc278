"""The resolver before its independent judge on many random machines, every unlock applied and resolved again.

    .venv/bin/python benchmarks/resolver_check/run.py [--machines 20000] [--seed 1] [--out benchmarks/resolver_check/result.json]

The machines and the judge are those of tests/oracle. Each machine is resolved, the whole list of builds that fit is compared
with the judge's, each reason of a rejection is checked, each unlock is applied and resolved again by both, and every driver and
Python of the matrix is tried for a smaller step. Exit 1 when the two disagree anywhere; the machines are then in the result.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from provision.matrix import read_matrix  # noqa: E402 -- needs the path above
from tests.oracle.compare import Comparison  # noqa: E402
from tests.oracle.facts import Facts  # noqa: E402
from tests.oracle.machines import Pool  # noqa: E402

MAX_SHOWN = 20
PARTS = 16  # of equal size and with a chance of their own, whatever the number of jobs


def shard(work: tuple[int, int, int]) -> tuple[dict[str, int], list[dict[str, object]]]:
    """Counts and disagreements of one part of the machines."""
    seed, part, machines = work
    facts = Facts()
    comparison, pool, rng = Comparison(read_matrix(), facts), Pool(facts), random.Random(f"{seed} {part}")
    disagreements: list[dict[str, object]] = []
    for _ in range(machines):
        machine, request = pool.case(rng.choice)
        if found := list(comparison.disagreements(machine, request)):
            disagreements.append({"machine": machine, "request": request, "found": found[:3]})
    return comparison.counts, disagreements


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machines", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    started = time.perf_counter()
    each = -(-asked.machines // PARTS)
    with ProcessPoolExecutor(asked.jobs) as workers:
        parts = list(workers.map(shard, [(asked.seed, part, each) for part in range(PARTS)]))
    disagreements = [entry for _, found in parts for entry in found]
    result = {
        "seed": asked.seed,
        **{name: sum(counts[name] for counts, _ in parts) for name in parts[0][0]},
        "disagreements": len(disagreements),
        "shown": disagreements[:MAX_SHOWN],
        "matrix_revision": read_matrix().revision,
        "python": platform.python_version(),
        "seconds": round(time.perf_counter() - started, 1),
    }
    text = json.dumps(result, indent=2) + "\n"
    if asked.out:
        asked.out.write_text(text, encoding="utf-8")
    print(text, end="")
    return 1 if disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
