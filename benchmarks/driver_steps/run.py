"""Every driver plan of a grid, written in every form and checked; some of them carried out on empty packages.

    .venv/bin/python benchmarks/driver_steps/run.py --out benchmarks/driver_steps/result.json [--carry-out]

Grid: distribution x kind of GPU x wishes. For each plan: names of packages that no archive of tests/bench has; the shell
script through `sh -n`, `bash -n` and, some of them, shellcheck; cloud-init's user data as YAML, its script the same as the
other one; the Ansible tasks as YAML and, every different file of them, through `ansible-playbook --syntax-check`. A program that
is not here is counted as not run. With --carry-out the plan of one GPU is run, run again, followed by an upgrade of
everything, and taken back in a throw-away system (tests/bench/driver_box.py). Nothing of it has met a GPU or the
distribution itself.
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from provision.drivers.render_ansible import render_ansible  # noqa: E402 -- needs the path above
from provision.drivers.render_cloud import render_cloud_init  # noqa: E402
from provision.drivers.render_sh import render_sh  # noqa: E402
from provision.errors import GpusetupError  # noqa: E402
from tests.bench.driver_box import (  # noqa: E402
    APT,
    DNF,
    KINDS,
    ZYPPER,
    DriverBox,
    machine,
    missing_programs,
    plan_for,
    stubs_of,
    unknown_names,
)

WISHES = {
    "plain": {},
    "distro": {"origin": "distro"},
    "nvidia": {"origin": "nvidia"},
    "toolkits": {"container_toolkit": True, "cuda_toolkit": "newest"},
    "branch-580": {"branch": 580},
    "fabric-manager": {"fabric_manager": True},
}

#: Lists read again, and everything upgraded, by package manager.
UPGRADES = {
    "apt": (("apt-get", "update"), ("apt-get", "-y", "dist-upgrade")),
    "dnf": (("dnf", "-y", "makecache", "--refresh"), ("dnf", "-y", "upgrade")),
    "zypper": (("zypper", "--non-interactive", "refresh"), ("zypper", "--non-interactive", "update")),
}

#: shellcheck takes seconds of a processor for ten scripts: it reads these of every distribution.
SHELLCHECKED = [["ada", "plain"], ["hopper-switched", "toolkits"]]


def program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


def said(command: list[str], text: str) -> str | None:
    """What a checker says against a text; None: nothing."""
    ended = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return None if ended.returncode == 0 else (ended.stdout + ended.stderr)[-300:]


def check_scripts(scripts: dict[str, str]) -> tuple[dict[str, int], list[str]]:
    """How many scripts each checker read, and what it said; those of shellcheck are read by one run of it."""
    counts, faults = {}, []
    for name, flag in (("sh", "-n"), ("bash", "-n")):
        found = program(name)
        if found is None:
            continue
        counts[f"{name} {flag}"] = len(scripts)
        faults += [
            f"{where}: {name}: {text}" for where, script in scripts.items() if (text := said([found, flag], script))
        ]
    found = program("shellcheck")
    chosen = {where: script for where, script in scripts.items() if where.split(", ")[1:] in SHELLCHECKED}
    if found is not None:
        with tempfile.TemporaryDirectory() as folder:
            for where, script in chosen.items():
                (Path(folder) / where.replace(", ", "-").replace(" ", "-")).write_text(script, encoding="utf-8")
            command = [found, "--shell=sh", "--severity=style", "--format=gcc", *sorted(Path(folder).iterdir())]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
        counts["shellcheck"] = len(chosen)
        faults += [f"shellcheck: {line.rpartition('/')[2]}" for line in (ended.stdout + ended.stderr).splitlines()]
    return counts, faults


def one_plan(where: str, gpus: tuple[str, ...], wish: dict, checked: dict) -> dict:
    """The plan and its renderings; `refused` with the code where there is none."""
    distribution = where.partition(", ")[0]
    try:
        made = plan_for(machine(distribution, gpus, kernel=stubs_of(distribution).kernel_of(distribution)), **wish)
    except GpusetupError as err:
        return {"refused": err.code}
    faults = [f"unknown package {name}" for name in unknown_names(distribution, made.steps)]
    script = render_sh(made)
    checked["scripts"][where] = script
    user_data = yaml.safe_load(render_cloud_init(made))
    if not {"write_files", "runcmd"} <= set(user_data):
        faults.append(f"cloud-init: keys {sorted(user_data)}")
    (written,) = user_data["write_files"]
    if written["content"] != render_sh(made, with_reboot=False):
        faults.append("cloud-init: its script is not that of --format sh")
    tasks = render_ansible(made)
    if not isinstance(yaml.safe_load(tasks), list):
        faults.append("ansible: not a list of tasks")
    checked["tasks"].setdefault(distribution, set()).add(tasks)
    return {"steps": len(made.steps), "branch": made.branch, "kernel_module": made.kernel_module, "faults": faults}


def check_ansible(tasks: dict[str, set[str]]) -> dict[str, object]:
    """One playbook that includes every different file of tasks."""
    playbook = program("ansible-playbook")
    if playbook is None:
        return {"run": False}
    plays = []
    with tempfile.TemporaryDirectory() as folder:
        for distribution, texts in tasks.items():
            for number, text in enumerate(sorted(texts)):
                name = f"{distribution.replace(' ', '-')}-{number}.yaml"
                (Path(folder) / name).write_text(text, encoding="utf-8")
                plays.append({"import_tasks": name})
        play = [{"hosts": "localhost", "gather_facts": False, "become": True, "tasks": plays}]
        path = Path(folder) / "play.yaml"
        path.write_text(yaml.safe_dump(play), encoding="utf-8")
        command = [playbook, "--syntax-check", "-i", "localhost,", path]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    version = subprocess.run([playbook, "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
    fault = (ended.stdout + ended.stderr)[-800:] if ended.returncode else None
    return {"run": True, "program": version, "files": len(plays), "fault": fault}


def carry_out(distribution: str, folder: Path) -> dict[str, object]:
    """There, again, an upgrade of everything with newer packages in every repository, and back."""
    reason = missing_programs(distribution)
    if reason:
        return {"run": False, "why": reason}
    started = time.perf_counter()
    try:
        with DriverBox(folder, distribution, KINDS["ada"], age="old") as box:
            packages, settings = box.installed(), box.settings()
            made = box.plan(container_toolkit=True)
            there = box.carry_out(made)
            added = len(box.installed().keys() - packages.keys())
            changed = {name for name, version in packages.items() if box.installed().get(name) != version}
            box_again = box.carry_out(made)
            result = {
                "run": True,
                "branch": made.branch,
                "steps": len(made.steps),
                "there": there["kind"],
                "error": there["error"],
                "packages_added": added,
                "unrelated_packages_changed": sorted(changed),
                "again": box_again["kind"],
                "done_again": sorted(n for n, state in box_again["steps"].items() if state != "passed-over"),
            }
            result["files_written"] = sorted(box.settings().keys() - settings.keys())
            result["upgrade"] = upgraded(box, distribution)
            back = box.take_back(there)
            result |= {"back": back["kind"], "back_error": back["error"]}
            left = {name for name in of_driver(box.installed()) if name not in packages}
            result["driver_packages_left_to_autoremove"] = sorted(left)
    except GpusetupError as err:
        return {"run": False, "why": err.code}
    return {**result, "seconds": round(time.perf_counter() - started, 1)}


def upgraded(box: DriverBox, distribution: str) -> dict[str, object]:
    """An upgrade as the distribution's manual says, and what it did to the driver."""
    before = of_driver(box.installed())
    box.grow()
    manager = "apt" if distribution in APT else "dnf" if distribution in DNF else "zypper"
    refresh, upgrade = UPGRADES[manager]
    box.run(*refresh).ok()
    exit_code = box.run(*upgrade).exit_code
    after = of_driver(box.installed())
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return {"command": " ".join(upgrade), "exit_code": exit_code, "driver_packages_changed": sorted(changed)}


