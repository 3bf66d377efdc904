"""`bench`: versions on the tasks of a named suite, with its settings and budget; the suites are configs/suites.yaml."""

import textwrap
from pathlib import Path
from typing import Any, NamedTuple

from common.commands.compare import requested_versions
from common.config import config as configs
from common.config.request import Request
from common.errors import UserError
from common.experiments.grid.experiment import OPTIONS as GRID
from common.experiments.grid.experiment import run_experiment

OPTIONS: dict[str, Any] = {"suite": "", "algos": [], "tasks": [], "list": False, **GRID}
SUITES_FILE = Path(__file__).parents[2] / "configs" / "suites.yaml"


class BenchmarkSuite(NamedTuple):
    """Tasks with the steps of a run, config blocks, flags of all versions and of some, the versions that run if none is
    named, and a word on the protocol."""

    tasks: dict[str, int]
    configs: list[str]
    protocol: str
    flags: dict[str, Any] = {}  # noqa: RUF012
    versions: dict[str, dict[str, Any]] = {}  # noqa: RUF012
    algos: list[str] = []  # noqa: RUF012


def bench(request: Request) -> None:
    """Trains each version on each task of a suite with each seed, and reports on them; or lists the suites.

    Own flags: suite, algos (also --algo), tasks (some of the suite's), list, and those of every grid, see
    common/experiments/grid/experiment.py. Others come on top of the suite's settings. Raises UserError as `compare` does.
    """
    own = request.options
    if own["list"] or request.positionals == ["list"]:
        print("\n\n".join(describe_suite(name, suite) for name, suite in read_suites().items()))
        return
    variants, tasks = plan_suite(request)
    run_experiment("bench", variants, tasks, Path(own["logdir"] or f"logs/bench/{own['suite']}"))


def plan_suite(request: Request) -> tuple[dict[str, Request], dict[str, int]]:
    """Versions with the settings of the suite that --suite names, and its tasks with their steps. Raises UserError for
    what does not exist."""
    suites, own = read_suites(), request.options
    if request.positionals:
        raise UserError(f"A suite takes flags, got {' '.join(request.positionals)}.")
    name, known = own["suite"], ", ".join(suites)
    if name not in suites:
        raise UserError(
            configs.unknown_name("suite", name, suites) if name else f"bench needs --suite, one of {known}."
        )
    if "task" in request.flags:
        raise UserError("The suite has its tasks: --tasks names some of them.")
    suite = suites[name]
    if not own["algos"] and not request.algo:
        request = request._replace(options=own | {"algos": suite.algos})
    return {algo: apply_suite(suite, one) for algo, one in requested_versions(request).items()}, select_tasks(
        suite, own
    )


def read_suites() -> dict[str, BenchmarkSuite]:
    """All suites by name. `tasks` may be a list, with `steps` for all, or give each task its own."""
    suites = {}
    for name, entry in configs.read(SUITES_FILE).items():
        tasks, steps = entry.pop("tasks"), entry.pop("steps", None)
        suites[name] = BenchmarkSuite(tasks=tasks if isinstance(tasks, dict) else dict.fromkeys(tasks, steps), **entry)
    return suites


def apply_suite(suite: BenchmarkSuite, request: Request) -> Request:
    """A version's request with the settings of the suite below what the user has given."""
    flags = configs.flatten(suite.flags) | configs.flatten(suite.versions.get(str(request.algo), {}))
    return request._replace(blocks=[*suite.configs, *request.blocks], flags=flags | request.flags)


def select_tasks(suite: BenchmarkSuite, own: dict[str, Any]) -> dict[str, int]:
    """Tasks with their steps, as far as the user has chosen them."""
    for task in own["tasks"]:
        if task not in suite.tasks:
            raise UserError(configs.unknown_name("task of this suite", task, suite.tasks))
    return {task: own["steps"] or steps for task, steps in suite.tasks.items() if task in (own["tasks"] or suite.tasks)}


def describe_suite(name: str, suite: BenchmarkSuite) -> str:
    """A suite in a few lines."""
    amounts = sorted(set(suite.tasks.values()))
    steps = " to ".join(f"{amount:,}" for amount in dict.fromkeys([amounts[0], amounts[-1]]))
    head = f"{name}: {len(suite.tasks)} tasks, {steps} frames each, --configs {' '.join(suite.configs)}"
    fill = lambda text: textwrap.fill(text, 118, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join([head, fill(suite.protocol), fill(" ".join(suite.tasks))])
