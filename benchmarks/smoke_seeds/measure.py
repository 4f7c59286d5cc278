"""The reference seeds of the smoke preset, from which its bar is set.

    OMP_WAIT_POLICY=PASSIVE python -m benchmarks.smoke_seeds.measure

Trains every seed in a process of its own on one thread, two side by side, then the three sabotages, then the
bag-of-words classifiers, and writes results.json beside this file: one entry per run, and the bar
mean - 3 standard deviations (one-sided) over the healthy runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results.json")
SABOTAGED = ("shuffled-labels", "frozen-encoder", "zero-mask")


def train_one(seed: int, sabotage: str, threads: int, precision: str) -> dict:
    """One run in this process."""
    from benchmarks.smoke_seeds.sabotage import SABOTAGES
    from harness.contract import Job
    from harness.run import JobRunner

    job = Job(device="cpu", seed=seed, threads=threads, precision=precision)
    report = JobRunner(job, lambda _: None, SABOTAGES[sabotage]).run()
    first, last = report.quality.first_loss, report.quality.last_loss
    return {
        "seed": seed,
        "sabotage": sabotage,
        "status": report.status,
        "accuracy": report.quality.accuracy,
        "macro_f1": report.quality.macro_f1,
        "eval_loss": report.quality.eval_loss,
        "loss_ratio": last / first,
        "samples_per_s": report.throughput.samples_per_s,
        "seconds": {phase.name: round(phase.seconds, 2) for phase in report.phases},
        "foreign_share": report.host_load.foreign_share,
        "workload": report.workload.digest,
        "data": report.workload.data_digest,
        "precision": report.workload.precision,
        "torch": report.software.torch,
        "transformers": report.software.transformers,
    }


def in_process(seed: int, sabotage: str, threads: int, precision: str) -> dict:
    """One run in a fresh process."""
    argv = [sys.executable, "-m", "benchmarks.smoke_seeds.measure", "--one", str(seed), sabotage]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [*argv, "--threads", str(threads), "--precision", precision],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    entry = json.loads(done.stdout.splitlines()[-1])
    accuracy, ratio = entry["accuracy"], entry["loss_ratio"]
    print(f"seed {seed:3} {sabotage:16} accuracy {accuracy:.4f} loss ratio {ratio:.4f}", flush=True)
    return entry


def summary(entries: list[dict]) -> dict:
    """Mean, deviation and bar of the healthy runs."""
    healthy = [entry for entry in entries if entry["sabotage"] == "none"]
    scores = [entry["accuracy"] for entry in healthy]
    mean, deviation = statistics.fmean(scores), statistics.stdev(scores)
    return {
        "runs": len(scores),
        "accuracy_mean": mean,
        "accuracy_sd": deviation,
        "accuracy_min": min(scores),
        "bar": mean - 3 * deviation,
        "loss_ratio_max": max(entry["loss_ratio"] for entry in healthy),
        "loss_ratio_min_sabotaged": min(
            (entry["loss_ratio"] for entry in entries if entry["sabotage"] != "none"), default=None
        ),
        "accuracy_max_sabotaged": max(
            (entry["accuracy"] for entry in entries if entry["sabotage"] != "none"), default=None
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=2, metavar=("SEED", "SABOTAGE"))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--sabotage-seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(train_one(int(options.one[0]), options.one[1], options.threads, options.precision)))
        return
    jobs = [(seed, "none") for seed in range(1, options.seeds + 1)]
    jobs += [(seed, name) for name in SABOTAGED for seed in range(1, options.sabotage_seeds + 1)]
    with ThreadPoolExecutor(options.workers) as pool:
        entries = list(pool.map(lambda job: in_process(*job, options.threads, options.precision), jobs))
    from benchmarks.smoke_seeds.bag_of_words import accuracies
    from harness.corpus import build_corpus

    corpus = build_corpus()
    bags = {name: accuracies(corpus, order) for name, order in (("unigrams", 1), ("unigrams and bigrams", 2))}
    content = {"summary": summary(entries), "bag_of_words": bags, "runs": entries}
    options.results.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps({"summary": content["summary"], "bag_of_words": bags}, indent=1))


if __name__ == "__main__":
    main()
