"""What `gpusetup plan` tells a person to do: only what helps."""

from __future__ import annotations

import json

import pytest

from provision.cli import run


def cures(capsys, *words):
    code = run(["plan", *words, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == document["exit_code"] == 4
    return next(found for found in document["findings"] if found["id"] == "no-compatible-build")["do"]["safe"]


def test_a_request_that_alone_is_in_the_way_is_named(capsys):
    machine = ("--gpu", "Tesla T4", "--driver", "535.54.03", "--python", "3.12")
    steps = cures(capsys, *machine, "--torch", "1.13")
    assert steps == [
        "--torch 1.13 -> without --torch admits torch 2.14.1+cu126",
        "gpusetup plan, without --torch",
    ]


def test_a_python_that_changes_nothing_is_not_blamed(capsys):
    """No general wheel has code for this Jetson, whatever Python it is for."""
    machine = ("--gpu", "Orin", "--driver", "540.4.0", "--arch", "aarch64", "--python", "3.10")
    assert cures(capsys, *machine) == []


@pytest.mark.parametrize("driver", ["418.87.00", "440.33.01"])
def test_a_driver_before_the_matrix_starts_no_image(capsys, driver):
    steps = cures(capsys, "--gpu", "Tesla T4", "--driver", driver, "--container")
    assert steps[0] == f"driver {driver} -> 450.80.02 admits torch 2.4.1+cu118"
