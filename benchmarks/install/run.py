"""`gpusetup install` beside the bare installer with the same list and flags, cold and warm.

    .venv/bin/python benchmarks/install/run.py --folder DIR [--pairs 2] [--out benchmarks/install/result.json]

The bare run is `uv venv` and `uv pip install` of the very lock that gpusetup resolved. "cold" starts with an empty uv cache,
"warm" with the one that the cold run filled. gpusetup's verification is timed apart. Pairs are interleaved, A B B A.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import uv

ROOT = Path(__file__).parents[2]


def gpusetup(env: Path, cache: Path) -> dict[str, float]:
    """Seconds of each phase of one `gpusetup install`; `total` without the verification."""
    environ = {**os.environ, "UV_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "provision", "install", "--cpu", "--env", str(env), "--json"]
    started = time.perf_counter()
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    wall = time.perf_counter() - started
    seconds = json.loads(done.stdout)["data"]["seconds"]
    return {**seconds, "wall": wall, "total": wall - seconds["verify"]}


def bare(lock: Path, env: Path, cache: Path) -> dict[str, float]:
    """Seconds of the bare installer for the same lock."""
    environ = {**os.environ, "UV_CACHE_DIR": str(cache)}
    binary = uv.find_uv_bin()
    started = time.perf_counter()
    subprocess.run([binary, "venv", "--quiet", "--python", sys.executable, str(env)], env=environ, check=True)
    command = [binary, "pip", "install", "--quiet", "--python", f"{env}/bin/python", "-r", str(lock)]
    command += ["--no-deps", "--only-binary", ":all:", "--compile-bytecode"]
    subprocess.run(command, env=environ, check=True)
    return {"total": time.perf_counter() - started}


def pair(folder: Path, lock: Path, *, is_cold: bool, first: str) -> tuple[float, float]:
    """(ours, bare) seconds; each side has a cache of its own, emptied first when cold."""
    figures = {}
    for side in ("ours", "bare") if first == "ours" else ("bare", "ours"):
        env, cache = folder / f"env-{side}", folder / f"cache-{side}"
        for gone in (env, folder / f".env-{side}.gpusetup", *([cache] if is_cold else [])):
            gone.unlink() if gone.is_symlink() else shutil.rmtree(gone, ignore_errors=True)
        figures[side] = (gpusetup(env, cache) if side == "ours" else bare(lock, env, cache))["total"]
    return figures["ours"], figures["bare"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    folder = args.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    seed = folder / "env-seed"
    phases = gpusetup(seed, folder / "cache-seed")
    lock = folder / "pylock.toml"
    shutil.copy(next(seed.resolve().glob("*pylock*.toml")), lock)
    rows = {}
    for kind in ("cold", "warm"):
        pairs = [
            pair(folder, lock, is_cold=kind == "cold", first="ours" if n % 2 else "bare") for n in range(args.pairs)
        ]
        rows[kind] = {
            "ours_s": round(statistics.median(a for a, _ in pairs), 2),
            "bare_s": round(statistics.median(b for _, b in pairs), 2),
            "ratio": round(statistics.median(a / b for a, b in pairs), 3),
            "pairs": [[round(a, 2), round(b, 2)] for a, b in pairs],
        }
        print(f"{kind}: ours {rows[kind]['ours_s']} s, bare {rows[kind]['bare_s']} s, ratio {rows[kind]['ratio']}")
    started = time.perf_counter()
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "provision", "install", "--cpu", "--env", str(seed), "--json"]
    again = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    reuse = time.perf_counter() - started
    assert json.loads(again.stdout)["data"]["reused"]
    print(f"verify {phases['verify']:.1f} s, second install of the same plan {reuse:.2f} s")
    result = {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "phases_of_the_first_s": {k: round(v, 2) for k, v in phases.items()},
        "reuse_s": round(reuse, 3),
        **rows,
    }
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
