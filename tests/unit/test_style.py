"""Figures, marks and findings as text."""

import pytest

from provision.records import Evidence, Finding
from provision.report.findings import render_finding
from provision.report.style import Style, figure, gib, seconds, shown_length


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


@pytest.mark.parametrize("value", [10**400, -(10**400), 1e300, float("inf"), float("nan")])
def test_no_figure_is_too_large_to_be_shown(value):
    assert len(figure(value)) < 20
    assert len(gib(value)) < 20
    assert len(seconds(value)) < 20


def test_columns_stand_below_each_other_with_and_without_colour():
    plain, coloured = Style(has_unicode=True), Style(has_unicode=True, has_colour=True)
    assert plain.row(plain.mark("pass"), "16 skipped") == "✓        16 skipped"
    assert coloured.row(coloured.mark("pass"), "16 skipped") == "\x1b[32m✓\x1b[0m        16 skipped"
    assert coloured.block(coloured.mark("pass"), "16 skipped") == ["\x1b[32m✓\x1b[0m        16 skipped"]


def test_a_row_breaks_between_columns_and_never_inside_one():
    style = Style(width=40)
    assert style.row("gpu 0", "NVIDIA A100-SXM4-80GB", "8.0", "80.0 GiB", "00000000:01:00.0").splitlines() == [
        "gpu 0    NVIDIA A100-SXM4-80GB  8.0",
        "         80.0 GiB  00000000:01:00.0",
    ]
    path = "/srv/" + "x" * 60
    assert style.row("env", path, "Python 3.12").splitlines() == [f"env      {path}", "         Python 3.12"]
    coloured = Style(width=40, has_colour=True)
    text = coloured.row("x", *(coloured.paint("word", "good") for _ in range(12)))
    assert max(shown_length(line) for line in text.splitlines()) <= 40
    assert len(text.splitlines()) == 3


PAGE = """A sentence that is longer than the forty columns of this terminal.
Its second line.

What to do
    - first item, which also is longer than forty columns
      and goes on
    - second item
    `a-command-that-is-longer-than-the-forty-columns-of-it`"""


def test_a_page_is_wrapped_to_the_width_and_keeps_its_shape():
    assert Style(width=40).reflowed(PAGE).splitlines() == [
        "A sentence that is longer than the forty",
        "columns of this terminal. Its second",
        "line.",
        "",
        "What to do",
        "    - first item, which also is longer",
        "      than forty columns and goes on",
        "    - second item",
        "    `a-command-that-is-longer-than-the-forty-columns-of-it`",
    ]
    assert Style(width=100).reflowed(PAGE) == PAGE
