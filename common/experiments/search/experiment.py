"""From a request to a search with a report: trials of one version on one task, listed or run."""

import shlex
from pathlib import Path
from typing import Any

from common.config.arguments import check_minima
from common.config.config import flatten
from common.config.request import Request
from common.envs import make_env
from common.errors import UserError, check_choice
from common.experiments.grid.experiment import available_cores, parallel_runs
from common.experiments.grid.process import log_of
from common.experiments.search.measure import RUNGS, find_direction, metric_name
from common.experiments.search.runner import SearchRunner
from common.experiments.search.space import Dimension, check_space, read_space, with_values
from common.experiments.search.study import DONE, Study, as_settings, require_optuna
from common.experiments.variant import Setting
from common.files import remove_temporary_files
from common.safe_io import expand_path
from common.storage.grid_file import GRID_FILE, Grid, read_grid, write_grid
from common.storage.logdir import MAY_CHANGE, join_lines, lock_logdir
from common.storage.loggers.choice import check_loggers
from common.training.stop import Stop

KIND = "sweep"
MINIMA = {"trials": 1, "seeds": 1, "first-seed": 0, "jobs": 0, "startup": 0, "sampler-seed": 0}
SET_BY_COMMAND = {"seed": "--seeds and --first-seed", "run.max_seconds": "--steps"}
LINES_PER_RUN = 2 * RUNGS  # at least, so that every tenth of a run has values


def search(request: Request) -> None:
    """Search the space of --space and write a report; or list what would run.

    Raises UserError for wrong flags, keys and values before anything runs, and if all trials have failed.
    """
    options = check_options(request)
    request = request._replace(algo=request.single_algo())
    config = request.config(str(request.algo))
    request = with_run_defaults(request, config)
    space = read_space(expand_path(options["space"]), config)
    check_overlap(request, space)
    check_space(request, space, Setting({config["task"]: 0}))
    folder = expand_path(options["logdir"] or f"logs/sweep/{Path(options['space']).stem}")
    metric = metric_name(options["metric"], config)
    direction = find_direction(options["direction"], metric)
    if options["dry-run"]:
        print(describe(request, space, folder, metric, direction))
        return
    require_optuna()
    check_loggers(config)
    make_env(config["task"], config["env"]).close()
    finish(run_search(request, space, folder, metric, direction), direction)


def check_options(request: Request) -> dict[str, Any]:
    """Return the command's own flags. Raises UserError for wrong values."""
    options = request.options
    if request.positionals:
        raise UserError(f"sweep takes only flags, got {' '.join(request.positionals)}.")
    if not options["space"]:
        raise UserError("sweep needs --space FILE, a YAML file with keys and their values: docs/sweep.md has examples.")
    if "task" not in request.flags:
        raise UserError("sweep needs --task, such as --task gym_CartPole-v1.")
    check_minima(options, MINIMA)
    if not 0 <= options["warmup"] <= 1:
        raise UserError(f"--warmup is a share of a run, from 0 to 1, got {options['warmup']}.")
    check_choice("--direction", options["direction"], ("auto", "maximize", "minimize"))
    if options["launcher"] != "local":
        raise UserError(f"sweep runs on this machine only, got --launcher {options['launcher']}. Use --launcher local.")
    for key, instead in SET_BY_COMMAND.items():
        if key in request.flags:
            raise UserError(f"--{key} does not apply to sweep. Use {instead}.")
    return options


def check_overlap(request: Request, space: list[Dimension]) -> None:
    """Raise UserError for a key that is both in the space and on the command line."""
    for one in space:
        if one.key in request.flags:
            raise UserError(f"{one.key} is in --space and in --{one.key}. Omit one of them.")


