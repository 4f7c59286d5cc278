"""Known results do not count until their day, and keep what they say."""

import datetime as dt

import pytest
from sick_box import CAUSE, MISMATCH, SICK

from provision.errors import InputError
from provision.paths import suppressions_file
from provision.suppressions import apply_suppressions, load_suppressions, parse_suppressions

KNOWN = [result.id for result in SICK]
TEXT = """\
- id: driver.kmd_umd_match
  until: 2027-01-31
  reason: the reboot is planned
  by: ops
"""
LAST = dt.date(2027, 1, 31)


def applied(text, *, today=LAST, hostname="node-7"):
    entries = parse_suppressions(text, origin="s.yaml", known=KNOWN)
    return apply_suppressions(SICK, entries, hostname=hostname, today=today)


def result_of(found, id_=CAUSE):
    return next(result for result in found.results if result.id == id_)


def test_a_suppressed_result_keeps_what_it_says_and_names_who_until_and_why():
    result = result_of(applied(TEXT))
    assert result.status == "suppressed"
    assert (result.happened, result.evidence) == (MISMATCH.happened, MISMATCH.evidence)
    why = result.suppression
    assert (why.was, why.until, why.reason, why.by, why.place) == (
        *("fail", "2027-01-31", "the reboot is planned"),
        *("ops", "s.yaml:1"),
    )
    assert [r for r in applied(TEXT).results if r.id != CAUSE] == [r for r in SICK if r.id != CAUSE]


def test_an_entry_ends_with_its_last_day_and_then_warns():
    assert applied(TEXT).findings == ()
    found = applied(TEXT, today=LAST + dt.timedelta(days=1))
    assert found.results == SICK
    (finding,) = found.findings
    assert (finding.id, finding.status) == ("suppression-expired", "warn")
    assert finding.happened == "The suppression of driver.kmd_umd_match ended on 2027-01-31 and counts no more."
    assert finding.evidence[0].source == "s.yaml:1"


@pytest.mark.parametrize(
    ("more", "hostname", "status"),
    [
        ("  host: node-*\n", "node-7", "suppressed"),
        ("  host: node-*\n", "login", "fail"),
        ("  host: node-*\n", None, "fail"),
        ("  match: 535.104.05\n", None, "suppressed"),
        ("  match: Driver/library\n", None, "suppressed"),
        ("  match: 535.104.06\n", None, "fail"),
    ],
)
def test_an_entry_may_mean_some_hosts_and_some_results(more, hostname, status):
    assert result_of(applied(TEXT + more, hostname=hostname)).status == status


def test_an_entry_for_another_host_does_not_warn_here():
    assert applied(TEXT + "  host: login\n", today=dt.date(2030, 1, 1)).findings == ()


def test_only_problems_are_suppressed():
    assert result_of(applied(TEXT.replace(CAUSE, "driver.uvm")), "driver.uvm").status == "pass"


@pytest.mark.parametrize(
    ("text", "place", "found", "expected"),
    [
        (TEXT.replace("until: 2027-01-31", "by_: x"), "[0] (line 1)", "no key 'until'", "the key until"),
        (TEXT.replace("reason", "why"), "[0] (line 1)", "no key 'reason'", "the key reason"),
        (TEXT.replace("the reboot is planned", "''"), "[0].reason (line 3)", "''", "text"),
        (TEXT.replace("2027-01-31", "2027-02-30"), "[0].until (line 2)", "'2027-02-30'", "the last day, such as"),
        (TEXT.replace("2027-01-31", "2027-W01-1"), "[0].until (line 2)", "'2027-W01-1'", "the last day, such as"),
        (TEXT.replace("umd_match", "umd_mach"), "[0].id (line 1)", "mach'", "perhaps driver.kmd_umd_match"),
        (TEXT + "  hots: x\n", "[0].hots (line 5)", "unknown key 'hots'", "one of by, host"),
        (TEXT + TEXT, "[1] (line 5)", "a mapping with 4 keys", "each entry once"),
        ("id: x\n", "the document (line 1)", "a mapping with 1 keys", "a list"),
        ("- &a x\n", "line 1, column 3", "anchor &a", "no anchor"),
        ("- [\n", "line 2, column 1", "", "well-formed YAML"),
    ],
)
def test_a_mistake_is_told_with_place_found_and_expected(text, place, found, expected):
    with pytest.raises(InputError) as caught:
        parse_suppressions(text, origin="s.yaml", known=KNOWN)
    said = caught.value.happened
    assert said.startswith(f"s.yaml: {place}: found ")
    assert found in said
    assert expected in said.partition(", expected ")[2]
    assert caught.value.code == "bad-input"
    assert caught.value.do == ("correct s.yaml",)


def test_an_empty_file_suppresses_nothing(tmp_path):
    (tmp_path / "s.yaml").write_text("# nothing yet\n")
    assert parse_suppressions("", origin="s.yaml", known=KNOWN) == ()
    assert load_suppressions(tmp_path / "s.yaml", known=KNOWN) == ()


def test_the_file_is_found_by_name_then_variable_then_in_the_configuration(tmp_path, monkeypatch):
    monkeypatch.delenv("GPUSETUP_SUPPRESSIONS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert suppressions_file(None) is None
    own = tmp_path / "gpusetup" / "suppressions.yaml"
    own.parent.mkdir()
    own.touch()
    assert suppressions_file(None) == own
    monkeypatch.setenv("GPUSETUP_SUPPRESSIONS", "/srv/s.yaml")
    assert str(suppressions_file(None)) == "/srv/s.yaml"
    assert str(suppressions_file("mine.yaml")) == "mine.yaml"
    assert suppressions_file("none") is None
