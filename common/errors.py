"""Errors that a user can fix: each message says what is wrong and what to do next."""

from collections.abc import Collection, Sequence
from typing import Any


class UserError(Exception):
    """Base of all errors shown as one message, without a traceback."""


class NonFiniteError(UserError):
    """A loss, gradient, metric or action became NaN or infinite; `names` lists which."""

    def __init__(self, names: Sequence[str]):
        super().__init__(f"not finite: {', '.join(names)}")
        self.names = list(names)


def error_text(error: BaseException) -> str:
    """Return the text of an error in characters that every terminal takes, even if its `__str__` fails."""
    try:
        return escape_surrogates(str(error))
    except Exception:  # `__str__` of foreign code may raise anything
        return "(the error has no readable text)"


def escape_surrogates(text: str) -> str:
    """Return `text` with lone surrogates escaped; names of files may have them."""
    return text.encode(errors="backslashreplace").decode()


def check_choice(key: str, value: Any, choices: Collection[str]) -> None:
    """Raise UserError, with the valid choices, if `value` is not among them."""
    if value not in choices:
        raise UserError(f"{key} must be one of {', '.join(choices)}, got {value!r}.")
