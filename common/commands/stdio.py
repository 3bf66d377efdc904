"""Standard streams that are closed, full, or no longer read.

`python dreamer.py ... | head` ends without a message, with the exit code that a shell gives such a program.
"""

import io
import os
import select
import sys
from collections.abc import Callable
from typing import TextIO

EXIT_CLOSED_PIPE = 141  # 128 + SIGPIPE


def prepare_streams() -> None:
    """Replace standard streams that are closed, as in some services, and let the others print any text."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # takes the lowest free number, which the next file would otherwise have: it would be taken for stdout
    os.close(number)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: SIM115 (stays open as long as the process)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_error(text: str) -> None:
    """Print to stderr, unless its disk is full. Raises BrokenPipeError if nothing reads stderr."""
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise
    except OSError:
        _redirect_to_devnull(sys.stderr)


def run_until_pipe_closes(work: Callable[[], int]) -> int:
    """Return the exit code of `work`, or `EXIT_CLOSED_PIPE` if it stopped because nothing reads its output."""
    try:
        return max(work(), _flush_stdout())
    except BrokenPipeError as error:
        if not is_closed_pipe(error):
            raise
        for stream in filter(_has_no_reader, (sys.stdout, sys.stderr)):
            _redirect_to_devnull(stream)
        return EXIT_CLOSED_PIPE


def is_closed_pipe(error: Exception) -> bool:
    """Return whether `error` means that nothing reads stdout or stderr, rather than that another pipe broke."""
    return isinstance(error, BrokenPipeError) and any(map(_has_no_reader, (sys.stdout, sys.stderr)))


def _flush_stdout() -> int:
    """Write the rest of stdout and return the exit code: 2 if that fails."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        print_error(f"Error: The output cannot be written: {error.strerror}. Free space on the disk it goes to.")
        _redirect_to_devnull(sys.stdout)
        return 2
    return 0


def _has_no_reader(stream: TextIO) -> bool:
    """Return whether `stream` is a pipe without a reader."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # not a file, or closed
        return False
    poll = select.poll()
    poll.register(number, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _redirect_to_devnull(stream: TextIO) -> None:
    """Send `stream` to /dev/null, so that the interpreter can flush the rest of it at exit."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, stream.fileno())
    os.close(devnull)
