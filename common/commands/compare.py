"""`compare`: versions x tasks x seeds on equal budgets, then one report."""

from pathlib import Path
from typing import Any

from common.config.request import Request
from common.errors import UserError
from common.experiments.grid.experiment import OPTIONS as GRID
from common.experiments.grid.experiment import run_experiment

OPTIONS: dict[str, Any] = {"algos": [], "tasks": [], **GRID}


def compare(request: Request) -> None:
    """Trains each version on each task with each seed, side by side, and reports on them.

    Own flags: algos, tasks (also --algo and --task), and those of every grid, see common/experiments/grid/experiment.py.
    All others hold for every run. Raises UserError for wrong ones before anything starts, and for runs
    that failed in the end.
    """
    if request.positionals:
        raise UserError(f"compare takes flags only, got {' '.join(request.positionals)}. Name versions with --algos.")
    own, flags = request.options, dict(request.flags)
    tasks = [*own["tasks"], *filter(None, [flags.pop("task", "")])]
    if not tasks or not own["steps"]:
        raise UserError("compare needs --tasks and --steps, such as --tasks gym_CartPole-v1 --steps 1e5.")
    variants = requested_versions(request._replace(flags=flags))
    run_experiment("compare", variants, dict.fromkeys(tasks, own["steps"]), Path(own["logdir"] or "logs/compare"))


def requested_versions(request: Request) -> dict[str, Request]:
    """The versions named by --algos or --algo, each with its request. Raises UserError if there is none."""
    names = dict.fromkeys([*request.options["algos"], *filter(None, [request.algo])])
    if not names:
        raise UserError(f"Name versions with --algos, such as --algos {','.join(request.algos[:3])}.")
    return {name: request._replace(algo=name) for name in names}
