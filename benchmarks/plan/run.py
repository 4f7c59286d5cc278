"""What planning costs: one machine from a cold interpreter beside peers, and ten thousand machines in one process.

    .venv/bin/python benchmarks/plan/run.py --runs 21 --out benchmarks/plan/result.json

Cold starts are fresh processes in interleaved order; their ratios are taken round by round. Every figure of many machines
is a fresh process, too, so that its peak memory (resident set, from the kernel's account of the child) is its own.
`different`: no two machines agree on GPU, driver, Python and system together. `cluster`: forty kinds of machines.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: As `./gpusetup` starts it, from this very folder whether or not it is installed.
OURS = [
    *(sys.executable, "-I", "-c"),
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); from provision.__main__ import main; sys.exit(main())",
]
#: Done, and no common build: what is measured is the answer, not the fleet.
RIGHT = (0, 4)
#: One machine that is not this one, so that the figure does not hang on what the measuring host has.
TYPED = ["plan", "--gpu", "NVIDIA H100 80GB HBM3", "--driver", "535.104.05", "--python", "3.11"]
COLD = {
    "gpusetup plan (typed in)": [*OURS, *TYPED],
    "gpusetup plan (this machine)": [*OURS, "plan"],
    "python -c pass": [sys.executable, "-I", "-c", "pass"],
    "python -c 'import click, yaml'": [sys.executable, "-I", "-c", "import click, yaml"],
}
PEERS = [name for name in COLD if name.startswith("python")]


def once(command: list[str]) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds, peak resident MiB) of a fresh process.

    The kernel counts the parent's size into the child's peak at the start, so this program stays small itself.
    """
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode in RIGHT, (command, child.returncode)
    return time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def spread(values: list[float], digits: int = 4) -> dict[str, float]:
    """Median, and the quarter points around it."""
    low, middle, high = statistics.quantiles(values, n=4)
    return {"median": round(middle, digits), "p25": round(low, digits), "p75": round(high, digits)}


def cold(runs: int) -> dict[str, object]:
    """Every command once per round, in turning order, after one warm-up of each."""
    for command in COLD.values():
        once(command)
    taken: dict[str, list[tuple[float, float, float]]] = {name: [] for name in COLD}
    for number in range(runs):
        names = list(COLD)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            taken[name].append(once(COLD[name]))
    rows = {}
    for name, measured in taken.items():
        rows[name] = {
            "wall_s": spread([wall for wall, _, _ in measured]),
            "cpu_s": spread([cpu for _, cpu, _ in measured]),
            "peak_rss_mib": round(max(rss for _, _, rss in measured), 1),
        }
        if name not in PEERS:
            for peer in PEERS:
                ratios = [mine[0] / its[0] for mine, its in zip(measured, taken[peer], strict=True)]
                rows[name][f"wall_ratio to {peer}"] = spread(ratios, 3)
    return {"runs": runs, "commands": rows}


def many(number: int, runs: int) -> dict[str, object]:
    """Fleets of that many machines: the resolver alone, and the whole command on JSON lines."""
    result: dict[str, object] = {"machines": number, "runs": runs}
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("different", "cluster"):
            path = Path(folder) / f"{kind}.jsonl"
            with path.open("w") as stream:
                subprocess.run([*_beside("machines.py"), kind, str(number)], stdout=stream, check=True, cwd=ROOT)
            alone = [json.loads(_answer([*_beside("resolver.py"), str(path)])) for _ in range(runs)]
            command = [once([*OURS, "plan", "--from", str(path), "--json"]) for _ in range(runs)]
            result[kind] = {
                "jsonl_mib": round(path.stat().st_size / 2**20, 1),
                "resolver": {
                    "wall_s": spread([run["wall_s"] for run in alone], 3),
                    "cpu_s": spread([run["cpu_s"] for run in alone], 3),
                    "machines_per_s": round(number / statistics.median(run["wall_s"] for run in alone)),
                    "peak_rss_mib": round(max(run["peak_rss_mib"] for run in alone), 1),
                    "rss_before_mib": round(max(run["rss_of_machines_mib"] for run in alone), 1),
                },
                "gpusetup plan --from machines.jsonl --json": {
                    "wall_s": spread([wall for wall, _, _ in command], 3),
                    "cpu_s": spread([cpu for _, cpu, _ in command], 3),
                    "machines_per_s": round(number / statistics.median(wall for wall, _, _ in command)),
                    "peak_rss_mib": round(max(rss for _, _, rss in command), 1),
                },
            }
    return result


def _beside(name: str) -> list[str]:
    return [sys.executable, str(Path(__file__).parent / name)]


def _answer(command: list[str]) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT, text=True).stdout


def show(result: dict) -> None:
    """The figures as lines."""
    for name, row in result["cold"]["commands"].items():
        wall = row["wall_s"]
        print(f"{name:<32} {wall['median']:.3f} s  ({wall['p25']:.3f} to {wall['p75']:.3f})  {row['peak_rss_mib']} MiB")
        for peer in PEERS:
            if ratio := row.get(f"wall_ratio to {peer}"):
                print(f"{'':<32} {ratio['median']:.2f} x {peer}")
    for kind in ("different", "cluster"):
        for name, row in list(result["many"][kind].items())[1:]:
            wall, cpu, rate = (row[key] for key in ("wall_s", "cpu_s", "machines_per_s"))
            times = f"{wall['median']:.2f} s  (CPU {cpu['median']:.2f} s)"
            print(f"{kind:<10} {name:<43} {times}  {rate:,} machines/s  {row['peak_rss_mib']} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--fleet-runs", type=int, default=5)
    parser.add_argument("--machines", type=int, default=10_000)
    parser.add_argument("--note", default="", help="What a reader must know of the measuring machine.")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    load = [round(value, 2) for value in os.getloadavg()]
    result = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "note": args.note,
        "load_average_before": load,
        "cold": cold(args.runs),
        "many": many(args.machines, args.fleet_runs),
    }
    result["load_average_after"] = [round(value, 2) for value in os.getloadavg()]
    show(result)
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
