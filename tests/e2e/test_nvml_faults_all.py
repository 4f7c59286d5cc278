"""Every NVML function that the probe calls, with every return code, crashing, hanging and answering rubbish."""

from __future__ import annotations

import pytest

from tests.bench.nvml_faults import box, complaints, fake_functions, probe_all, stem

pytestmark = pytest.mark.e2e

CODES = (*range(1, 31), 999, 12345)  # all of nvml.h, and one that it does not know
OLDER = {
    f"missing.{name}": 1
    for name in (
        *("nvmlDeviceGetTemperatureV", "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetGpuFabricInfoV"),
        *("nvmlDeviceGetSupportedClocksEventReasons", "nvmlDeviceGetRetiredPages_v2", "nvmlDeviceGetMemoryInfo_v2"),
        *("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v3"),
        *("nvmlDeviceGetMPSComputeRunningProcesses_v3",),
    )
}
BOXES = pytest.mark.parametrize("lines", [{}, OLDER], ids=["newest", "older"])


def functions_of(libraries, lines):
    """The functions that a box is asked for."""
    cases = [(name, box(**lines, **{f"crash.{name}": 1})) for name in fake_functions()]
    return [name for name, _, _, facts in probe_all(libraries, cases) if facts.outcome == "crashed"]


@pytest.fixture
def called(fake_libraries, lines):
    """The lines of a run in which everything answers, and the functions asked; on the older box only those before."""
    [(_, _, clean, _)] = probe_all(fake_libraries, [("clean", box(**lines))])
    newest = functions_of(fake_libraries, {})
    assert len(newest) > 75
    if not lines:
        return clean, newest
    older = [name for name in functions_of(fake_libraries, lines) if name not in newest]
    assert len(older) >= 8
    return clean, older


@BOXES
def test_every_code_of_every_function(fake_libraries, lines, called):
    clean, functions = called
    cases = [(f"{name} {code}", box(**lines, **{f"err.{name}": code})) for name in functions for code in CODES]
    seen = 0
    for name, completed, told, facts in probe_all(fake_libraries, cases):
        seen += 1
        function = name.split()[0]
        assert completed.returncode == 0, name
        assert completed.duration_s < 2, name
        assert complaints(clean, function, told, facts) == [], name
        assert function == "nvmlInitWithFlags" or facts.outcome == "answered", name
    assert seen == len(functions) * len(CODES)


@BOXES
def test_rubbish_of_every_function(fake_libraries, lines, called):
    clean, functions = called
    cases = [(f"{name} {seed}", box(**lines, **{f"garbage.{name}": seed})) for name in functions for seed in range(10)]
    for name, completed, told, facts in probe_all(fake_libraries, cases):
        assert completed.returncode == 0, name
        assert complaints(clean, name.split()[0], told, facts) == [], name


@BOXES
def test_every_function_hanging(fake_libraries, lines, called):
    clean, functions = called
    cases = [(name, box(**lines, **{f"sleep.{name}": 60})) for name in functions]
    order = [(answer.gpu, answer.fact) for answer in clean.answers]
    for name, completed, told, facts in probe_all(fake_libraries, cases, silence_s=1.0, jobs=20):
        assert completed.timed_out, name
        assert completed.duration_s < 10, name
        assert facts.outcome == "timed-out", name
        assert stem(name).removesuffix("WithFlags") in facts.readings[1].failure, name
        assert [(answer.gpu, answer.fact) for answer in told.answers] == order[: len(told.answers)], name