def of_driver(packages: dict[str, str]) -> dict[str, str]:
    """Of these packages the driver's; the container toolkit may be upgraded."""
    driver = re.compile(r"nvidia|libcuda|cuda-drivers")
    return {name: packages[name] for name in packages if driver.search(name) and "container" not in name}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--carry-out", metavar="NAMES", help="also run one plan of each of these: 'rhel 9,debian 12', or all"
    )
    asked = parser.parse_args()
    checked: dict = {"scripts": {}, "tasks": {}}
    plans, refused, faults = collections.Counter(), collections.Counter(), []
    for distribution in (*APT, *DNF, *ZYPPER):
        for kind, gpus in KINDS.items():
            for word, wish in WISHES.items():
                found = one_plan(f"{distribution}, {kind}, {word}", gpus, wish, checked)
                if "refused" in found:
                    refused[f"{distribution}: {found['refused']}"] += 1
                    continue
                plans[distribution] += 1
                faults += [f"{distribution}, {kind}, {word}: {fault}" for fault in found["faults"]]
    counts, against = check_scripts(checked["scripts"])
    faults += against
    result = {
        "grid": {"distributions": len((*APT, *DNF, *ZYPPER)), "kinds": len(KINDS), "wishes": len(WISHES)},
        "plans": dict(plans),
        "plans_in_all": plans.total(),
        "refused": dict(sorted(refused.items())),
        "scripts_checked": counts,
        "faults": faults,
        "ansible": check_ansible(checked["tasks"]),
    }
    if asked.carry_out:
        runs = {}
        every = (*APT, *DNF, *ZYPPER)
        for distribution in every if asked.carry_out == "all" else asked.carry_out.split(","):
            with tempfile.TemporaryDirectory() as folder:
                runs[distribution] = carry_out(distribution, Path(folder))
            print(distribution, runs[distribution], file=sys.stderr)
        result["carried_out"] = runs
    asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
