"""Who may import whom. The flow is one-way, and only the pipeline knows its order."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGES = ("detect", "checks", "matrix", "resolve", "install", "accept", "report", "drivers", "pasted", "audit")

#: What one stage may import of another: data models that a pure stage decides by, never another stage's work.
ALLOWED_BETWEEN_STAGES = {
    ("resolve", "matrix"),  # the rules read the model
    ("drivers", "matrix"),  # so does the choice of a driver
    ("drivers", "install"),  # a silent program is watched as an installer is
    ("report", "drivers"),  # a plan of drivers is a record too
    ("report", "matrix"),  # and so are the rows of the matrix
    ("pasted", "matrix"),  # the beginning of a name that was cut off is looked up
    ("audit", "matrix"),  # what is compared with an index
    ("audit", "install"),  # the index is asked as an install asks it: configuration, listing, deadlines
    ("report", "audit"),  # the rows of an audit are records too
    ("checks", "matrix"),  # what a code, a board or a release means
    ("pasted", "detect"),  # the XML is also what detection asks for
}
#: Modules that decide and must be testable with literals alone.
PURE = (
    "provision/resolve",
    "provision/checks",
    "provision/pasted",
    "provision/report",
    "provision/fleet",
    "provision/gate.py",
    "provision/check_states.py",
    "provision/selection.py",
    "provision/typed.py",
    "provision/versions.py",
    "provision/spellings.py",
    "provision/records.py",
    "provision/accept/judge.py",
    "provision/detect/assemble.py",
    "provision/install/availability.py",
    "provision/install/listing.py",
    *(
        f"provision/drivers/{name}.py"
        for name in ("wish", "branches", "box", "job", "recipe", "extras", "remarks", "plan")
    ),
    *(f"provision/drivers/{name}.py" for name in ("steps", "words", "unattended")),
    *(f"provision/drivers/render_{name}.py" for name in ("sh", "cloud", "ansible")),
    "provision/audit/wheels.py",
    "provision/audit/metadata.py",
    "provision/audit/torch_rows.py",
    "provision/audit/companion_rows.py",
)
IMPURE_MODULES = {"subprocess", "socket", "urllib.request", "shutil", "tempfile", "random", "time", "glob", "ctypes"}


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


@cache
def python_files(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


@cache
def imports_of(path: Path) -> set[str]:
    """Absolute dotted names of everything that a file imports, also inside functions."""
    package = list(path.relative_to(ROOT).with_suffix("").parts)
    names: set[str] = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            names |= {stem, *(f"{stem}.{alias.name}" for alias in node.names)}
    return names


def starts_with(name: str, *roots: str) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


@pytest.mark.parametrize("path", python_files("provision"), ids=lambda p: str(p.relative_to(ROOT)))
def test_host_side_never_imports_what_lives_in_the_target(path):
    heavy = ("torch", "transformers", "numpy", "safetensors", "peft", "tensorboard")
    found = {name for name in imports_of(path) if starts_with(name, *heavy)}
    assert not found


@pytest.mark.parametrize("path", python_files("harness"), ids=lambda p: str(p.relative_to(ROOT)))
def test_harness_knows_nothing_of_the_host_side(path):
    assert not {name for name in imports_of(path) if starts_with(name, "provision")}


def test_host_side_imports_only_the_contract_of_the_harness():
    for path in python_files("provision"):
        found = {name for name in imports_of(path) if starts_with(name, "harness")}
        assert all(starts_with(name, "harness.contract") for name in found - {"harness"}), (path, found)


@pytest.mark.parametrize("stage", STAGES)
def test_stages_do_not_import_each_other(stage):
    if not (ROOT / "provision" / stage).exists():
        pytest.skip(f"provision/{stage} is not there yet")
    for path in python_files(f"provision/{stage}"):
        for other in STAGES:
            if other == stage or (stage, other) in ALLOWED_BETWEEN_STAGES:
                continue
            found = {name for name in imports_of(path) if starts_with(name, f"provision.{other}")}
            assert not found, (path, found)


def test_only_the_nvml_child_imports_pynvml():
    users = [p.name for p in python_files("provision") if any(starts_with(n, "pynvml") for n in imports_of(p))]
    assert users == ["nvml_probe.py"]


def test_pure_modules_import_nothing_that_touches_the_world():
    for place in PURE:
        assert python_files(place), place
        for path in python_files(place):
            found = {name for name in imports_of(path) if starts_with(name, *IMPURE_MODULES)}
            assert not found, (path, found)


def test_only_the_console_and_the_children_print():
    printers = set()
    for path in python_files("provision"):
        for node in nodes_of(path):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                printers.add(path.relative_to(ROOT).as_posix())
    # The NVML probe is a child whose stdout is its answer.
    assert printers <= {"provision/console.py", "provision/detect/nvml_probe.py", "provision/install/readback.py"}
