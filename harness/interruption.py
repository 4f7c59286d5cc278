"""The end of a run by a signal. Standard library only, because a signal may come before torch is there."""

from __future__ import annotations

import signal
from typing import Any


class InterruptedRunError(BaseException):
    """A signal asked the run to end; not an Exception, so that nothing on the way takes it for a failure."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"signal {signal_number}")
        self.signal_number = signal_number


def raise_on_signals() -> None:
    """From now on the first SIGTERM or SIGINT raises InterruptedRunError, and a second one kills.

    The second one must be able to end a run that does not come back from a library call.
    """

    def stop(number: int, _frame: Any) -> None:
        for kind in (signal.SIGTERM, signal.SIGINT):
            signal.signal(kind, signal.SIG_DFL)
        raise InterruptedRunError(number)

    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, stop)
