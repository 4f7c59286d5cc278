"""Every way a command can end without an answer: one class per exit code, raised with facts, worded late."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .records import Evidence


class ExitCode(IntEnum):
    """The table of the interface, section 4."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_GPU = 3
    NO_BUILD = 4
    INSTALL_FAILED = 5
    HARNESS_FAILED = 6
    BAD_INPUT = 7
    BUG = 70
    INTERRUPTED = 130
    TERMINATED = 143


class GpusetupError(Exception):
    """What a user meets instead of a traceback: what happened, the evidence, what to do.

    `code` is the kebab-case id that `gpusetup explain` knows; `do` lists safe commands or
    sentences, most likely first; `risky` those that change the machine.
    """

    code = "internal-error"
    exit_code = ExitCode.BUG

    def __init__(
        self,
        happened: str,
        *,
        code: str | None = None,
        evidence: Sequence[Evidence] = (),
        do: Sequence[str] = (),
        risky: Sequence[str] = (),
    ) -> None:
        super().__init__(happened)
        self.happened = happened
        self.code = code or type(self).code
        self.evidence = tuple(evidence)
        self.do = tuple(do)
        self.risky = tuple(risky)


class UsageError(GpusetupError):
    """The words of the command line do not fit together."""

    code = "usage"
    exit_code = ExitCode.USAGE


class NoUsableGpuError(GpusetupError):
    """A GPU was asked for, or is there, and cannot be used."""

    code = "gpu-unusable"
    exit_code = ExitCode.NO_GPU


class NoBuildError(GpusetupError):
    """No compatible build, or no configured source holds one."""

    code = "no-compatible-build"
    exit_code = ExitCode.NO_BUILD


class InstallError(GpusetupError):
    """The environment could not be made; the old one still works."""

    code = "install-failed"
    exit_code = ExitCode.INSTALL_FAILED


class HarnessError(GpusetupError):
    """The acceptance workload could not run."""

    code = "harness-failed"
    exit_code = ExitCode.HARNESS_FAILED


class InputError(GpusetupError):
    """A file that was read (matrix, plan, machine, report, configuration) is not what it should be."""

    code = "bad-input"
    exit_code = ExitCode.BAD_INPUT
