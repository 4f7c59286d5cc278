"""Runs the companions of the matrix: each torch with the ends and the borders of its range of transformers, on the CPU.

    .venv/bin/python benchmarks/companions/sweep.py --folder DIR --out benchmarks/companions/result.json [2.0 2.1 ...]

Per torch: the newest patch, the general index's own wheel, the requirement lines that the resolver gives for a typed-in
machine, the newest interpreter found that has wheels of both. Per pair: what `child.py` reports. Packages come through the
user's own configuration; environments and cache lie in DIR and are removed after each torch. `--transformers 4.49.0,4.50.3`
tries these instead of the ends and borders (for the search of a boundary), `--python 3.11` asks for another interpreter.
Results add up in the file; a pair that runs again replaces its row.

The result here: torch 2.10, 2.11, 2.13 and 2.14 ran on Python 3.11, because a local index held their wheels (or those of
their triton) for that Python alone and uv takes a version from the first index that has it; the rows of 2.11 and 2.14 that
said so on Python 3.13 were left out. "no wheels" means that tokenizers has none for that Python.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from functools import cache
from itertools import pairwise
from pathlib import Path

import uv

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from provision.install.backends import uv_environment  # noqa: E402
from provision.install.configuration import read_configuration  # noqa: E402
from provision.matrix import read_matrix  # noqa: E402
from provision.records import Request  # noqa: E402
from provision.resolve import resolve  # noqa: E402
from provision.resolve.candidates import python_name  # noqa: E402
from provision.typed import TypedMachine, machine_from_words  # noqa: E402

LOSS_TOLERANCE = 1e-5
INSTALL_S, CHILD_S = 900, 240


def newest_patches(matrix):
    """The newest release of every torch minor, oldest first."""
    return list({release.key[:2]: release for release in matrix.releases}.values())


def text(numbers) -> str:
    return ".".join(map(str, numbers))


def ends_and_borders(matrix, release, python: str) -> tuple[str, list[str], list[str]]:
    """(newest, oldest first, borders): the pairs of a release on a Python that the matrix allows and that matter."""
    minor = tuple(int(part) for part in python.split("."))
    rows = []
    for row in matrix.transformers:
        patches = [(*row.first[:-1], patch) for patch in range(row.first[-1], row.last[-1] + 1)]
        held = [patch for patch in patches if release.companions.transformers.holds(patch)]
        if held and row.python <= minor and (not row.torch or row.torch <= release.key):
            rows.append((row, held))
    borders = []
    for (before, earlier), (after, later) in pairwise(rows):
        if before.torch != after.torch or before.first[0] != after.first[0]:
            borders += [text(earlier[-1]), text(later[0])]
    return text(rows[-1][1][-1]), [text(held[0]) for _, held in rows], list(dict.fromkeys(borders))


def requirements(matrix, torch: str, python: str) -> tuple[str, ...]:
    """The lines that gpusetup would install for that torch, on a GPU that every release serves."""
    machine = machine_from_words(TypedMachine(gpus=("NVIDIA A100-SXM4-80GB",), python=python, glibc="2.35"), matrix)
    chosen = resolve(machine, Request(torch=torch, python=python), matrix).chosen
    assert chosen is not None, (torch, python)
    return chosen.requirements


class Environment:
    """A throw-away environment for one torch; `take` makes it hold exactly what one pair resolves to."""

    def __init__(self, folder: Path, python: str, lines: tuple[str, ...]):
        self.folder, self.lines = folder, lines
        shutil.rmtree(folder / "env", ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        self.python = folder / "env/bin/python"
        self.environ = uv_environment({**os.environ, "UV_CACHE_DIR": str(folder / "cache")}, read_configuration(), None)
        self.uv("venv", "--python", python, str(folder / "env"))

    def uv(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [uv.find_uv_bin(), *words, "--quiet"]
        return subprocess.run(command, env=self.environ, capture_output=True, text=True, check=False, timeout=INSTALL_S)

    def resolve(self, transformers: str) -> str | None:
        """None, or why no set of wheels serves the pair."""
        (self.folder / "in.txt").write_text(
            "\n".join([*without_transformers(self.lines), f"transformers=={transformers}"])
        )
        words = [
            "pip",
            "compile",
            str(self.folder / "in.txt"),
            "-o",
            str(self.folder / "lock.txt"),
            "--python",
            str(self.python),
        ]
        done = self.uv(*words, "--only-binary", ":all:", "--upgrade", "--index-strategy", "unsafe-first-match")
        return None if done.returncode == 0 else shown(done.stderr)

    def take(self) -> str | None:
        """None, or why the wheels could not be installed."""
        words = ["pip", "sync", str(self.folder / "lock.txt"), "--python", str(self.python), "--only-binary", ":all:"]
        done = self.uv(*words, "--index-strategy", "unsafe-first-match")
        return None if done.returncode == 0 else shown(done.stderr)

    def trial(self) -> dict[str, object]:
        """What the child says; its silence is a failure with the last line of its stderr."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        environ |= {
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": "1",
        }
        environ |= {"HF_HOME": str(self.folder / "hub")}
        command = [str(self.python), str(ROOT / "benchmarks/companions/child.py")]
        try:
            done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=CHILD_S)
            return json.loads(done.stdout.splitlines()[-1])
        except subprocess.TimeoutExpired:
            return {"outcome": "fails", "stage": "child", "error": f"no answer in {CHILD_S} s"}
        except (IndexError, ValueError):
            lines = done.stderr.strip().splitlines() or ["nothing on stderr"]
            return {"outcome": "fails", "stage": "child", "error": f"exit {done.returncode}: {lines[-1]}"}

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def without_transformers(lines) -> list[str]:
    return [line for line in lines if not line.startswith("transformers")]


