"""One line whose state and exit code agree."""

from dataclasses import replace

import pytest
from sick_box import CAUSE, FOLDED, HEALTHY, MISMATCH, SICK, SUPPRESSED, WARNED

from provision.report.check_nagios import nagios_line, render_check_nagios


@pytest.mark.parametrize(
    ("results", "word", "code"),
    [
        (HEALTHY, "OK", 0),
        ((*HEALTHY, *SICK[-3:]), "OK", 0),
        ((*HEALTHY, WARNED), "WARNING", 1),
        (SICK, "CRITICAL", 2),
        ((replace(WARNED, status="crashed"),), "CRITICAL", 2),
        (SICK[-2:], "UNKNOWN", 3),
        ((SUPPRESSED,), "UNKNOWN", 3),
        ((), "UNKNOWN", 3),
    ],
)
def test_the_worst_state_decides(results, word, code):
    line, found = render_check_nagios(results)
    assert line.startswith(f"GPUSETUP {word} - ")
    assert found == code


def test_the_line_names_the_cause_and_carries_the_counts():
    assert render_check_nagios(SICK, cause=CAUSE, folded=FOLDED)[0] == (
        "GPUSETUP CRITICAL - driver.kmd_umd_match: The kernel module is of release 535.104.05 and the user libraries "
        "are of release 550.54.14. (explains 2 more; 3 failed, 1 timed out, 1 warned, 1 unknown, 1 suppressed, "
        "1 skipped, 2 passed) | failed=4;;0;0;10 warned=1;0;;0;10 passed=2;;;0;10 unknown=1;;;0;10 "
        "suppressed=1;;;0;10 skipped=1;;;0;10 time=0.750000s;;;0"
    )


def test_the_message_can_not_end_the_line_or_begin_the_performance_data():
    line, _ = render_check_nagios((replace(MISMATCH, happened="a|b\nc\x00\u2028d" + "x" * 9000),), cause=CAUSE)
    assert line.count("|") == 1
    assert line.isprintable()
    assert "a/b c" in line
    assert len(line) < 1024


def test_a_line_without_performance_data():
    assert nagios_line(3, "no such file | x") == "GPUSETUP UNKNOWN - no such file / x"
