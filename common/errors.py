"""Errors a user can mend: each message says what is wrong and what to do next."""


class UserError(Exception):
    """Base of every error shown to users as one message, without a traceback."""
