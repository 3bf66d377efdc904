"""`doctor`: looks at packages, machine, renderers, environments, logdir and an update of each version, in a minute."""

from collections.abc import Iterator
from itertools import chain

from common.config.request import Request
from common.doctor.check import OK, DoctorCheck
from common.doctor.hardware import hardware, renderers
from common.doctor.packages import packages
from common.doctor.smoke_tests import smoke_tests
from common.errors import UserError
from common.safe_io import expand_path

OPTIONS: dict = {"logdir": "logs"}


def doctor(request: Request) -> None:
    """Prints one line for each check as it is done.

    Raises UserError if one fails that training on states needs, and for flags that have no meaning here.
    """
    if other := [*request.positionals, *(f"--{key}" for key in request.flags)]:
        raise UserError(f"doctor takes --logdir DIR and nothing else, got {other[0]}.")
    failed = []
    for check in checks(request):
        print(check, flush=True)
        failed += [check.name] * (check.status != OK and check.needed)
    if failed:
        raise UserError(f"Training on states would not work here: {', '.join(failed)}. What to type stands above.")
    print("Training on states works here.")


def checks(request: Request) -> Iterator[DoctorCheck]:
    """All checks, each made when it is asked for."""
    return chain(packages(), hardware(), renderers(), smoke_tests(request, expand_path(request.options["logdir"])))
