"""The words for apt and dpkg, against the real programs, in ways that change nothing."""

import shutil
import subprocess

import pytest

from provision.drivers.managers import argv_of, mending_of, rehearsal_of, removed_packages
from provision.drivers.steps import Packages

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("apt-get") is None, reason="only where apt is"),
]
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


def said(argv):
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=ENVIRONMENT)


def test_a_rehearsal_of_apt_names_what_would_go():
    listed = said(("dpkg-query", "-W", "-f", "${Priority} ${db:Status-Status} ${Package}\\n")).stdout.splitlines()
    name = next(line.split()[2] for line in listed if line.startswith("optional installed "))
    assert name in removed_packages("apt", said(rehearsal_of(Packages("apt", "remove", (name,)))).stdout)
    assert said(("dpkg-query", "-W", "-f", "${db:Status-Status}", name)).stdout == "installed"


def test_apt_understands_the_options_of_a_request():
    program, *words = argv_of(Packages("apt", "install", ("tar",)))
    done = said((program, "-s", *words))
    assert done.returncode == 0, done.stderr
    assert removed_packages("apt", done.stdout) == ()


def test_dpkg_understands_how_it_is_mended():
    program, *words = mending_of("apt")
    done = said((program, "--no-act", *words))
    assert done.returncode == 0, done.stderr
