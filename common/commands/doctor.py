"""`doctor`: check packages, machine, renderers, environments, run directory and an update of each version."""

from collections.abc import Iterator
from itertools import chain

from common.config.arguments import Option, Options
from common.config.request import Request
from common.config.tables import make_console
from common.doctor.check import OK, DoctorCheck
from common.doctor.hardware import hardware, renderers
from common.doctor.packages import packages
from common.doctor.smoke_tests import smoke_tests
from common.errors import UserError
from common.safe_io import expand_path

OPTIONS: Options = {
    "logdir": Option("logs", "folder for runs, to check that it can be written", "DIR"),
}
EXAMPLES = (
    "doctor",
    "doctor --logdir /scratch/logs",
    "doctor --debug",
)


def doctor(request: Request) -> None:
    """Print one line per check, as soon as it is done.

    Raises UserError if a check fails that training on states needs, and for flags that do not apply.
    """
    if other := [*request.positionals, *(f"--{key}" for key in request.flags)]:
        raise UserError(f"doctor takes only --logdir DIR, got {other[0]}. Omit it.")
    failed, console = [], make_console()
    for check in checks(request):
        console.print(check.text(), soft_wrap=True)
        failed += [check.name] * (check.status != OK and check.needed)
    if failed:
        raise UserError(f"Training on states does not work here: {', '.join(failed)}. Run the commands after ->.")
    print("Training on states works here.")


def checks(request: Request) -> Iterator[DoctorCheck]:
    """Yield all checks; each runs when it is requested."""
    return chain(packages(), hardware(), renderers(), smoke_tests(request, expand_path(request.options["logdir"])))
