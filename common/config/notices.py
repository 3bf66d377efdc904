"""Notices on stderr that wait until a command begins its work. If it ends with an error before, the error is alone."""

import sys

_waiting: list[str] = []


def add(text: str) -> None:
    """Keep a notice until `print_all`, once."""
    if text not in _waiting:
        _waiting.append(text)


def print_all() -> None:
    """Print all waiting notices on stderr."""
    while _waiting:
        print(_waiting.pop(0), file=sys.stderr, flush=True)


def drop_all() -> None:
    """Forget all waiting notices."""
    _waiting.clear()
