"""SIGINT and SIGTERM end a run where it can go on later."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from common.signals import Interrupted, end_by_signal


class Stopped(Exception):
    """The run was asked to stop and stands where it can be saved."""


class Stop:
    """Notes the first SIGINT or SIGTERM; a second SIGINT interrupts at once.

    Processes that are forked from this one, such as an environment's own, end as if nobody listened.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.process = os.getpid()

    def check(self) -> None:
        """Raises Stopped if a signal has come."""
        if self.signal is not None:
            raise Stopped

    @property
    def exit_code(self) -> int:
        """130 after SIGINT, 143 after SIGTERM."""
        return 128 + (self.signal or 0)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handles signals inside the block; does nothing in a thread, where Python allows no handlers."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._note) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self.process:
            end_by_signal(number)
        if number == signal.SIGINT and self.signal == signal.SIGINT:
            raise Interrupted
        self.signal = number
