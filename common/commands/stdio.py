"""What a command prints where nobody reads it any more, where it was closed, or where it does not fit.

`python dreamer.py ... | head` ends quietly, with the exit code of a shell.
"""

import io
import os
import select
import sys
from collections.abc import Callable
from typing import TextIO

EXIT_CLOSED_PIPE = 141  # what a shell says of a program that was ended by a closed pipe


def prepare_streams() -> None:
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


def print_error(text: str) -> None:
    """Prints to stderr, if there is space for it."""
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise
    except OSError:
        _redirect_to_devnull(sys.stderr)


def run_until_pipe_closes(work: Callable[[], int]) -> int:
    """Exit code that `work` returns, or `UNREAD` where it broke off because nobody reads what it prints."""
    try:
        return max(work(), _flush_stdout())
    except BrokenPipeError as error:
        if not is_closed_pipe(error):
            raise
        for stream in filter(_has_no_reader, (sys.stdout, sys.stderr)):
            _redirect_to_devnull(stream)
        return EXIT_CLOSED_PIPE


def is_closed_pipe(error: Exception) -> bool:
    """Whether `error` says that nobody reads stdout or stderr any more, rather than that another pipe broke."""
    return isinstance(error, BrokenPipeError) and any(map(_has_no_reader, (sys.stdout, sys.stderr)))


def _flush_stdout() -> int:
    """Exit code after what is left of stdout is written: 2 where that cannot be."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        print_error(f"Error: The output cannot be written: {error.strerror}. Free the disk that it goes to.")
        _redirect_to_devnull(sys.stdout)
        return 2
    return 0


def _has_no_reader(stream: TextIO) -> bool:
    """Whether `stream` is a pipe without a reader."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # not a file, or closed here
        return False
    poll = select.poll()
    poll.register(number, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _redirect_to_devnull(stream: TextIO) -> None:
    """Leads `stream` nowhere, so that the interpreter can flush what is left in it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
