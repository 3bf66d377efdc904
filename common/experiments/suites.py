"""Benchmark suites of `configs/suites.yaml`: tasks, steps and settings for `bench`, and for --setting."""

from pathlib import Path
from typing import Any, NamedTuple

from common.config import config as configs
from common.config.arguments import Option, Options, with_help
from common.config.request import Request
from common.errors import UserError
from common.experiments.grid.experiment import OPTIONS as GRID
from common.experiments.variant import Setting
from common.experiments.version_flags import requests_by_version

SUITES_FILE = Path(__file__).parents[2] / "configs" / "suites.yaml"

#: Flags of each command that compares variants.
OPTIONS: Options = {
    "setting": Option("", "suite of bench whose tasks, budget and settings to use", "NAME"),
    "tasks": Option([], "tasks to train on", "TASK ..."),
    **with_help(GRID, steps="budget of a run, in the unit of --match; 0: that of --setting"),
}


class BenchmarkSuite(NamedTuple):
    """Tasks and steps of a benchmark with its settings.

    tasks: task -> steps of a run. configs: config blocks. protocol: a note on it. flags: of all versions. versions:
    version -> its own flags. algos: versions that run by default.
    """

    tasks: dict[str, int]
    configs: list[str]
    protocol: str
    flags: dict[str, Any] = {}  # noqa: RUF012
    versions: dict[str, dict[str, Any]] = {}  # noqa: RUF012
    algos: list[str] = []  # noqa: RUF012


def read_suites() -> dict[str, BenchmarkSuite]:
    """Return all suites by name. In the file, `tasks` is a list with `steps` for all, or a mapping task -> steps."""
    suites = {}
    for name, entry in configs.read(SUITES_FILE).items():
        tasks, steps = entry.pop("tasks"), entry.pop("steps", None)
        suites[name] = BenchmarkSuite(tasks=tasks if isinstance(tasks, dict) else dict.fromkeys(tasks, steps), **entry)
    return suites


def find_suite(name: str) -> BenchmarkSuite:
    """Return a suite. Raises UserError for an unknown name."""
    suites = read_suites()
    if name not in suites:
        raise UserError(configs.unknown_name("suite", name, suites))
    return suites[name]


def apply_suite(suite: BenchmarkSuite, request: Request) -> Request:
    """Return the request of a version with the suite's settings; the user's own flags take precedence."""
    flags = configs.flatten(suite.flags) | configs.flatten(suite.versions.get(str(request.algo), {}))
    return request._replace(blocks=[*suite.configs, *request.blocks], flags=flags | request.flags)


def select_tasks(suite: BenchmarkSuite, tasks: list[str], steps: int) -> dict[str, int]:
    """Return the tasks of a suite with their steps. tasks: a selection; empty: all. steps: 0: those of the suite."""
    for task in tasks:
        if task not in suite.tasks:
            raise UserError(configs.unknown_name("task of this suite", task, suite.tasks))
    return {task: steps or length for task, length in suite.tasks.items() if task in (tasks or suite.tasks)}


def requested_tasks(request: Request) -> tuple[Request, list[str]]:
    """Return the request without --task, and the tasks of --tasks and --task."""
    flags = dict(request.flags)
    tasks = [*request.options["tasks"], *filter(None, [flags.pop("task", "")])]
    return request._replace(flags=flags), tasks


def resolve_setting(request: Request, versions: list[str]) -> tuple[dict[str, Request], dict[str, int], Setting]:
    """Return version -> request, task -> steps of a run in the unit of --match, and the setting for variants.

    --setting names a suite. Its tasks, steps, blocks and flags apply, including the flags of single versions, and the
    user's flags take precedence. Raises UserError if tasks or steps are missing.
    """
    options = request.options
    request, names = requested_tasks(request)
    requests = requests_by_version(request, versions)
    if options["setting"]:
        suite = find_suite(options["setting"])
        requests = {version: apply_suite(suite, each) for version, each in requests.items()}
        tasks = select_tasks(suite, names, options["steps"])
    elif names and options["steps"]:
        tasks = dict.fromkeys(names, options["steps"])
    else:
        raise UserError("Tasks or steps are missing. Give --tasks gym_CartPole-v1 --steps 1e5, or a --setting.")
    frames = {task: steps * (options["match"] == "frames") for task, steps in tasks.items()}
    return requests, tasks, Setting(frames, options["episodes"] > 0)
