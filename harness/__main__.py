"""Runs one job: `python -I harness.pyz --job job.json --report report.json`.

Standard output carries progress, one JSON object per line; the result is the report file alone. Exit codes are those
of `contract.Exit`; a signal ends the run at once with a whole report of status `interrupted` and 128 + its number.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from typing import Any, Optional, Sequence

from . import contract
from .contract import Exit
from .interruption import InterruptedRunError, raise_on_signals

EXITS = {
    "completed": Exit.COMPLETED,
    "device-unavailable": Exit.DEVICE_UNAVAILABLE,
    "not-finite": Exit.NOT_FINITE,
    "failed": Exit.FAILED,
    "interrupted": Exit.TERMINATED,
}


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Exit code of the run."""
    parser = argparse.ArgumentParser(prog="harness", description="Fine-tunes a small BERT and reports what happened.")
    parser.add_argument("--job", required=True, help="job file to read (gpusetup.harness-job/1)")
    parser.add_argument("--report", required=True, help="report file to write (gpusetup.harness-report/1)")
    options = parser.parse_args(arguments)
    try:
        job = contract.read_job(options.job)
    except (contract.ContractError, OSError) as err:
        print(err, file=sys.stderr)
        return Exit.BAD_JOB
    report, code = execute(job)
    contract.write(report, options.report)
    return code


def execute(job: contract.Job) -> tuple[contract.Report, int]:
    """Report and exit code of a job; whatever goes wrong becomes a report."""
    if job.device == "cpu":
        # Spinning OpenMP threads make a step 3 to 10 times slower as soon as anything else runs on the same cores.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    raise_on_signals()
    runner: Any = None
    try:
        emit({"event": "phase", "name": "import"})
        began = time.perf_counter()
        from .run import JobRunner

        runner = JobRunner(job, emit)
        runner.report = contract.Report("failed", job, phases=(contract.Phase("import", time.perf_counter() - began),))
        report = runner.run()
    except InterruptedRunError as err:
        reason = f"ended by {err}"
        report = runner.interrupted(reason) if runner else contract.Report("interrupted", job, reason)
        return report, 128 + err.signal_number
    except Exception as err:  # noqa: BLE001 - a broken environment is what this program looks for
        traceback.print_exc()
        reason = f"{type(err).__name__}: {err}"
        report = runner.failed(reason) if runner else contract.Report("failed", job, reason)
    return report, EXITS[report.status]


def emit(event: dict[str, Any]) -> None:
    """One line of progress on stdout."""
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
