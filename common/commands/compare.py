"""`compare`: train versions on tasks with several seeds and equal budgets, then write one report."""

from common.config.arguments import Option, Options, with_help
from common.config.request import Request
from common.errors import UserError
from common.experiments.grid.experiment import OPTIONS as GRID
from common.experiments.suites import requested_tasks
from common.experiments.sweep import SWEEP, run_versions
from common.experiments.version_flags import requests_by_version

OPTIONS: Options = {
    "algos": Option([], "versions to compare", "VERSION ..."),
    "tasks": Option([], "tasks to train on", "TASK ..."),
    "sweep": SWEEP,
    **with_help(
        GRID,
        steps="budget of a run, in the unit of --match (needed)",
        logdir="folder for the runs and the report (default: logs/compare)",
    ),
}
EXAMPLES = (
    "compare --algos v1,v2,v3 --tasks gym_CartPole-v1 --steps 1e5",
    "compare --algos v2,v3 --tasks dmc_cup_catch --steps 5e5 --v3.schedule.ratio 64",
    "compare --algos v1,v3 --tasks dummy_point --steps 3600 --match time --jobs 2",
)


def compare(request: Request) -> None:
    """Train each version, or its variants by --sweep, on each task with each seed, and report on them.

    Raises UserError for wrong flags before any run starts, and for failed runs at the end.
    """
    request, tasks = requested_tasks(request)
    steps = request.options["steps"]
    if not tasks or not steps:
        raise UserError("compare needs --tasks and --steps, such as --tasks gym_CartPole-v1 --steps 1e5.")
    run_versions("compare", requested_versions(request), dict.fromkeys(tasks, steps), "logs/compare")


def requested_versions(request: Request) -> dict[str, Request]:
    """Return the versions of --algos and --algo, each with its request. Raises UserError if none is named."""
    names = dict.fromkeys([*request.options["algos"], *filter(None, [request.algo])])
    if not names:
        raise UserError(f"Name versions with --algos, such as --algos {','.join(request.algos[:3])}.")
    return requests_by_version(request, list(names))
