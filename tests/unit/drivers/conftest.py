"""Fixtures of the driver tests."""

import pytest
from pretended_machine import PretendedMachine


@pytest.fixture
def machine(tmp_path):
    return PretendedMachine(tmp_path / "machine")
