"""The shipped matrix, and a machine of a text."""

import pytest

from provision.matrix import default_matrix_path, read_matrix
from provision.pasted import machine_from_paste


@pytest.fixture(scope="session")
def matrix():
    return read_matrix(default_matrix_path())


@pytest.fixture(scope="session")
def pasted(matrix):
    return lambda text: machine_from_paste(text, matrix, origin="paste")
