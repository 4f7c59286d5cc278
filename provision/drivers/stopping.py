"""EDGE: signals while a package manager works: they are noted, and acted on when its transaction has ended."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Whether somebody wants the run to end, asked between two actions."""

    def __init__(self) -> None:
        self.signal: int | None = None


@contextlib.contextmanager
def deferred_signals(tell: Callable[[], None]) -> Iterator[Stop]:
    """Within, SIGINT, SIGTERM and SIGHUP only ask for an end: the action that runs is waited for."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread
        yield stop
        return

    def take(number: int, _frame: object) -> None:
        stop.signal = number
        tell()

    kept = {number: signal.signal(number, take) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
