"""The shipped matrix, and machines in one line."""

import pytest

from provision.resolve import Catalogue
from tests.bench.matrix import shipped


@pytest.fixture(scope="session")
def catalogue():
    return Catalogue(shipped())


@pytest.fixture(scope="session")
def matrix(catalogue):
    return catalogue.matrix
