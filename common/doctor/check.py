"""One line of the doctor."""

from collections.abc import Callable
from typing import NamedTuple

from common.errors import UserError

OK, MISSING, BROKEN = "ok", "missing", "broken"


class DoctorCheck(NamedTuple):
    """What was looked at, how it stands (OK, MISSING or BROKEN), what was found, and what to type next if it is not OK.

    needed: whether training on states would not work without it.
    """

    name: str
    status: str
    found: str
    todo: str = ""
    needed: bool = True

    def __str__(self) -> str:
        line = f"{self.name:<14} {self.status:<8} {self.found}"
        return f"{line}\n{'':<24}-> {self.todo}" if self.todo and self.status != OK else line


def run_check(name: str, work: Callable[[], str], todo: str, needed: bool = True) -> DoctorCheck:
    """Does `work`, which returns what it found; whatever it raises makes the check BROKEN."""
    try:
        return DoctorCheck(name, OK, work(), needed=needed)
    except UserError as error:
        return DoctorCheck(name, BROKEN, str(error), todo, needed)
    except Exception as error:  # what is looked for here is just what nobody expects
        return DoctorCheck(name, BROKEN, f"{type(error).__name__}: {error}", todo, needed)
