"""Where variants are compared: on the tasks that the user names, or in the setting of a suite of `bench`."""

from typing import Any

from common.commands.bench import apply_suite, read_suites, select_tasks
from common.config import config as configs
from common.config.request import Request
from common.errors import UserError
from common.experiments.grid.experiment import OPTIONS as GRID
from common.experiments.variant import Setting

#: Flags of every tool that compares variants.
OPTIONS: dict[str, Any] = {"setting": "", "tasks": [], **GRID}


def resolve_setting(request: Request, versions: list[str]) -> tuple[dict[str, Request], dict[str, int]]:
    """Each version's request, and task -> length of a run in what --match names.

    --setting names a suite of configs/suites.yaml: its tasks, their lengths, blocks and flags hold, those for one
    version included, below what the user gives. Raises UserError where tasks or lengths are missing.
    """
    own, flags = request.options, dict(request.flags)
    tasks = [*own["tasks"], *filter(None, [flags.pop("task", "")])]
    requests = {version: request._replace(algo=version, flags=flags) for version in versions}
    if not own["setting"]:
        if not tasks or not own["steps"]:
            raise UserError("Give --tasks and --steps, such as --tasks gym_CartPole-v1 --steps 1e5, or a --setting.")
        return requests, dict.fromkeys(tasks, own["steps"])
    suites = read_suites()
    if own["setting"] not in suites:
        raise UserError(configs.unknown_name("suite", own["setting"], suites))
    suite = suites[own["setting"]]
    return {version: apply_suite(suite, each) for version, each in requests.items()}, select_tasks(
        suite, own | {"tasks": tasks}
    )


def make_setting(request: Request, tasks: dict[str, int]) -> Setting:
    """The tasks as variants see them: with their frames, where that is what --match names."""
    frames = request.options["match"] == "frames"
    return Setting({task: steps * frames for task, steps in tasks.items()}, request.options["episodes"] > 0)


def describe_omitted(names: list[str], tasks: dict[str, int]) -> str:
    """A sentence about what has no effect on these tasks."""
    return f"Left out, without any effect on {', '.join(tasks)}: {', '.join(names)}." if names else ""
