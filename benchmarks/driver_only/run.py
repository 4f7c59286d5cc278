"""What a choice by the driver alone hands to the machines of tests/hosts, beside what gpusetup plans for them.

    .venv/bin/python benchmarks/driver_only/run.py [--out benchmarks/driver_only/result.json]

The peer is a rule, not a program: the newest CUDA variant whose driver floor is met, a CPU build where no driver is told,
then the newest torch of that variant with a wheel for platform, Python and glibc tag. That is how uv documents its automatic
choice of a PyTorch index; its table of floors is that of the matrix. Only machines as they were reported count, none that was
derived for the border of a rule and none with a wish. Reports are about trouble, so the shares are not those of all machines. A machine counts as failed when a row of its
`forbidden` speaks of the chosen build, or when it holds a GPU that can't be used, or no build at all fits it, and a build is chosen.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from provision.errors import InputError, UsageError  # noqa: E402
from provision.matrix import read_matrix  # noqa: E402
from provision.records import Build  # noqa: E402
from provision.resolve import Catalogue  # noqa: E402
from provision.versions import Glibc  # noqa: E402
from tests.unit.test_hosts import ROWS, answer_of, is_meant, machine_of_row, sources_of  # noqa: E402

TAG_GLIBC = {
    "manylinux1": (2, 5),
    "manylinux2014": (2, 17),
    "manylinux_2_17": (2, 17),
    "manylinux_2_28": (2, 28),
    "linux": (0, 0),
}


def by_driver_alone(machine, matrix):
    """(torch, variant) of the newest CUDA that the driver's floor admits; None where no wheel has the tags."""
    host, driver = machine.host, machine.driver
    is_windows = host.system == "windows" or bool(host.is_wsl)
    arch = {"arm64": "aarch64", "amd64": "x86_64"}.get(host.arch or "x86_64", host.arch or "x86_64")
    system = host.system or "linux"
    platform = f"{system}_{'arm64' if system == 'darwin' and arch == 'aarch64' else arch}"
    python = machine.python.tag if machine.python else f"cp{matrix.assumed_pythons[0].replace('.', '')}"
    glibc = host.glibc or Glibc(2, 39)
    number = driver.driver_version if driver else None
    majors = {
        row.major
        for row in matrix.cuda_majors
        if number is not None and number >= (row.windows if is_windows else row.linux)
    }
    for release in reversed(matrix.releases):
        wheels = release.platform(platform)
        if wheels is None or python not in wheels.pythons:
            continue
        fitting = [
            v
            for v in release.variants
            if v.is_published(platform) and (v.cuda.major in majors if v.cuda else not majors)
        ]
        tag = next((least for name, least in TAG_GLIBC.items() if wheels.tag.startswith(name)), (2, 17))
        if fitting and (system != "linux" or tuple(glibc) >= tag):
            best = max(fitting, key=lambda v: v.cuda or (0, 0))
            return release.version, best.name
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    catalogue = Catalogue(read_matrix())
    counts, rules, ours, failed = Counter(), Counter(), 0, []
    for row in ROWS:
        try:
            machine = machine_of_row(row, catalogue.matrix)
        except (InputError, UsageError):
            continue
        if not machine.gpus and machine.gpu_state.value == "none":
            continue  # a box without a GPU gets the same CPU build from both
        if row.get("request") or row.get("derived") or any(one.get("derived") for one in sources_of(row)):
            continue  # a wish that the peer is not told of; a machine that was placed at the border of a rule
        counts["machines"] += 1
        answer = answer_of(row, catalogue)
        ours += any(is_meant(build, rule) for build in answer.builds[:1] for rule in row.get("forbidden", ()))
        chosen = by_driver_alone(machine, catalogue.matrix)
        if chosen is None:
            counts["no wheel with the tags"] += 1
            continue
        build = Build(*chosen, None, "", "", (), "")
        outcome = row.get("outcome", "plan")
        is_wrong = outcome != "plan" or any(is_meant(build, rule) for rule in row.get("forbidden", ()))
        kind = "a CPU build for a GPU" if chosen[1] == "cpu" else "a build that cannot run there"
        if is_wrong or chosen[1] == "cpu":
            counts[kind] += 1
            rules.update(row.get("rules", ())[:1])
            failed.append({"id": row["id"], "chosen": f"{chosen[0]}+{chosen[1]}", "outcome": outcome})
        else:
            counts["a build that may run"] += 1
    result = {
        "machines": counts["machines"],
        "by the driver alone": {name: count for name, count in counts.items() if name != "machines"},
        "first rule of those that fail": dict(rules.most_common()),
        "gpusetup, builds that cannot run": ours,
        "failed": failed,
    }
    text = json.dumps(result, indent=1)
    if asked.out:
        asked.out.write_text(text + "\n")
    print(json.dumps({name: value for name, value in result.items() if name != "failed"}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
