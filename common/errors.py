"""Errors a user can mend: each message says what is wrong and what to do next."""

from collections.abc import Sequence


class UserError(Exception):
    """Base of every error shown to users as one message, without a traceback."""


class NonFiniteError(UserError):
    """A loss, a gradient, a metric or an action became NaN or infinite. `names` says which."""

    def __init__(self, names: Sequence[str]):
        super().__init__(f"not finite: {', '.join(names)}")
        self.names = list(names)


def error_text(error: BaseException) -> str:
    """What an error says, in characters that every file and terminal takes, even where it cannot say it."""
    try:
        return escape_surrogates(str(error))
    except Exception:  # whatever foreign code raises
        return "(what it says cannot be read)"


def escape_surrogates(text: str) -> str:
    """`text` with escapes for halves of characters, as names of files may have them."""
    return text.encode(errors="backslashreplace").decode()


def check_choice(key, value, choices):
    """Raises UserError with the key and the valid choices."""
    if value not in choices:
        raise UserError(f"{key} must be one of {', '.join(choices)}, got {value!r}.")
