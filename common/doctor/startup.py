"""Errors of imports at the start of the program, before it can be assumed that any package is installed."""

import importlib.util
import sys
from pathlib import Path
from typing import Any


def is_program(name: str) -> bool:
    """Return whether the module `name` of dreamer.py is imported as the program, not by a script of the user."""
    return name == "__main__" or sys.argv[:1] == ["-m"] or Path(sys.argv[0] if sys.argv else "").stem == "dreamer"


def report_failed_import(error: Exception, install_hint: str) -> int:
    """Print which package is missing or has a version that does not fit, and what to type. Returns the exit code.

    For the command `doctor` it prints all checks of packages. Raises `error` if the packages do not explain it.
    """
    missing = missing_package(error)
    try:
        from common.doctor.packages import packages  # not earlier: it needs packages itself
    except ModuleNotFoundError as other:
        missing, words = missing or str(other.name), []
    else:
        words = sys.argv[1:]
    if missing and "doctor" not in words:
        print(f"Error: {sys.executable} has no package {missing}. {install_hint}", file=sys.stderr)
        return 2
    found = list(packages())
    if not unfit(found):
        raise error
    if "doctor" in words:
        print("\n".join(check.text().plain for check in found))
        print(f"{'imports':<14} broken   {type(error).__name__}: {error}")
        print("Error: Training does not work here. Run the commands after ->.", file=sys.stderr)
    else:
        print(f"Error: {version_problem(found)}", file=sys.stderr)
    return 2


def missing_package(error: Exception) -> str:
    """Return the top-level module that is not installed; an empty string if the error has another reason."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return name if name and name not in sys.modules and importlib.util.find_spec(name) is None else ""


def unfit(found: list[Any]) -> list[Any]:
    """Return the checks of packages that training needs and that are missing or do not fit."""
    return [check for check in found if check.needed and check.status != "ok"]


def version_problem(found: list[Any]) -> str:
    """Return which packages do not fit and what to type; an empty string if all fit. found: checks of packages."""
    wrong = unfit(found)
    if not wrong:
        return ""
    names = "; ".join(f"{check.name} {check.found}" for check in wrong)
    commands = " && ".join(check.todo for check in wrong)
    commands = commands.replace("pip install", f"{sys.executable} -m pip install")
    return (
        f"Packages do not fit: {names}. Type: {commands}. If another package needs these versions, give it a virtual "
        "environment of its own. `python dreamer.py doctor` checks all packages."
    )
