"""Requests to end a run at a point from which it can resume: SIGINT, SIGTERM, SIGHUP, SIGUSR1, or a callback."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from common.nn import ranks
from common.signals import STOP_SIGNALS, Interrupted, end_by_signal


class Stopped(Exception):
    """A signal or a callback asked the run to stop; it can be saved."""


class Stop:
    """Handler of `STOP_SIGNALS`: the first signal is kept for `check`, a second SIGINT interrupts at once.

    A signal that is ignored at the start, as SIGHUP under nohup, stays ignored. Forked processes,
    such as those of an environment, end as if no handler was installed.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.requested = False
        self.signalled = False  # whether the last `check` has stopped all ranks because of a signal
        self.patient = False  # a second SIGINT does not interrupt: torchrun passes on what the terminal has sent
        self.process = os.getpid()

    def check(self) -> None:
        """Raise Stopped, on all ranks, if a signal has arrived on one of them, or after `request`.

        A signal that arrives during the exchange counts at the next check, because the other ranks do not know of it.
        """
        number, requested = ranks.current().largest(self.signal or 0), ranks.current().any(self.requested)
        self.signalled = number > 0
        self.signal, self.requested = number or self.signal, self.requested or requested
        if number or requested:
            raise Stopped

    def check_here(self) -> None:
        """Raise Stopped if this process knows of a signal or of a request."""
        if self.requested or self.signal is not None:
            raise Stopped

    def request(self) -> None:
        """Ask the run to stop."""
        self.requested = True

    @property
    def exit_code(self) -> int:
        """130 after SIGINT, 143 after SIGTERM, 129 after SIGHUP, 138 after SIGUSR1."""
        return 128 + (self.signal or 0)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals inside the block; do nothing outside the main thread, where Python allows no handlers."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        heard = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._note) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self.process:
            end_by_signal(number)
        if number == signal.SIGINT and self.signal == signal.SIGINT and not self.patient:
            raise Interrupted
        self.signal = number
