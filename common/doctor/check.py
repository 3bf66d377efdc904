"""One line of the doctor."""

from collections.abc import Callable
from typing import NamedTuple

from rich.text import Text

from common.errors import UserError

OK, MISSING, BROKEN = "ok", "missing", "broken"
STYLES = {OK: "green", MISSING: "yellow", BROKEN: "red"}


class DoctorCheck(NamedTuple):
    """Name, status (OK, MISSING or BROKEN) and result of a check, and the command that fixes a problem.

    needed: whether training on states requires it.
    """

    name: str
    status: str
    found: str
    todo: str = ""
    needed: bool = True

    def text(self) -> Text:
        """Return the line of the check, with a second line for the fix if it is not OK."""
        line = Text.assemble(f"{self.name:<14} ", (f"{self.status:<8}", STYLES[self.status]), f" {self.found}")
        return line.append(f"\n{'':<24}-> {self.todo}") if self.todo and self.status != OK else line


def run_check(name: str, work: Callable[[], str], todo: str, needed: bool = True) -> DoctorCheck:
    """Run `work`, which returns its result as text. Any exception makes the check BROKEN."""
    try:
        return DoctorCheck(name, OK, work(), needed=needed)
    except UserError as error:
        return DoctorCheck(name, BROKEN, str(error), todo, needed)
    except Exception as error:  # the doctor exists to find unexpected errors
        return DoctorCheck(name, BROKEN, f"{type(error).__name__}: {error}", todo, needed)
