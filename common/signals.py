"""Signals in processes that also run a user's code, which may fork, hang or raise KeyboardInterrupt."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

#: Signals that end a run once it is saved: Ctrl-C, a scheduler's end of a job or warning, the end of a terminal.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
MIN_ALARM_SECONDS = 1e-3  # an earlier alarm would come before the block has begun
ALARM_REPEAT_SECONDS = 1.0  # minimum time between alarms, so that other code can run


class Interrupted(KeyboardInterrupt):
    """The second Ctrl-C: stop at once, without waiting for a checkpoint."""


def pass_on_interrupt(error: BaseException) -> None:
    """Raise `error` again if Ctrl-C caused it; return if the user's code most likely raised it itself."""
    default = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # which raises no subclass
    if isinstance(error, Interrupted) or (default and type(error) is KeyboardInterrupt):
        raise error


def end_by_signal(number: int) -> None:
    """End this process by a signal's default action, for processes that a user's code forked from ours."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise TimeoutError inside a block that takes longer; 0 for no limit.

    Only Python code can be interrupted, and only in the main thread; other threads have no limit. An alarm of the
    caller is postponed until the block ends.
    """
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return

    def raise_timeout(*_: object) -> None:
        raise TimeoutError(f"no answer within {seconds:g} seconds (env.timeout)")

    before, begin = signal.signal(signal.SIGALRM, raise_timeout), time.monotonic()
    first, repeat = max(seconds, MIN_ALARM_SECONDS), max(seconds, ALARM_REPEAT_SECONDS)
    left, interval = signal.setitimer(signal.ITIMER_REAL, first, repeat)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - begin), 1e-3), interval)
