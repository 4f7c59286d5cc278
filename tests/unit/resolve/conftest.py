"""The shipped matrix, and machines in one line."""

import pytest

from provision.matrix import read_matrix
from provision.resolve import Catalogue


@pytest.fixture(scope="session")
def catalogue():
    return Catalogue(read_matrix())


@pytest.fixture(scope="session")
def matrix(catalogue):
    return catalogue.matrix