def with_run_defaults(request: Request, config: dict[str, Any]) -> Request:
    """Return the request of a trial: enough lines of metrics for pruning, and one thread each if all cores are used."""
    most = max(1, config["steps"] // LINES_PER_RUN)
    flags = {"run.log_every": most} if config["run"]["log_every"] > most else {}
    flags |= {"run.threads": 1} if parallel_runs(request) >= available_cores() else {}
    return request._replace(flags=flags | request.flags)


def run_search(request: Request, space: list[Dimension], folder: Path, metric: str, direction: str) -> SearchRunner:
    """Run all trials that are left; return the runner, which knows all of them."""
    options, config = request.options, request.config(str(request.algo))
    seeds = range(options["first-seed"], options["first-seed"] + options["seeds"])
    grid = Grid(KIND, f"{request.algo} on {config['task']}: {', '.join(one.key for one in space)}", "frames", [])
    stop = Stop()
    with lock_logdir(folder, GRID_FILE), stop.listening():
        remove_temporary_files(folder)
        if (stored := read_grid(folder)) is None:
            write_grid(folder, grid, [], [])  # marks the folder, before the file of the study is in it
        elif stored["kind"] != KIND:
            raise UserError(f"{folder} contains a grid of {stored['kind']}, not a sweep. Choose another --logdir.")
        study = Study(folder, direction, options, fixed_settings(config, space, seeds, metric, direction))
        runner = SearchRunner(
            folder, grid, parallel_runs(request), stop, request=request, space=space, study=study, metric=metric,
            seeds=seeds, trials=options["trials"],
        )  # fmt: skip
        runner.run()
    return runner


def fixed_settings(
    config: dict[str, Any], space: list[Dimension], seeds: range, metric: str, direction: str
) -> dict[str, str]:
    """Return what must be the same in all commands of a search, as name -> text."""
    fixed = {key: value for key, value in flatten(config).items() if key not in MAY_CHANGE | {"seed"} or key == "steps"}
    own = {"space": "; ".join(f"{one.key}: {one.describe()}" for one in space), "metric": metric}
    return as_settings(fixed | own | {"direction": direction, "seeds": f"{seeds.start} to {seeds.stop - 1}"})


def describe(request: Request, space: list[Dimension], folder: Path, metric: str, direction: str) -> str:
    """Return what would run."""
    options, config = request.options, request.config(str(request.algo))
    middle = {one.key: one.probes()[0] for one in space}
    words = with_values(request, middle).train_arguments(seed=options["first-seed"])
    return "\n".join(
        [
            f"{options['trials']} trials with {options['seeds']} seed(s) of {config['steps']:,} frames each, "
            f"{parallel_runs(request)} runs at a time, in {folder}",
            f"{direction} {metric}",
            *(f"  {one.key}: {one.describe()}" for one in space),
            f"# a run of a trial\npython dreamer.py train {shlex.join(words)}",
        ]
    )


def finish(runner: SearchRunner, direction: str) -> None:
    """Write the report, and print its path and the best command. Raises UserError if no trial is done."""
    from common.analysis.search import write_search_report  # here: plotting libraries take long to import

    rows = runner.study.rows()
    done = [row for row in rows if row["state"] == DONE]
    if not done:
        raise UserError(failure_text(runner))
    best = (max if direction == "maximize" else min)(done, key=lambda row: row["value"])
    command = shlex.join(with_values(runner.request, best["params"]).train_arguments())
    data = {
        "title": f"Sweep: {runner.grid.title}",
        "metric": runner.metric,
        "direction": direction,
        "seeds": len(runner.seeds),
        "steps": runner.jobs[0].job.config["steps"],
        "space": {one.key: one.describe() for one in runner.space},
        "logarithmic": [one.key for one in runner.space if one.log],
        "trials": rows,
        "importances": runner.study.importances(),
        "best": {**best, "command": f"python dreamer.py train {command}"},
    }
    write_search_report(data, runner.folder)
    print(
        f"Best of {len(done)} finished trials: trial {best['number']}, {runner.metric} {best['value']:.4g}. To train:"
    )
    print(data["best"]["command"])
    print(f"Report on {len(rows)} trials: {runner.folder / 'report.html'}", flush=True)


def failure_text(runner: SearchRunner) -> str:
    """Return why there is no report: the errors of the trials, and what to do."""
    lines = [
        f"{job.job.name}: {job.state.error}\n    log: {log_of(job.logdir)}"
        for job in runner.jobs
        if job.state.status == "failed"
    ]
    return (
        f"No trial is done, so there is no report. Failed runs:\n  {join_lines(lines)}\n"
        "Change the flags or the space, and choose another --logdir."
    )
