"""What the doctor says: the cause first with its evidence and cure, one line per finding, the healthy counted."""

from dataclasses import replace

import pytest
from sick_box import CAUSE, FOLDED, HEALTHY, MISMATCH, SICK, WARNED

from provision.records import CheckResult, Evidence, Finding
from provision.report.check_text import render_check_text
from provision.report.style import Style

PLAIN = Style(has_unicode=True)  # a pipe whose encoding is UTF-8


def test_the_cause_leads_with_evidence_and_cure_and_the_rest_is_one_line_each():
    assert (
        render_check_text(SICK, PLAIN, cause=CAUSE, folded=FOLDED)
        == """\
cause    driver.kmd_umd_match  FAIL
         The kernel module is of release 535.104.05 and the user libraries are
         of release 550.54.14.
found    driver.module 535.104.05  (/sys/module/nvidia/version)
needs    550.54.14
found    nvml.init error 18
         Driver/library version mismatch
         (nvml)
do       systemctl stop nvidia-persistenced
risky    reboot
explains driver.nvml_init, pci.count_vs_nvml
more     gpusetup explain driver.kmd_umd_match
gpu
  FAIL  gpu.rows: The question took longer than 5 s.
sys
  warn  sys.time: The clock is not synchronised; logs of several machines will
        not fit each other when it drifts.
more     gpusetup check -v shows the evidence and the cure of each
FAIL     3 failed, 1 timed out, 1 warned, 1 unknown, 1 suppressed, 1 skipped, 2
         passed"""
    )


def test_verbose_shows_what_was_folded_and_why_others_do_not_count():
    text = render_check_text(SICK, PLAIN, cause=CAUSE, folded=FOLDED, is_verbose=True)
    assert text.partition("kmd_umd_match\n")[2].endswith(
        """\
pci
  FAIL  pci.count_vs_nvml: The driver answers for 0 of 2 GPUs. (explained by the
        cause)
driver
  FAIL  driver.nvml_init: NVML says 18. (explained by the cause)
gpu
  FAIL  gpu.rows: The question took longer than 5 s.
sys
  warn  sys.time: The clock is not synchronised; logs of several machines will
        not fit each other when it drifts.
        found    offset 12.5 s
        found    servers none
        do       timedatectl set-ntp true
unknown: could not be read
  kernel.xid: Only root may read the kernel log.
suppressed: does not count
  gpu.ecc_mode: ECC is off on GPU 3. (fail, until 2027-01-31 by ops:
    benchmarks of this quarter; /etc/s.yaml:1)
skipped: does not apply here
  ib.ports: No InfiniBand adapter is here.
FAIL     3 failed, 1 timed out, 1 warned, 1 unknown, 1 suppressed, 1 skipped, 2
         passed"""
    )


@pytest.mark.parametrize(
    ("results", "text"),
    [
        (HEALTHY, "ok       2 checks passed"),
        (HEALTHY[:1], "ok       1 check passed"),
        ((*HEALTHY, SICK[-1], SICK[-2]), "ok       2 checks passed, 1 unknown, 1 skipped"),
        ((SICK[-1],), "warn     1 unknown"),
        ((), "ok       no check was made"),
        (
            (CheckResult("pci.gpu_present", "pci", "skip", "No NVIDIA GPU is on this machine."), SICK[-2]),
            "gpu      No NVIDIA GPU is on this machine.\nok       2 skipped",
        ),
    ],
)
def test_what_is_well_is_one_line(results, text):
    assert render_check_text(results, PLAIN) == text


def test_a_warning_that_leads_is_no_cause():
    text = render_check_text((*HEALTHY, WARNED), PLAIN, cause="sys.time")
    assert text.startswith("first    sys.time  warn\n")
    assert "do       timedatectl set-ntp true" in text
    assert text.endswith("warn     1 warned, 2 passed")


def test_a_note_stands_before_the_verdict():
    note = Finding("suppression-expired", "warn", "The suppression of gpu.ecc_mode ended on 2026-01-31.")
    assert render_check_text(HEALTHY, PLAIN, notes=(note,)) == (
        "warn  suppression-expired: The suppression of gpu.ecc_mode ended on 2026-01-31.\nok       2 checks passed"
    )


HOSTILE = replace(
    MISMATCH,
    happened="\x1b[31mred\x07 \u202e≥ 8 GPUs \u2013 Gerät\n" + "word " * 60,
    evidence=(Evidence("log\x1b]0;title\x07", "one\x1b[2J\r\ntwo\u2028three \u2026", source="k\x00msg"),),
    safe=("exchange 'a\x1bb' " + "x " * 60,),
)


@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize("is_verbose", [False, True])
def test_lines_fit_and_hold_neither_controls_nor_other_than_ascii(width, is_verbose):
    results = (replace(HOSTILE, id="driver.x"), HOSTILE, *SICK[4:])
    text = render_check_text(
        results, Style(has_unicode=True, width=width), cause=CAUSE, folded=FOLDED, is_verbose=is_verbose
    )
    assert text.isascii()
    assert all(char.isprintable() or char == "\n" for char in text)
    assert max(map(len, text.splitlines())) <= width
    assert ">= 8 GPUs - Ger\\xe4t" in text


def test_a_terminal_has_colour_and_marks_and_the_same_words():
    text = render_check_text(SICK, Style(has_colour=True, has_unicode=True), cause=CAUSE, folded=FOLDED)
    assert "\x1b[31m✗\x1b[0m gpu.rows: The question took longer than 5 s." in text
    assert "cause    \x1b[1mdriver.kmd_umd_match\x1b[0m  \x1b[31m✗\x1b[0m" in text


def test_a_second_fault_has_its_symptoms_under_it():
    found = (
        CheckResult("driver.uvm", "driver", "fail", "No nvidia_uvm.", leads=("cuda.init",)),
        CheckResult("cuda.init", "cuda", "fail", "CUDA does not start."),
        CheckResult("gpu.remap_pending", "gpu", "fail", "A row waits.", leads=("gpu.spares",)),
        CheckResult("gpu.spares", "gpu", "warn", "Few are left.", leads=("gpu.rows",)),
        CheckResult("gpu.rows", "gpu", "warn", "One was swapped."),
    )
    text = render_check_text(found, PLAIN, cause="driver.uvm", folded=("cuda.init",))
    assert "gpu.remap_pending: A row waits. It explains gpu.spares, gpu.rows." in " ".join(text.split())
    assert "Few are left" not in text
    assert "One was swapped" not in text


def test_findings_that_explain_one_another_are_all_told():
    found = (
        CheckResult("gpu.a", "gpu", "fail", "First.", leads=("gpu.b",)),
        CheckResult("gpu.b", "gpu", "fail", "Second.", leads=("gpu.a",)),
    )
    text = render_check_text(found, PLAIN, cause=None)
    assert "First." in text
    assert "Second." in text
