"""An index that holds exactly what a small matrix says, and changes to it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
sys.path.insert(0, str(Path(__file__).parents[1] / "matrix"))

from audit_site import Site


@pytest.fixture(autouse=True)
def only_local(monkeypatch):
    """No configuration of this machine counts."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_", "GPUSETUP_")) or name.lower() in {"http_proxy", "https_proxy", "no_proxy"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("NETRC", os.devnull)


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "site")
