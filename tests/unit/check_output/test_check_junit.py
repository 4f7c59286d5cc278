"""JUnit XML: well-formed whatever a check says, and each state where a CI system looks for it."""

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from sick_box import MISMATCH, SICK

from provision.records import Evidence
from provision.report.check_junit import render_check_junit

AT = "2026-11-23T10:00:00"


def parsed(results, **more):
    return ET.fromstring(render_check_junit(results, timestamp=AT, **more).encode())  # noqa: S314  our own text


def test_a_suite_per_component_with_its_counts():
    root = parsed(SICK)
    suites = {suite.get("name"): dict(suite.attrib) for suite in root}
    assert list(suites) == ["pci", "driver", "sys", "gpu", "ib", "kernel"]
    counts = {name: tuple(map(suites[name].get, ("tests", "failures", "errors", "skipped"))) for name in suites}
    assert counts["driver"] == ("3", "2", "0", "0")
    assert counts["gpu"] == ("2", "0", "1", "1")
    assert suites["driver"]["time"] == "0.500000"
    assert suites["driver"]["timestamp"] == AT
    assert tuple(map(root.get, ("tests", "failures", "errors", "skipped"))) == ("10", "3", "1", "3")


def case_of(root, id_):
    return next(case for case in root.iter("testcase") if case.get("name") == id_)


@pytest.mark.parametrize(
    ("id_", "element", "message"),
    [
        ("driver.nvml_init", "failure", "NVML says 18."),
        ("gpu.rows", "error", "The question took longer than 5 s."),
        ("ib.ports", "skipped", "skip: No InfiniBand adapter is here."),
        ("kernel.xid", "skipped", "unknown: Only root may read the kernel log."),
        (
            "gpu.ecc_mode",
            "skipped",
            "suppressed until 2027-01-31 by ops (benchmarks of this quarter): fail: ECC is off on GPU 3.",
        ),
    ],
)
def test_states_are_elements_with_a_reason(id_, element, message):
    (inside,) = case_of(parsed(SICK), id_)
    assert (inside.tag, inside.get("message")) == (element, message)


def test_a_failure_holds_evidence_and_cures():
    (failure,) = case_of(parsed(SICK), MISMATCH.id)
    assert failure.get("type") == "fail"
    assert failure.text.splitlines()[1:] == [
        "found: driver.module 535.104.05, needs 550.54.14 (/sys/module/nvidia/version)",
        "found: nvml.init error 18 Driver/library version mismatch (nvml)",
        "do: systemctl stop nvidia-persistenced",
        "risky: reboot",
        "explains: driver.nvml_init, pci.count_vs_nvml",
    ]


def test_a_warning_is_output_and_with_strict_a_failure():
    assert [child.tag for child in case_of(parsed(SICK), "sys.time")] == ["system-out"]
    strict = parsed(SICK, is_strict=True)
    assert [(child.tag, child.get("type")) for child in case_of(strict, "sys.time")] == [("failure", "warn")]
    assert strict.get("failures") == "4"


def test_a_check_that_passed_is_empty():
    assert len(case_of(parsed(SICK), "driver.uvm")) == 0


def test_hostile_text_stays_text():
    said = "a<b & \"c\" ']]>' \x00\x1b[31m \ud800\ufffe\uffff end"
    hostile = replace(MISMATCH, component='<x y="', happened=said, evidence=(Evidence("n<", said),))
    root = parsed((hostile, replace(hostile, status="warn"), replace(hostile, status="skip")))
    assert root[0].get("name") == '<x y="'
    failure = root[0][0][0]
    assert failure.get("message") == "a<b & \"c\" ']]>' [31m end"
    assert 'found: n< a<b & "c"' in failure.text
