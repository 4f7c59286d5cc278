"""A bundle with the real CPU build of torch: made here, then installed and accepted where there is no network at all.

    .venv/bin/python benchmarks/bundle/run.py --folder DIR [--torch 2.13] [--out benchmarks/bundle/result.json]

`install` and `accept` run through the bundle's own launcher in a network namespace of their own (`unshare -n`, which
takes root), with an empty HOME, no cache and an environment of three variables. Whether the bundle is left as it was is
compared, file by file. Then one bit of the largest wheel is changed, and verify has to find it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
NO_NETWORK = ("unshare", "--net")


def timed(command: list[str], environ: dict[str, str], folder: Path, *, code: int = 0) -> tuple[float, dict]:
    """Wall seconds and the document of a command that has to end with this exit code."""
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode != code:
        sys.exit(f"{' '.join(command)}\nexit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return round(seconds, 2), json.loads(done.stdout)


def files_below(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def connects(prefix: tuple[str, ...]) -> bool:
    """Whether a process started that way reaches a server on this machine's loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 3)"
        return subprocess.run([*prefix, sys.executable, "-Ic", code], capture_output=True, check=False).returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--torch", default="2.13")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    folder: Path = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    bundle, home, env = folder / "bundle", folder / "home", folder / "env"
    for gone in (bundle, home, folder / ".env.gpusetup", folder / "bundle.part"):
        shutil.rmtree(gone, ignore_errors=True)
    env.unlink(missing_ok=True)
    home.mkdir()

    ours = {**os.environ, "PYTHONPATH": str(ROOT)}
    here = [sys.executable, "-m", "provision"]
    words = ["bundle", "create", "--cpu", "--torch", given.torch, "--output", str(bundle), "--json"]
    create_s, created = timed([*here, *words], ours, folder)
    verify_s, verified = timed([*here, "bundle", "verify", str(bundle), "--json"], ours, folder)
    before = files_below(bundle)

    bare = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    there = [*NO_NETWORK, "sh", str(bundle / "gpusetup")]
    start_s = -time.perf_counter()
    subprocess.run([*there, "--version"], env=bare, cwd=folder, check=True, capture_output=True)
    start_s += time.perf_counter()
    words = ["install", "--bundle", str(bundle), "--env", str(env), "--json"]
    install_s, installed = timed([*there, *words], bare, folder)
    again_s, again = timed([*there, *words], bare, folder)
    accept_s, accepted = timed([*there, "accept", "--env", str(env), "--json"], bare, folder)

    unchanged = files_below(bundle) == before
    wheel = max((bundle / "wheels").glob("*.whl"), key=lambda path: path.stat().st_size)
    with wheel.open("r+b") as stream:
        stream.seek(wheel.stat().st_size // 2)
        byte = stream.read(1)[0]
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 1]))
    damaged_s, damaged = timed([*here, "bundle", "verify", str(bundle), "--json"], ours, folder, code=1)

    plan, data = created["data"]["plans"][0], accepted["data"]
    result = {
        "measured_on": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": {
            "cpus": os.cpu_count(),
            "load_at_end": round(os.getloadavg()[0], 1),
            "arch": platform.machine(),
            "python": platform.python_version(),
        },
        "network": {
            "how": " ".join(NO_NETWORK),
            "loopback_reached_outside": connects(()),
            "loopback_reached_inside": connects(NO_NETWORK),
        },
        "bundle": {
            "torch": f"{plan['torch']}+{plan['variant']}",
            "target": plan["target"],
            "distributions": len(plan["distributions"]),
            "files": created["data"]["files"],
            "size_bytes": created["data"]["size_bytes"],
            "wheels_bytes": plan["size_bytes"],
            "starts_with_python": [host["python"] for host in created["data"]["hosts"]],
            "unchanged_by_use": unchanged,
        },
        "seconds": {
            "create": create_s,
            "create_phases": created["data"]["seconds"],
            "verify": verify_s,
            "first_start": round(start_s, 2),
            "install": install_s,
            "install_phases": installed["data"]["seconds"],
            "install_again": again_s,
            "accept": accept_s,
            "verify_damaged": damaged_s,
        },
        "verdict": {
            "verified": verified["status"],
            "installed": installed["status"],
            "reused": again["data"]["reused"],
            "accepted": data["verdict"],
            "device_class": data["device_class"],
            "samples_per_s": data["throughput"]["samples_per_s"],
            "damage_found": [item["path"] for item in damaged["data"]["damage"]] == [f"wheels/{wheel.name}"],
        },
    }
    text = json.dumps(result, indent=1) + "\n"
    print(text)
    if given.out:
        given.out.write_text(text)


if __name__ == "__main__":
    main()
