"""What a level imports: the tables say the least level of each module, and a cheap run loads no more."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from provision.checks import all_checks, checks_for
from provision.checks.base import LEVELS
from provision.checks.catalogue import MODULES as CHECKS
from provision.detect.probes import MODULES as PROBES

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("package", "table", "entries"),
    [("provision.checks", CHECKS, "CHECKS"), ("provision.detect.probes", PROBES, "PROBES")],
)
def test_the_table_says_the_least_level_of_each_module(package, table, entries):
    for name, least in table.items():
        levels = [entry.level for entry in getattr(importlib.import_module(f"{package}.{name}"), entries)]
        assert min(levels, key=LEVELS.index) == least, name


def test_every_module_with_checks_is_in_the_table():
    listed = {check.judge.__module__.rsplit(".", 1)[1] for check in all_checks()}
    assert set(CHECKS) <= listed
    found = {
        path.stem
        for path in (ROOT / "provision" / "checks").glob("*.py")
        if "@check(" in path.read_text() and path.stem != "base"
    }
    assert found == listed


def test_a_level_is_a_part_of_all_in_their_order():
    for level in LEVELS:
        paid = LEVELS[: LEVELS.index(level) + 1]
        assert checks_for(level) == tuple(check for check in all_checks() if check.level in paid)


def test_an_instant_check_leaves_dearer_modules_alone():
    program = (
        "import sys; sys.argv = ['gpusetup', 'check', '--level', 'instant'];"
        "from provision.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(ended.stderr.split())
    assert "provision.checks.sys_cpu" in loaded
    # Modules without a cheap check, whose helpers no cheap check uses.
    dear = {"wheel_code", "wheel_record", "hw_board", "gpu_ecc", "fabric", "infiniband", "gpu_dcgm"}
    assert all(CHECKS[name] != "instant" for name in dear)
    assert not loaded & {f"provision.checks.{name}" for name in dear}
    assert not loaded & {f"provision.detect.probes.{name}" for name in ("dcgm", "gpu_processes", "python_packages")}
    assert not loaded & {"provision.documents.plan", "concurrent.futures"}
