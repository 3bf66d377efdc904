"""Signals in processes that also run a user's code, which may fork or raise KeyboardInterrupt itself."""

import os
import signal


class Interrupted(KeyboardInterrupt):
    """The second Ctrl-C: stop at once, without waiting for a checkpoint."""


def pass_on_interrupt(error: BaseException) -> None:
    """Raise `error` again if Ctrl-C caused it; return if the user's code most likely raised it itself."""
    default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if isinstance(error, Interrupted) or (default and isinstance(error, KeyboardInterrupt)):
        raise error


def end_by_signal(number: int) -> None:
    """End this process by a signal's default action, for processes that a user's code forked from ours."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
