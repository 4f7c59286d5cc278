from __future__ import annotations

import json

import pytest

from harness.contract import (
    ContractError,
    Counts,
    Device,
    Job,
    Phase,
    Report,
    Software,
    StepTime,
    Throughput,
    dump,
    parse_job,
    parse_report,
    read_report,
    write,
)

REPORT = Report(
    status="completed",
    job=Job(seed=3, device="cpu", steps=5),
    software=Software("3.11.7", "2.13.0+cpu", arch_list=("sm_80", "sm_90")),
    devices=(Device("cpu", 0, name="EPYC", threads=2),),
    counts=Counts(5, 5, 80, 1000, 1200),
    throughput=Throughput(False, "small", 1.5, 2.5, StepTime(0.1, 0.2, 0.3), 0.5, 2, None, 0.0, 4.0),
    phases=(Phase("train", 1.0),),
    losses=(1.25, None),
    notes=("a note",),
)


def changed(**fields):
    return json.dumps({**json.loads(dump(REPORT)), **fields})


def test_report_survives_the_round_trip():
    assert parse_report(dump(REPORT)) == REPORT


def test_job_survives_the_round_trip():
    job = Job("smoke", "cpu", 9, 20, 2, "/somewhere", 30.0)
    assert parse_job(dump(job)) == job


def test_defaults_fill_what_a_job_leaves_out():
    assert parse_job('{"schema": "gpusetup.harness-job/1", "later": 1}') == Job()


def test_whole_number_serves_as_a_number():
    assert parse_job('{"schema": "gpusetup.harness-job/1", "deadline_s": 3}').deadline_s == 3.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "nonsense",
            "job: found text that is not JSON (Expecting value: line 1 column 1 (char 0)), expected one JSON object",
        ),
        ("[1]", "job: found [1], expected a JSON object"),
        ("{}", "job.schema: found null, expected 'gpusetup.harness-job/1'"),
        (
            '{"schema": "gpusetup.harness-job/2"}',
            "job.schema: found \"gpusetup.harness-job/2\", expected 'gpusetup.harness-job/1'",
        ),
        ('{"schema": "gpusetup.harness-job/1", "seed": "x"}', 'job.seed: found "x", expected a whole number'),
        ('{"schema": "gpusetup.harness-job/1", "seed": true}', "job.seed: found true, expected a whole number"),
        ('{"schema": "gpusetup.harness-job/1", "seed": null}', "job.seed: found null, expected a whole number"),
        ('{"schema": "gpusetup.harness-job/1", "steps": 0}', "job.steps: found 0, expected a number above 0 or null"),
        ('{"schema": "gpusetup.harness-job/1", "device": "tpu"}', 'job.device: found "tpu", expected one of cuda, cpu'),
        (
            '{"schema": "gpusetup.harness-job/1", "deadline_s": NaN}',
            "job.deadline_s: found NaN, expected a finite number",
        ),
    ],
)
def test_job_refused_with_the_place(text, message):
    with pytest.raises(ContractError) as caught:
        parse_job(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema": "gpusetup.harness-report/2"}, "report.schema: found"),
        ({"status": "fine"}, 'report.status: found "fine", expected one of completed'),
        ({"losses": 3}, "report.losses: found 3, expected a list"),
        ({"losses": [1.0, "x"]}, 'report.losses[1]: found "x", expected a finite number'),
        ({"devices": [{"kind": "cpu"}]}, "report.devices[0].index: found nothing, expected a whole number"),
        ({"devices": ["cpu"]}, 'report.devices[0]: found "cpu", expected an object'),
        ({"throughput": {"comparable": 1}}, "report.throughput.comparable: found 1, expected true or false"),
        ({"counts": [1]}, "report.counts: found [1], expected an object"),
        ({"software": {"python": "3", "torch": 2}}, "report.software.torch: found 2, expected a text"),
    ],
)
def test_report_refused_with_the_place(fields, message):
    with pytest.raises(ContractError) as caught:
        parse_report(changed(**fields))
    assert str(caught.value).startswith(message)


def test_deep_nesting_is_refused():
    with pytest.raises(ContractError, match="not JSON"):
        parse_report("[" * 200_000)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "report.json").write_bytes(b'{"\xff')
    with pytest.raises(ContractError, match="not UTF-8 at 2"):
        read_report(str(tmp_path / "report.json"))


def test_file_is_written_whole(tmp_path):
    write(REPORT, str(tmp_path / "report.json"))
    assert read_report(str(tmp_path / "report.json")) == REPORT
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_nothing_is_left_of_a_document_that_cannot_be_written(tmp_path):
    (tmp_path / "report.json").mkdir()
    with pytest.raises(OSError, match=r"report\.json"):
        write(REPORT, str(tmp_path / "report.json"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_contract_needs_the_standard_library_alone():
    import ast
    import sys
    from pathlib import Path

    import harness.contract

    tree = ast.parse(Path(harness.contract.__file__).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= set(sys.stdlib_module_names) | {"__future__"}
