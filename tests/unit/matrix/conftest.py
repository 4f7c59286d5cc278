"""The small matrix as a fixture."""

import pytest
from matrix_mini import MINI


@pytest.fixture
def mini() -> str:
    return MINI
