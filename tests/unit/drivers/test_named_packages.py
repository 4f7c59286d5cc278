"""Every package that a plan names is one that the archives have; what is not in the bench is nobody's package."""

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


@pytest.mark.parametrize("distribution", [*APT, *DNF, *ZYPPER])
def test_every_package_named_is_in_an_archive(distribution):
    kernel = stubs_of(distribution).kernel_of(distribution)
    unknown = {}
    plans = 0
    for kind, gpus in KINDS.items():
        for word, wish in WISHES.items():
            for known_kernel in (kernel, None):
                try:
                    made = plan_for(machine(distribution, gpus, kernel=known_kernel), **wish)
                except GpusetupError:
                    continue
                plans += 1
                if found := unknown_names(distribution, made.steps):
                    unknown[kind, word] = found
    assert unknown == {}
    if distribution not in ("rhel 10", "fedora 43"):  # whose signing keys nobody has read in full: no plan trusts them
        assert plans >= len(KINDS)


def test_a_name_with_a_typing_error_is_found():
    made = plan_for(machine("ubuntu 24.04", ("Tesla T4",)))
    wrong = exchanged(made.steps, {"nvidia-utils": "nvidia-util"})
    assert unknown_names("ubuntu 24.04", made.steps) == []
    assert any(name.startswith("nvidia-util-") for name in unknown_names("ubuntu 24.04", wrong))
