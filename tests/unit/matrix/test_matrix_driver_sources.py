"""Distributions, repositories and driver packages: what the tables hold, how they are refused, that no plan pays."""

import subprocess
import sys
from pathlib import Path

import pytest
from matrix_mini import MINI

from provision.errors import InputError
from provision.matrix import load_matrix, read_matrix
from provision.matrix.driver_sources import TABLES
from provision.matrix.rows import _LATE_TABLES

ROOT = Path(__file__).parents[3]

SOURCES = """distributions:
  source: [notes]
  read_on: 2026-11-24
  rows:
    debian 12: {manager: apt, eol: 2026-06-10, kernel: 6.1, nvidia: deb, repository: cuda, toolkit_repository: cuda, key_for_modules: /var/lib/dkms/mok.pub}
repositories:
  source: [notes]
  read_on: 2026-11-24
  rows:
    cuda: {address: "https://example.org/{arch}/", key: "https://example.org/{arch}/key.pub", fingerprint: 0123456789ABCDEF0123456789ABCDEF01234567, arch: {x86_64: x86_64}, source: [wheels]}
driver_packages:
  source: [notes]
  read_on: 2026-11-24
  rows:
    deb: {scheme: deb, last_branch: 575, open: ["nvidia-open-{branch}"], proprietary: [], hold: []}
    deb 580: {scheme: deb, first_branch: 580, branches: [580, 595], open: [nvidia-open], proprietary: [], hold: [], stream: ["{branch}-open", "{branch}-dkms"]}
"""  # noqa: E501  rows stand on one line each


@pytest.fixture(scope="module")
def small():
    return load_matrix(MINI + SOURCES, origin="m.yaml").driver_sources


def test_the_root_and_the_reader_name_the_same_tables():
    assert set(TABLES) <= _LATE_TABLES
    shipped = read_matrix().driver_sources
    assert all(getattr(shipped, name) for name in TABLES)


def test_a_matrix_without_them_knows_none(mini):
    assert load_matrix(mini, origin="m.yaml").driver_sources.distribution("debian 12") is None


def test_rows_are_found_by_name_branch_and_processor(small):
    assert small.distribution("debian 12").branches_in("nvidia") is None
    repository = small.repository("cuda")
    assert repository.source == ("wheels",)
    assert repository.address_for("x86_64") == "https://example.org/x86_64/"
    assert repository.key_for("aarch64") is None
    assert small.names("deb", 570).name == "deb"
    assert small.names("deb", 595).stream == ("{branch}-open", "{branch}-dkms")
    assert small.names("deb", 590) is None
    assert small.names("rpm", 595) is None
    assert small.branches_of("deb") is None


def test_every_scheme_that_is_shipped_is_named_by_a_distribution_and_no_branch_has_two_rows():
    shipped = read_matrix()
    known = shipped.driver_sources
    named = {row.distro for row in known.distributions} | {row.nvidia for row in known.distributions}
    assert {row.scheme for row in known.driver_packages} == named - {None}
    for scheme in named - {None}:
        for branch in shipped.branches:
            rows = [row for row in known.driver_packages if row.scheme == scheme and row.serves(branch.branch)]
            assert len(rows) <= 1, (scheme, branch.branch)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("fingerprint: 01234567", "fingerprint: 0123456", "repositories.rows.cuda.fingerprint"),
        ("fingerprint: 0123456789ABCDEF", "fingerprint: 0123456789abcdef", "40 hexadecimal digits in capitals"),
        ("https://example.org/{arch}/key.pub", "http://example.org/key.pub", "repositories.rows.cuda.key"),
        ("arch: {x86_64: x86_64}", "arch: {ppc64le: ppc64le}", "one of x86_64, aarch64"),
        ("repository: cuda,", "repository: cudas,", "distributions.rows['debian 12'].repository"),
        ("nvidia: deb,", "nvidia: rpm,", "distributions.rows['debian 12'].nvidia"),
        ("    debian 12:", "    Debian:", "a name such as ubuntu 24.04"),
        ("manager: apt", "manager: pacman", "one of apt, dnf, zypper"),
        ("/var/lib/dkms/mok.pub", "mok.pub", "an absolute path"),
        ("[nvidia-open],", "['nvidia open'],", "the name of a package"),
        ('["{branch}-open", "{branch}-dkms"]', '["{branch}-open"]', "one for the open and one for the proprietary"),
        ("scheme: deb, last", "schema: deb, last", "the key scheme"),
    ],
)
def test_a_wrong_row_is_named(old, new, said):
    assert old in SOURCES
    with pytest.raises(InputError) as caught:
        load_matrix(MINI + SOURCES.replace(old, new, 1), origin="m.yaml")
    assert said in str(caught.value)


def test_a_plan_of_wheels_never_loads_them():
    code = (
        "import sys; from provision.cli import run; "
        "run(['plan', '--gpu', 'Tesla T4', '--driver', '580.95.05']); "
        "assert 'provision.matrix.cache' in sys.modules; "
        "loaded = [n for n in sys.modules if n == 'provision.drivers.plan' or n == 'provision.drivers.recipe']; "
        "assert not loaded, loaded"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
