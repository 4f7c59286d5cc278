"""Garbage in place of what a machine, a snapshot or a file of ours holds: no traceback, no broken probe, no delay."""

from __future__ import annotations

import json
import random
import re
import shutil
import time

import pytest

from provision.checks import Facts, all_checks, run_checks
from provision.commands.machines import examined_from_bytes
from provision.console import Console
from provision.detect.answer_forms import FORMS, has_form
from provision.detect.kernel_lines import kept, parse_kernel_log
from provision.detect.memory import Look, scrubbed
from provision.doctor import Visit, expected_results, see_examined
from provision.errors import InputError
from provision.report.check_junit import render_check_junit
from provision.report.check_nagios import render_check_nagios
from provision.report.check_prometheus import render_check_prometheus
from provision.report.check_text import render_check_text
from provision.snapshot import surroundings_of
from provision.suppressions import parse_suppressions
from tests.boxes import healthy
from tests.boxes.cases import all_cases
from tests.unit import garbage

if shutil.which("gcc") is None:
    pytest.skip("the fake NVML needs gcc", allow_module_level=True)

LOOKS = {"text", "link", "names", "exists", "access", "space", "status", "command"}
MANY = [pytest.param(1000, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def wholes():
    return [garbage.whole_of(make()) for make in healthy.BOXES]


@pytest.fixture(scope="module")
def documents():
    return [make().document("standard") for make in (healthy.t4, healthy.h100x8, healthy.container, healthy.wsl)]


# --- the machine


@pytest.mark.parametrize("count", [17, *MANY])
def test_garbage_in_files_and_outputs_breaks_nothing(wholes, count):
    for seed in range(count):
        dice = random.Random(seed)
        around, looks = wholes[seed % len(wholes)]
        share = (0.03, 0.2, 1.0)[seed % 3]
        odd = {
            (kind, key): garbage.spoilt(look, kind, dice) if kind in LOOKS and dice.random() < share else look
            for (kind, key), look in looks.items()
        }
        started = time.monotonic()
        machine, results = garbage.judged(garbage.replaying(around, odd))
        assert garbage.complaints(machine, results) == [], seed
        told = (
            render_check_text(results, Console().out, cause=None, folded=(), notes=(), is_verbose=True),
            render_check_junit(results, timestamp="2026-11-23T00:00:00", is_strict=True),
            render_check_prometheus(results, taken_at=0.0, cause=None),
            render_check_nagios(results, cause=None, folded=())[0],
        )
        assert [found for text in told if (found := garbage.controls(text))] == [], seed
        assert time.monotonic() - started < 5, seed


def megabytes():
    """Long lines that a pattern may go over again and again."""
    size = 300_000
    words = ("NVRM: Xid (", "password", "://", "BAR 1 ", "AER: Uncorrect", "audit: ", 'apparmor="DENIED"', "a.b", " ")
    words += (
        "Out of memory",
        "pid=",
        "name=",
        "0000:",
        "[Hardware Error]",
        "nvme nvme0: ",
        "ghp_",
        "eyJ",
        '="',
        "nvidia/",
    )
    return [word * (size // len(word)) for word in words]


@pytest.mark.parametrize("text", megabytes(), ids=lambda text: text[:12].strip() or "blanks")
def test_no_pattern_takes_long_over_a_long_line(text):
    started = time.monotonic()
    scrubbed(text)
    line = f"1795000000.1 box kernel: {text}\n"
    parse_kernel_log(kept(line * 2, None), booted_at=None, now=0.0)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("text", megabytes()[::4], ids=lambda text: text[:12].strip() or "blanks")
def test_no_probe_takes_long_over_long_lines(wholes, text):
    around, looks = wholes[0]
    long = {
        (kind, key): Look("present", text)
        if kind == "text"
        else Look("present", {**look.value, "stdout": text, "stderr": text})
        if kind == "command" and look.is_present
        else look
        for (kind, key), look in looks.items()
    }
    started = time.monotonic()
    machine, results = garbage.judged(garbage.replaying(around, long))
    assert garbage.complaints(machine, results) == []
    assert time.monotonic() - started < 5


# --- snapshots


def changed(value, dice, depth=0):
    """The JSON value with one thing in it dropped, doubled or replaced."""
    if isinstance(value, dict) and value and dice.random() < 0.9 - depth / 20:
        key = dice.choice(list(value))
        if dice.random() < 0.1:
            return {name: one for name, one in value.items() if name != key}
        return {**value, key: changed(value[key], dice, depth + 1)}
    if isinstance(value, list) and value and dice.random() < 0.7:
        place = dice.randrange(len(value))
        if dice.random() < 0.2:
            return [*value, value[place]]
        return [*value[:place], changed(value[place], dice, depth + 1), *value[place + 1 :]]
    if isinstance(value, str) and dice.random() < 0.5:
        return garbage.mixed(value, dice)
    return dice.choice(garbage.VALUES)


@pytest.mark.parametrize("count", [30, *MANY])
def test_a_changed_snapshot_is_judged_or_refused_with_its_place(documents, count):
    refused = []
    for seed in range(count):
        dice = random.Random(seed)
        odd = documents[seed % len(documents)]
        data = odd["data"]
        for _ in range(dice.choice((1, 1, 4))):
            data = changed(data, dice)
        try:
            examined = examined_from_bytes(json.dumps({**odd, "data": data}).encode(), None, origin="box.json")
            seen = see_examined(examined, Visit())
            assert garbage.complaints(seen.facts.machine, run_checks(seen.facts)) == [], seed
        except InputError as err:
            refused.append(err.happened)
    assert [one for one in refused if "box.json" not in one] == []
    assert 0 < len(refused) < count


@pytest.mark.parametrize(
    "raw",
    [
        b'{"schema": "gpusetup.snapshot/1", "data": ' + b'{"a": ' * 100_000 + b"1" + b"}" * 100_001,
        b'{"schema": "gpusetup.snapshot/1", "data": {"looks": {"answer": {"now": {"present": 1e999}}}}}',
        b'{"schema": "gpusetup.snapshot/1", "data": {"looks": {"answer": {"user": {"present": ' + b"[" * 900,
        b'{"schema": "gpusetup.snapshot/1"}',
        b'{"schema": ["gpusetup.snapshot/1"]}',
        b"{",
        b"{\xff\xfe",
    ],
)
def test_odd_documents_are_refused(raw):
    with pytest.raises(InputError):
        examined_from_bytes(raw, None, origin="box.json")


def test_a_very_large_snapshot_is_read_in_a_moment(documents):
    data = json.loads(json.dumps(documents[0]["data"]))
    data["looks"]["text"] |= {f"/etc/{number}": {"present": "x" * 1000} for number in range(15_000)}
    started = time.monotonic()
    around, _ = surroundings_of(data, where="box.json")
    assert around.text("/etc/7") == "x" * 1000
    assert time.monotonic() - started < 3


def test_every_answer_of_a_box_has_its_form(documents):
    """The table of forms knows every question that is asked."""

    names = {name for one in documents for name in one["data"]["looks"]["answer"]}
    known = {name for name in names if any(re.fullmatch(pattern, name) for pattern, _ in FORMS)}
    assert {name for name in names - known if not name.startswith("kept of ")} <= {"env.scan"}
    for one in documents:
        for name, seen in one["data"]["looks"]["answer"].items():
            assert has_form(name, seen.get("present")), name


# --- files of ours


@pytest.mark.parametrize("count", [200])
def test_files_of_expectations_are_judged_or_refused(tmp_path, count):
    good = {
        "schema": "gpusetup.expectation/1",
        "data": {
            "made_from": 1,
            "made_on": "2026-11-23",
            "facts": [
                {"name": "gpu.count", "must_be": "equal", "value": 1},
                {"name": "driver.driver_version", "must_be": "at-least", "value": "550.54"},
                {"name": "gpu.name", "must_be": "one-of", "value": ["Tesla T4"]},
            ],
        },
    }
    facts = healthy.t4().facts()
    path = tmp_path / "expected.json"
    refused = []
    for seed in range(count):
        dice = random.Random(seed)
        path.write_bytes(json.dumps(changed(good, dice)).encode("utf-8", "surrogatepass"))
        try:
            expected_results(facts, path)
        except InputError as err:
            refused.append(err.happened)
    assert [one for one in refused if "expected.json" not in one] == []
    assert 0 < len(refused) <= count


@pytest.mark.parametrize("count", [200])
def test_files_of_suppressions_are_read_or_refused(count):
    good = "- id: gpu.ecc_mode\n  reason: known\n  until: 2027-01-31\n  by: me\n  host: box\n  match: x\n"
    known = [check.id for check in all_checks()]
    refused = []
    for seed in range(count):
        # a file is UTF-8: no surrogate comes out of it
        text = garbage.mixed(good, random.Random(seed)).encode("utf-8", "replace").decode()
        try:
            parse_suppressions(text, origin="known.yaml", known=known)
        except InputError as err:
            refused.append(err.happened)
    assert [one for one in refused if "known.yaml" not in one] == []
    assert 0 < len(refused) < count
    for text in ("&a [*a, *a]", "- " * 5000, "a: " * 2000, "!!python/object:os.system x", "\0", "- {id: gpu.ecc_mode"):
        with pytest.raises(InputError):
            parse_suppressions(text, origin="known.yaml", known=known)


# --- what can't be read is no pass

BLINDED = "Unknown Error (NVML code 999)"


@pytest.mark.parametrize("case", all_cases()[::9], ids=lambda case: case.name)
def test_no_check_passes_because_a_gpu_does_not_tell(case):
    from dataclasses import replace

    facts = case.box().facts(case.level)
    check = next(check for check in all_checks() if check.id == case.fires)
    check.evaluate(facts)
    asked = [name for name in facts.asked_for if name.startswith(("gpu.", "pair.")) and facts.was_looked_at(name)]
    for name in asked:
        readings = tuple(
            replace(one, value=None, failure=BLINDED) if one.name == name else one for one in facts.machine.readings
        )
        blind = Facts(replace(facts.machine, readings=readings), facts.context)
        assert check.evaluate(blind).status != "pass", name


def test_a_count_that_no_machine_has_costs_no_time():
    box = healthy.t4()
    around, looks = garbage.whole_of(box)
    value = looks["command", "cuda"].value
    odd = re.sub(r'("fact": "count".*?"value": )\d+', r"\g<1>9999999999999", value["stdout"])
    assert odd != value["stdout"]
    started = time.monotonic()
    machine, results = garbage.judged(
        garbage.replaying(around, {**looks, ("command", "cuda"): Look("present", {**value, "stdout": odd})})
    )
    assert garbage.complaints(machine, results) == []
    assert time.monotonic() - started < 5
