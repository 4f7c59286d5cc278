"""The oldest torch of the matrix with the Python, transformers and numpy of its time: installed by uv and by pip, trained on the CPU.

    .venv/bin/python benchmarks/torch_2_0/run.py --folder DIR [--python 3.10] [--out benchmarks/torch_2_0/result.json]

One plan, two environments. Both must hold the same files (name, version, sha256); each is accepted on the CPU: the harness
trains, evaluates and judges. About 2.2 GB of downloads with an empty cache, and 9 GB of disk for a short time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
#: A machine of its time; the environment is made and tried on this one.
V100 = ("--gpu", "Tesla V100-SXM2-16GB", "--driver", "525.147.05", "--arch", "x86_64", "--glibc", "2.28")


def document(*words: str) -> dict[str, Any]:
    """The data of one command's document; its own words end the script when it fails."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-m", "provision", *words, "--json"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    data: dict[str, Any] = json.loads(done.stdout)["data"]
    return data


def tried(plan: Path, env: Path, backend: str) -> dict[str, Any]:
    """What one backend installs and what the harness says of it."""
    receipt = document("install", str(plan), "--env", str(env), "--backend", backend)
    accepted = document("accept", "--env", str(env), "--cpu")
    return {
        "python": receipt["environment"]["python"],
        # Another variant than the plan's only where no source holds that one; the receipt says so, too.
        "installed": {key: receipt["build"][key] for key in ("torch", "variant")},
        "passed_over": [f"{row['variant']}: {row['found']}" for row in receipt["passed_over"]],
        "seconds": receipt["seconds"],
        "distributions": {row["name"]: (row["version"], row["sha256"]) for row in receipt["distributions"]},
        "verified": {row["id"]: row["passed"] for row in receipt["verified"]},
        "verdict": f"{accepted['verdict']} ({accepted['device_class']})",
        "criteria": {row["id"]: row["passed"] for row in accepted["criteria"]},
        "samples_per_s": accepted["throughput"]["samples_per_s"],
        "torch": accepted["software"]["torch"],
        "transformers": accepted["software"]["transformers"],
    }


def main() -> int:
    """Run both, print the result and write it; 1 when they differ or one is not accepted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--python", default="3.10")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    plan = document("plan", "--torch", "2.0", *V100, "--python", args.python)
    path = folder / "plan.json"
    path.write_text(json.dumps({"schema": "gpusetup.plan/1", "data": plan}), encoding="utf-8")
    rows = {}
    for backend in ("uv", "pip"):
        env = folder / f"env-{backend}"
        rows[backend] = tried(path, env, backend)
        env.unlink()
        shutil.rmtree(folder / f".env-{backend}.gpusetup")
    lists = {backend: row.pop("distributions") for backend, row in rows.items()}
    is_same = lists["uv"] == lists["pip"]
    result = {
        "plan": {key: plan[key] for key in ("torch", "variant", "python", "wheel_tag", "requirements")},
        "machine": {"arch": platform.machine(), "cores": os.cpu_count()},
        "same_distributions": is_same,
        "distributions": lists["uv"] if is_same else lists,
        **rows,
    }
    text = json.dumps(result, indent=1)
    print(text)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")
    return 0 if is_same and all(row["verdict"] == "accepted (cpu)" for row in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
