"""Environment suites, one file each: a docstring with the task names, then `make(name, config)`."""

import difflib
from collections.abc import Iterable

from common.errors import UserError


def unknown_task(prefix: str, name: str, known: Iterable[str]) -> UserError:
    """Return the error for a task name that a suite does not have, with the nearest names that it has.

    prefix: prefix of the suite. name, known: task names without the prefix.
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or sorted(known)[:3]
    return UserError(f"Unknown task '{prefix}_{name}'. Nearest: {', '.join(f'{prefix}_{close}' for close in near)}.")
