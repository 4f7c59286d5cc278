"""The file for the textfile collector: the exposition format, and series that never vanish."""

import re
from dataclasses import replace

from sick_box import CAUSE, MISMATCH, SICK

from provision.check_states import STATES
from provision.report.check_prometheus import render_check_prometheus

LABEL = r'[a-z_]+="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"([a-z_]+)(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?[0-9.]+)")


def samples(text: str) -> dict[str, dict[str, float]]:
    """Samples by metric; every line must be one, or HELP and TYPE before the first of its metric."""
    found: dict[str, dict[str, float]] = {}
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name = line.split()[2]
            assert name not in found
            found[name] = {}
        elif line.startswith("# TYPE "):
            assert line == f"# TYPE {name} gauge"
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            assert match[1] == name
            assert match[2] not in found[name]
            found[name][match[2]] = float(match[3])
    return found


def test_every_check_has_a_sample_per_state():
    found = samples(render_check_prometheus(SICK, taken_at=1764000000.25, cause=CAUSE))
    status = found["gpusetup_check_status"]
    assert len(status) == len(SICK) * len(STATES)
    assert status['id="gpu.rows",component="gpu",status="timed-out"'] == 1
    assert status['id="gpu.rows",component="gpu",status="pass"'] == 0
    assert sum(status.values()) == len(SICK)
    assert found["gpusetup_check_total"]['status="fail"'] == 3
    assert sum(found["gpusetup_check_total"].values()) == len(SICK)
    assert found["gpusetup_check_duration_seconds"]['id="driver.uvm",component="driver"'] == 0.5
    assert found["gpusetup_check_timestamp_seconds"] == {None: 1764000000.25}
    assert found["gpusetup_check_cause"] == {f'id="{CAUSE}",component="driver"': 1}


def test_what_a_check_says_never_gets_into_the_file():
    text = render_check_prometheus(SICK, taken_at=1.0)
    assert not any(result.happened in text for result in SICK)


def test_labels_are_escaped():
    hostile = replace(MISMATCH, id='a"b\\c\nd', duration_s=float("nan"))
    text = render_check_prometheus((hostile,), taken_at=1.0)
    assert r'gpusetup_check_status{id="a\"b\\c d",component="driver",status="fail"} 1' in text
    assert r'gpusetup_check_duration_seconds{id="a\"b\\c d",component="driver"} NaN' in text
