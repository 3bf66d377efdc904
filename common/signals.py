"""Signals where the code of others runs, which may fork, and raise what Ctrl-C raises."""

import os
import signal


class Interrupted(KeyboardInterrupt):
    """Ctrl-C of a person who will not wait any longer."""


def pass_on_interrupt(error: BaseException) -> None:
    """Raises what foreign code raised if it was Ctrl-C, and not that code itself, as far as can be known."""
    asked = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if isinstance(error, Interrupted) or (asked and isinstance(error, KeyboardInterrupt)):
        raise error


def end_by_signal(number: int) -> None:
    """Ends this process by a signal, as if nobody had listened to it: one that foreign code forked from ours."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
