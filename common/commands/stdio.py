"""What a command prints where nobody reads it any more, where it was closed, or where it does not fit.

`python dreamer.py ... | head` ends quietly, with the exit code of a shell.
"""

import io
import os
import select
import sys
from collections.abc import Callable
from typing import TextIO

UNREAD = 141  # what a shell says of a program that was ended by a closed pipe


def prepare() -> None:
    """Replaces the standard streams that are closed, as a service may have them, and lets the others take any text."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # the lowest number that is free: else the next file would be taken for stdout
    os.close(number)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: SIM115 (for as long as the process lives)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def tell(text: str) -> None:
    """Prints to stderr, if there is space for it."""
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise
    except OSError:
        _discard(sys.stderr)


def quietly(work: Callable[[], int]) -> int:
    """Exit code that `work` returns, or `UNREAD` where it broke off because nobody reads what it prints."""
    try:
        return max(work(), _flushed())
    except BrokenPipeError as error:
        if not unread(error):
            raise
        for stream in filter(_closed, (sys.stdout, sys.stderr)):
            _discard(stream)
        return UNREAD


def unread(error: Exception) -> bool:
    """Whether `error` says that nobody reads stdout or stderr any more, rather than that another pipe broke."""
    return isinstance(error, BrokenPipeError) and any(map(_closed, (sys.stdout, sys.stderr)))


def _flushed() -> int:
    """Exit code after what is left of stdout is written: 2 where that cannot be."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        tell(f"Error: The output cannot be written: {error.strerror}. Free the disk that it goes to.")
        _discard(sys.stdout)
        return 2
    return 0


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