def shown(message: str) -> str:
    """The gist of an installer's message, without addresses, paths and line breaks."""
    message = re.sub(r"https?://\S+|file://\S+", "the index", message)
    return " ".join(re.sub(r"[\u2500-\u257f\u00d7]", " ", message).split())[:200]


def scrubbed(row: dict[str, object]) -> dict[str, object]:
    if isinstance(row.get("error"), str):
        row["error"] = re.sub(r"(?:/[\w.+-]+){2,}/", "", str(row["error"]))
    return row


def record(out: Path, matrix, row: dict[str, object]) -> None:
    """Adds one row to the file; two sweeps may share it."""
    folder = os.open(out.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        rows = json.loads(out.read_text())["rows"] if out.exists() else []
        rows = [other for other in rows if key(other) != key(row)] + [row]
        write(out, matrix, rows)
    finally:
        os.close(folder)


def write(out: Path, matrix, rows: list[dict[str, object]]) -> None:
    rows.sort(key=lambda row: [*(tuple(map(int, part.split("."))) for part in key(row))])
    document = {
        "read_on": max(str(row["read_on"]) for row in rows),
        "steps": 5,
        "loss_tolerance": LOSS_TOLERANCE,
        "rows": rows,
        "losses": losses(rows),
        "not_run": not_run(matrix, rows),
    }
    body = json.dumps({**document, "rows": []}, indent=1)
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    body = body.replace('"rows": []', f'"rows": [\n{lines}\n ]')
    out.write_text(
        re.sub(r"\[\s+([^\[\]{}]*?)\s+\](?=,?\n)", lambda found: f"[{' '.join(found[1].split())}]", body) + "\n"
    )


def key(row) -> tuple[str, str, str]:
    return row["torch"], row["python"], row["transformers"]


def losses(rows) -> dict[str, object]:
    """Widest difference of any step's loss between the transformers releases of one torch."""
    found: dict[str, list[list[float]]] = {}
    for row in rows:
        if row["outcome"] == "ok":
            found.setdefault(row["torch"], []).append(row["losses"])
    spread = {torch: max(max(step) - min(step) for step in zip(*runs, strict=True)) for torch, runs in found.items()}
    return {
        torch: {"pairs": len(found[torch]), "spread": round(value, 9), "equal": value <= LOSS_TOLERANCE}
        for torch, value in spread.items()
    }


def not_run(matrix, rows) -> dict[str, list[str]]:
    """Ends and borders of today's matrix that no row answers."""
    done = {(row["torch"], row["transformers"]) for row in rows if row["outcome"] in ("ok", "fails")}
    missing = {}
    for release in newest_patches(matrix):
        newest, oldest_first, borders = ends_and_borders(matrix, release, newest_python(release, pythons()))
        oldest = next((version for version in oldest_first if (release.version, version) in done), oldest_first[0])
        wanted = dict.fromkeys([newest, oldest, *borders])
        if left := [version for version in wanted if (release.version, version) not in done]:
            missing[release.version] = left
    return missing


@cache
def pythons() -> list[str]:
    """Minor versions of the CPythons on the path that start."""
    found = {f"3.{minor}": shutil.which(f"python3.{minor}") for minor in range(8, 16)}
    return [
        name
        for name, path in found.items()
        if path and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0
    ]


def newest_python(release, there: list[str]) -> str:
    wheels = {python_name(tag) for tag in release.platform("linux_x86_64").pythons}
    return [name for name in there if name in wheels][-1]


def run_pair(matrix, release, python: str, version: str, environment: Environment, out: Path) -> bool:
    """Runs and records one pair; False when no set of wheels serves it."""
    started = time.perf_counter()
    row = {"torch": release.version, "python": python, "transformers": version, "outcome": "no wheels"}
    row["read_on"] = time.strftime("%Y-%m-%d")
    failure = environment.resolve(version)
    if failure is not None:
        row["error"] = failure
    else:
        missing = environment.take()
        report = environment.trial() if missing is None else {"outcome": "not installed", "error": missing}
        if "torch" in report:
            row["build"] = report["torch"]
        row |= {name: value for name, value in report.items() if name not in ("torch", "python", "transformers")}
    record(out, matrix, scrubbed(row))
    seconds = f"{time.perf_counter() - started:6.1f} s"
    found = f"{row.get('stage', '')} {row.get('error', '')}"
    print(f"{release.version:8} {python:5} {version:8} {row['outcome']:10} {seconds}  {found}", flush=True)
    return failure is None


def sweep(matrix, release, python: str, chosen: list[str], args) -> None:
    """All pairs of one torch; its environment and its cache are gone afterwards."""
    lines = requirements(matrix, release.version, python)
    environment = Environment(args.folder / release.version, python, lines)
    newest, oldest_first, borders = ends_and_borders(matrix, release, python)

    def run(version: str) -> bool:
        return run_pair(matrix, release, python, version, environment, args.out)

    try:
        if chosen:
            for version in chosen:
                run(version)
        elif run(newest):  # else there are no wheels of torch for this interpreter, and no other pair would fare better
            oldest = next((version for version in oldest_first if version == newest or run(version)), newest)
            for version in [] if args.ends else borders:
                if version not in (newest, oldest):
                    run(version)
    finally:
        environment.remove()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("torch", nargs="*", help="minors or releases; none: only bring `not_run` up to date")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--python")
    parser.add_argument("--transformers", default="")
    parser.add_argument("--ends", action="store_true", help="newest and oldest only")
    args = parser.parse_args()
    args = argparse.Namespace(**{**vars(args), "folder": args.folder.resolve()})
    matrix = read_matrix()
    newest = {text(release.key[:2]): release for release in newest_patches(matrix)}
    for word in args.torch:
        release = newest.get(word) or matrix.release(word)
        python = args.python or newest_python(release, pythons())
        sweep(matrix, release, python, [word for word in args.transformers.split(",") if word], args)
    if not args.torch:
        write(args.out, matrix, json.loads(args.out.read_text())["rows"])


if __name__ == "__main__":
    main()
