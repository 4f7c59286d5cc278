"""What NVIDIA_REQUIRE_CUDA asks for, against what a host has."""

from __future__ import annotations

import pytest

from provision.checks.container_inside import unmet

T4_535 = {"cuda": (12, 2), "driver": (535, 104, 5), "arch": (7, 5)}
TESLA = frozenset({"tesla"})
GEFORCE = frozenset({"geforce"})


@pytest.mark.parametrize(
    ("requirement", "brands", "is_unmet"),
    [
        ("cuda>=12.2", TESLA, False),
        ("cuda>=12.3", TESLA, True),
        ("cuda>=12", TESLA, False),
        ("cuda>=12.10", TESLA, True),
        ("cuda>=13.0 brand=tesla,driver>=535,driver<536", TESLA, False),
        ("cuda>=13.0 brand=tesla,driver>=535,driver<536", GEFORCE, True),
        ("cuda>=13.0 brand=tesla,driver>=470,driver<471", TESLA, True),
        ("cuda>=13.0 brand=tesla,driver>=535,driver<536", None, False),
        ("cuda>=13.0 brand!=geforce", GEFORCE, True),
        ("cuda>=13.0 brand!=geforce", TESLA, False),
        ("cuda>=12.0,arch>=8.0", TESLA, True),
        ("cuda>=12.0,arch>=7.5", TESLA, False),
        ("cuda>=13.0 driver=535.104.05", TESLA, False),
        ("cuda>=13.0 driver!=535.104.05", TESLA, True),
        ("cuda<12.2", TESLA, True),
        ("cuda<=12.2", TESLA, False),
        ("cuda>12.2", TESLA, True),
        ("cuda>=13.0 colour=green", TESLA, False),
        ("", TESLA, False),
        ("   ", TESLA, False),
    ],
)
def test_spaces_are_alternatives_and_commas_need_all(requirement, brands, is_unmet):
    assert unmet(requirement, T4_535, brands) is is_unmet


def test_nothing_is_unmet_where_nothing_is_known():
    assert not unmet("cuda>=13.0", {}, None)
