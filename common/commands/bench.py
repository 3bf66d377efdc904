"""`bench`: train versions on the tasks of a suite, with its settings and budget. configs/suites.yaml has the suites."""

import textwrap

from common.commands.compare import requested_versions
from common.config.arguments import Option, Options, with_help
from common.config.request import Request
from common.errors import UserError
from common.experiments.grid.experiment import OPTIONS as GRID
from common.experiments.suites import BenchmarkSuite, apply_suite, find_suite, read_suites, select_tasks
from common.experiments.sweep import SWEEP, run_versions

OPTIONS: Options = {
    "suite": Option("", "suite of tasks, see --list", "NAME"),
    "algos": Option([], "versions (default: those of the suite)", "VERSION ..."),
    "tasks": Option([], "some tasks of the suite (default: all)", "TASK ..."),
    "sweep": SWEEP,
    "list": Option(False, "list the suites and their tasks"),
    **with_help(GRID, logdir="folder for the runs and the report (default: logs/bench/SUITE)"),
}
EXAMPLES = (
    "bench --list",
    "bench --suite cpu --algos v1,v2,v3 --logdir logs/cpu",
    "bench --suite cpu --algos v3 --sweep schedule.ratio=8,32,128",
)


def bench(request: Request) -> None:
    """Train each version, or its variants by --sweep, on each task of a suite with each seed; or list the suites.

    The runs end with a report. Other flags override the settings of the suite. Raises UserError as `compare` does.
    """
    options = request.options
    if options["list"]:
        print("\n\n".join(describe_suite(name, suite) for name, suite in read_suites().items()))
        return
    versions, tasks = plan_suite(request)
    run_versions("bench", versions, tasks, f"logs/bench/{options['suite']}")


def plan_suite(request: Request) -> tuple[dict[str, Request], dict[str, int]]:
    """Return versions with the settings of the suite of --suite, and its tasks with their steps.

    Raises UserError for unknown names.
    """
    options = request.options
    if not options["suite"]:
        raise UserError(f"bench needs --suite, one of {', '.join(read_suites())}.")
    suite = find_suite(options["suite"])
    if "task" in request.flags:
        raise UserError("The suite defines the tasks. Select some of them with --tasks.")
    if not options["algos"] and not request.algo:
        request = request._replace(options=options | {"algos": suite.algos})
    versions = {algo: apply_suite(suite, one) for algo, one in requested_versions(request).items()}
    return versions, select_tasks(suite, options["tasks"], options["steps"])


def describe_suite(name: str, suite: BenchmarkSuite) -> str:
    """Return a suite in a few lines."""
    amounts = sorted(set(suite.tasks.values()))
    steps = " to ".join(f"{amount:,}" for amount in dict.fromkeys([amounts[0], amounts[-1]]))
    head = f"{name}: {len(suite.tasks)} tasks, {steps} frames each, --configs {' '.join(suite.configs)}"
    fill = lambda text: textwrap.fill(text, 118, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    return "\n".join([head, fill(suite.protocol), fill(" ".join(suite.tasks))])
