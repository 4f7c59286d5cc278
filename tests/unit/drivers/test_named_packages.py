"""Every package that a plan names is one that the archives have; what is not in the bench is nobody's package."""

import itertools

import pytest

from provision.errors import GpusetupError
from tests.bench.driver_box import APT, DNF, KINDS, ZYPPER, exchanged, machine, plan_for, stubs_of, unknown_names

WISHES = {
    "plain": {},
    "distro": {"origin": "distro"},
    "nvidia": {"origin": "nvidia"},
    "with-toolkits": {"container_toolkit": True, "cuda_toolkit": "newest"},
    "older-branch": {"branch": 580},
}


def unknown_in_plans(distribution, grid):
    """Names that no archive has, by where they stand, and how many plans there were."""
    unknown, plans = {}, 0
    for kind, word, kernel in grid:
        try:
            made = plan_for(machine(distribution, KINDS[kind], kernel=kernel), **WISHES[word])
        except GpusetupError:
            continue
        plans += 1
        if found := unknown_names(distribution, made.steps):
            unknown[kind, word] = found
    return unknown, plans


#: Signing keys of these nobody has read in full: no plan trusts them.
WITHOUT_PLANS = ("rhel 10", "fedora 43")


@pytest.mark.parametrize("distribution", [*APT, *DNF, *ZYPPER])
def test_every_package_named_is_in_an_archive(distribution):
    kernel = stubs_of(distribution).kernel_of(distribution)
    kinds, wishes = [(kind, "plain", kernel) for kind in KINDS], [("ada", word, kernel) for word in WISHES]
    unknown, plans = unknown_in_plans(distribution, [*kinds, *wishes, ("hopper-switched", "nvidia", None)])
    assert unknown == {}
    assert plans >= len(KINDS) or distribution in WITHOUT_PLANS


@pytest.mark.e2e
def test_every_package_named_in_any_plan_is_in_an_archive():
    for distribution in (*APT, *DNF, *ZYPPER):
        kernel = stubs_of(distribution).kernel_of(distribution)
        unknown, plans = unknown_in_plans(distribution, itertools.product(KINDS, WISHES, (kernel, None)))
        assert unknown == {}, distribution
        assert plans >= len(KINDS) or distribution in WITHOUT_PLANS


def test_a_name_with_a_typing_error_is_found():
    made = plan_for(machine("ubuntu 24.04", ("Tesla T4",)))
    wrong = exchanged(made.steps, {"nvidia-utils": "nvidia-util"})
    assert unknown_names("ubuntu 24.04", made.steps) == []
    assert any(name.startswith("nvidia-util-") for name in unknown_names("ubuntu 24.04", wrong))
