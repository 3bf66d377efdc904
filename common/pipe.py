"""Output that nobody reads any more: `python dreamer.py ... | head` ends quietly, with the exit code of a shell."""

import os
import select
import sys
from collections.abc import Callable
from typing import TextIO

UNREAD = 141  # what a shell says of a program that was ended by a closed pipe


def quietly(work: Callable[[], int]) -> int:
    """Exit code that `work` returns, or `UNREAD` where it broke off because nobody reads what it prints."""
    try:
        code = work()
        sys.stdout.flush()
        return code
    except BrokenPipeError as error:
        if not unread(error):
            raise
        for stream in filter(_closed, (sys.stdout, sys.stderr)):
            _discard(stream)
        return UNREAD


def unread(error: Exception) -> bool:
    """Whether `error` says that nobody reads stdout or stderr any more, rather than that another pipe broke."""
    return isinstance(error, BrokenPipeError) and any(map(_closed, (sys.stdout, sys.stderr)))


def _closed(stream: TextIO) -> bool:
    """Whether `stream` is a pipe without a reader."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # not a file, or closed here
        return False
    poll = select.poll()
    poll.register(number, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _discard(stream: TextIO) -> None:
    """Leads `stream` nowhere, so that the interpreter can flush what is left in it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
