"""Figures, marks and findings as text."""

import pytest

from provision.records import Evidence, Finding
from provision.report.findings import render_finding
from provision.report.style import Style, figure, gib, seconds


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1284.4, "1,284"), (12.413, "12.41"), (0.98765, "0.9877"), (0.00012345, "0.000123"), (999.96, "1000")],
)
def test_figures_have_at_most_four_significant_digits(value, text):
    assert figure(value) == text


def test_units():
    assert gib(512 * 2**20) == "512 MiB"
    assert gib(80 * 2**30) == "80.0 GiB"
    assert seconds(0.0124) == "12.4 ms"
    assert seconds(8.31) == "8.3 s"
    assert seconds(125) == "2 min 5 s"


def test_a_finding_as_plain_text():
    finding = Finding(
        "driver-too-old",
        "fail",
        "No build in the matrix runs on this driver.",
        (Evidence("driver", "470.82.01", source="nvml", needs="525.60.13 or newer"),),
        safe=("gpusetup driver plan",),
        risky=("reboot",),
    )
    assert render_finding(finding, Style()) == (
        "FAIL driver-too-old\n"
        "  No build in the matrix runs on this driver.\n"
        "  found   driver 470.82.01  (nvml)\n"
        "  needs   525.60.13 or newer\n"
        "  do      gpusetup driver plan\n"
        "  or      reboot\n"
        "  more    gpusetup explain driver-too-old"
    )


def test_colour_is_never_the_only_carrier_of_meaning():
    assert Style().mark("fail") == "FAIL"
    assert Style(has_unicode=True).mark("fail") == "✗"
    assert Style(has_colour=True).mark("fail") == "\x1b[31mFAIL\x1b[0m"
    assert Style().mark("timed-out") == "FAIL"


def test_paths_in_the_home_folder_are_short():
    style = Style(home="/home/ada")
    assert style.path("/home/ada/env") == "~/env"
    assert style.path("/home/adam/env") == "/home/adam/env"
    assert Style().path("/home/ada/env") == "/home/ada/env"
    assert Style(home="/").path("/env") == "~/env"
