"""Fixtures of the driver tests."""

import os
from pathlib import Path

import pytest
from pretended_machine import PretendedMachine


@pytest.fixture
def machine(tmp_path):
    return PretendedMachine(tmp_path / "machine")


@pytest.fixture(autouse=True)
def flushed(monkeypatch):
    """Paths that were flushed: tests kill processes, not the power, and the disk of a busy machine takes its time."""
    paths = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: paths.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
    )
    return paths
