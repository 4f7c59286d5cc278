"""Rows of the matrix as lines."""

from provision.report.matrix_rows import matrix_data
from provision.report.matrix_words import Selectors
from tests.bench.matrix import shipped


def test_gpus_are_shown_with_their_memory_and_boards_with_their_chip():
    data = matrix_data(shipped(), path="matrix.yaml", selectors=Selectors(gpu="rtx 3070"))
    assert [" ".join(row.split()) for row in data.rows] == [
        "GeForce RTX 3070 8.6 Ampere 8 GiB",
        "GeForce RTX 3070 Ti 8.6 Ampere 8 GiB",
        "GeForce RTX 3070 Laptop GPU 8.6 Ampere GA104",
        "GeForce RTX 3070 Ti Laptop GPU 8.6 Ampere GA104",
    ]


def test_a_name_of_two_chips_stands_there_twice():
    data = matrix_data(shipped(), path="matrix.yaml", selectors=Selectors(gpu="GTX 860M"))
    assert [row.split()[-1] for row in data.rows] == ["GK104", "GM107"]
