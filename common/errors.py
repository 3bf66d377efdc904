"""Errors a user can mend: each message says what is wrong and what to do next."""

from collections.abc import Sequence


class UserError(Exception):
    """Base of every error shown to users as one message, without a traceback."""


class NonFinite(UserError):
    """A loss, a gradient, a metric or an action became NaN or infinite. `names` says which."""

    def __init__(self, names: Sequence[str]):
        super().__init__(f"not finite: {', '.join(names)}")
        self.names = list(names)
