"""`doctor`: check packages, machine, renderers, environments, run directory and an update of each version."""

import importlib
from collections.abc import Iterator
from typing import Any

from common.config.arguments import Option, Options
from common.config.request import Request
from common.config.tables import make_console
from common.doctor.check import BROKEN, OK, DoctorCheck
from common.doctor.packages import packages
from common.errors import UserError
from common.safe_io import expand_path

REINSTALL = "make install, or: pip install -r requirements.txt in a fresh environment"

OPTIONS: Options = {
    "logdir": Option("logs", "folder for runs, to check that it can be written", "DIR"),
    "envs": Option(False, "check each suite of environments instead: installed, made, stepped and drawn"),
}
EXAMPLES = (
    "doctor",
    "doctor --logdir /scratch/logs",
    "doctor --envs",
)
ENVS_NOTE = "Check your own environment with: python dreamer.py check-env my_module:MyEnv"


def doctor(request: Request) -> None:
    """Print one line per check, as soon as it is done. With --envs, those of the environment suites.

    Raises UserError if a check fails that training on states needs, and for flags that do not apply.
    """
    if other := [*request.positionals, *(f"--{key}" for key in request.flags)]:
        raise UserError(f"doctor takes only --logdir DIR and --envs, got {other[0]}. Omit it.")
    failed, console = [], make_console()
    envs = request.options["envs"]
    for check in checks_of("common.doctor.suites", "suites") if envs else checks(request):
        console.print(check.text(), soft_wrap=True)
        failed += [check.name] * (check.status != OK and check.needed)
    if failed:
        raise UserError(f"Training on states does not work here: {', '.join(failed)}. Run the commands after ->.")
    print(ENVS_NOTE if envs else "Training on states works here.")


def checks(request: Request) -> Iterator[DoctorCheck]:
    """Yield all checks; each runs when it is requested."""
    yield from packages()
    yield from checks_of("common.doctor.hardware", "hardware")
    yield from checks_of("common.doctor.hardware", "renderers")
    logdir = expand_path(request.options["logdir"])
    yield from checks_of("common.doctor.smoke_tests", "smoke_tests", request, logdir)


def checks_of(module: str, name: str, *arguments: Any) -> Iterator[DoctorCheck]:
    """Yield the checks of a function in a module; one BROKEN check if the packages do not let it run."""
    try:
        yield from getattr(importlib.import_module(module), name)(*arguments)
    except Exception as error:  # packages of other versions may raise anything
        yield DoctorCheck(name, BROKEN, f"{type(error).__name__}: {error}", REINSTALL)
