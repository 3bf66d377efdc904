"""From requests to a grid with a report: versions x tasks x seeds on equal budgets, listed or run."""

import os
import shlex
from pathlib import Path
from typing import Any

import torch

from common.analysis.training_amounts import TrainingAmount, uneven_notice
from common.config.arguments import Option, Options, check_minima
from common.config.loggers import service_names
from common.config.request import Request
from common.envs import make_env
from common.errors import UserError, check_choice
from common.experiments.grid.launcher import NO_INDEX, LauncherChoice, launcher_choice
from common.experiments.grid.launcher import OPTIONS as LAUNCHER_OPTIONS
from common.experiments.grid.results import write_results
from common.experiments.grid.run_progress import is_trained
from common.experiments.grid.runner import run_grid
from common.experiments.grid.single import run_single
from common.storage.grid_file import Grid, Job
from common.storage.loggers.choice import check_loggers
from common.training.budget import MATCH, count_updates
from common.training.offline import offline_config
from common.training.threads import CGROUP_CPU_QUOTA

#: Flags of each command that runs a grid, with their defaults.
HELP_GROUP = "grid of runs"
OPTIONS: Options = {
    "seeds": Option(3, "seeds per variant and task", "N", group=HELP_GROUP),
    "first-seed": Option(0, "first seed", "N", group=HELP_GROUP),
    "steps": Option(0, "budget of a run, in the unit of --match; 0: that of the suite", "N", group=HELP_GROUP),
    "match": Option("frames", "unit of budgets: frames, updates, replayed or time", "UNIT", group=HELP_GROUP),
    "jobs": Option(0, "runs at a time; 0: one per core, one on a GPU, or all on a cluster", "N", group=HELP_GROUP),
    "episodes": Option(0, "episodes to evaluate after each training; 0: none", "N", group=HELP_GROUP),
    "logdir": Option("", "folder for the runs and the report", "DIR", group=HELP_GROUP),
    "gif": Option(False, "film the agents of all variants side by side", group=HELP_GROUP),
    "dry-run": Option(False, "print the runs and their commands only", group=HELP_GROUP),
    **LAUNCHER_OPTIONS,
}
MINIMA = {"seeds": 1, "first-seed": 0, "steps": 0, "jobs": 0, "episodes": 0}
GRID_FLAGS = {"seed": "--seeds and --first-seed", "run.max_seconds": "--match time and --steps"}


def run_experiment(
    kind: str, variants: dict[str, Request], tasks: dict[str, int], folder: Path, baseline: str | None = None
) -> None:
    """Run each variant on each task with each seed and write the report into `folder`, or list the runs.

    variants: name -> request, with its version in `algo`. tasks: name -> steps of a run, in the unit of --match.
    baseline: the variant that the others are compared with. Raises UserError for wrong flags and tasks before any run
    starts, and for failed runs after all have ended.
    """
    options = check_options(variants)
    where = launcher_choice(options)
    parallel = parallel_runs(next(iter(variants.values())), where)
    threads = threads_of_run(where, parallel)
    if threads:
        variants = {name: r._replace(flags={"run.threads": threads} | r.flags) for name, r in variants.items()}
    seeds = range(options["first-seed"], options["first-seed"] + options["seeds"])
    jobs = [in_services(job, folder) for job in make_jobs(variants, tasks, seeds, options["match"])]
    parallel = parallel or len(jobs)
    notice = uneven_notice(planned_amounts(jobs), options["match"])
    if options["dry-run"]:
        print(*filter(None, [*describe_grid(folder, jobs, parallel, where), notice]), sep="\n")
        return
    own = {str(request.algo): request.own for request in variants.values() if request.own}
    grid = Grid(kind, grid_title(variants, tasks, options), options["match"], list(variants), baseline, own)
    if (index := options.get("index", NO_INDEX)) != NO_INDEX:
        run_single(folder, grid, jobs, index, options["episodes"])
        return
    for config in {job.config["run"]["logger"]: job.config for job in jobs}.values():
        check_loggers(config)
    check_tasks(folder, jobs)
    launcher = where.make(folder, parallel)
    try:
        run_grid(folder, grid, jobs, parallel, options["episodes"], notice, launcher=launcher)
    finally:
        launcher.close()
    write_results(folder, options["gif"])


def check_options(variants: dict[str, Request]) -> dict[str, Any]:
    """Return the command's own flags. Raises UserError for wrong values."""
    options, flags = next((request.options, request.flags) for request in variants.values())
    check_choice("--match", options["match"], MATCH)
    check_minima(options, MINIMA)
    for key, instead in GRID_FLAGS.items():
        if key in flags:
            raise UserError(f"--{key} does not apply to a grid of runs. Use {instead}.")
    return options


def parallel_runs(request: Request, where: LauncherChoice | None = None) -> int:
    """Return the number of runs at a time: --jobs, else one on a GPU or one per core; on a cluster 0, for all."""
    if where is not None and not where.is_local:
        return request.options["jobs"]
    on_gpu = request.flags.get("run.device", "auto") != "cpu" and torch.cuda.is_available()
    return request.options["jobs"] or (1 if on_gpu else available_cores())


def threads_of_run(where: LauncherChoice, parallel: int) -> int:
    """Return the threads of each run: one if the runs use all cores, on a cluster the CPUs of a run; 0: as set."""
    if not where.is_local:
        return max(1, where.resources["cpu"])
    return 1 if parallel >= available_cores() else 0


def available_cores() -> int:
    """Return the number of cores that this process may use, within the limit of a container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if os.access(CGROUP_CPU_QUOTA, os.R_OK):
        limit, period = CGROUP_CPU_QUOTA.read_text().split()
        count = count if limit == "max" else min(count, int(limit) // int(period))
    return max(1, count)


def make_jobs(variants: dict[str, Request], tasks: dict[str, int], seeds: range, match: str) -> list[Job]:
    """Return all jobs, ordered by seed, so that the first results cover all variants."""
    runs = [
        (name, task, *with_budget(request, task, amount, match))
        for task, amount in tasks.items()
        for name, request in variants.items()
    ]
    return [
        Job(name, task, seed, request.train_arguments(seed=seed), config | {"seed": seed})
        for seed in seeds
        for name, task, request, config in runs
    ]


def in_services(job: Job, folder: Path) -> Job:
    """Return a job whose run has its own name in services, and the folder's as its group, unless the user set them."""
    run = job.config["run"]
    names = {"logger_name": job.name, "logger_group": folder.absolute().name}
    new = {key: name for key, name in names.items() if not run[key]} if service_names(job.config) else {}
    words = [word for key, name in new.items() for word in (f"--run.{key}", name)]
    return job._replace(words=[*job.words, *words], config=job.config | {"run": run | new})


def with_budget(request: Request, task: str, amount: int, match: str) -> tuple[Request, dict]:
    """Return the request with task and budget among its flags, and the config that training stores."""
    algo = str(request.algo)
    budget = MATCH[match][0](request.config(algo, task=task), amount)
    request = request._replace(flags={"task": task} | request.flags | budget)
    config = request.config(algo)
    return request, offline_config(config) if config["run"]["offline"] else config


def grid_title(variants: dict[str, Request], tasks: dict[str, int], options: dict[str, Any]) -> str:
    """Return the comparison in one line."""
    names = list(variants)
    who = ", ".join(names) if len(names) < 6 else f"{names[0]} and {len(names) - 1} others"
    where = ", ".join(tasks) if len(tasks) < 4 else f"{len(tasks)} tasks"
    amounts = " to ".join(f"{amount:,}" for amount in sorted({min(tasks.values()), max(tasks.values())}))
    seeds = f"{options['seeds']} seed{'s' * (options['seeds'] > 1)}"
    return f"{who} on {where}, {seeds}, {amounts} {MATCH[options['match']][1]} each"


def planned_amounts(jobs: list[Job]) -> list[TrainingAmount]:
    """Return the amounts of training of each variant on each task, by its schedule; [] for runs with a time limit."""
    first = {(job.variant, job.task): job for job in reversed(jobs) if not job.config["run"]["max_seconds"]}
    return [TrainingAmount(*pair, *training_counts(job.config)) for pair, job in first.items()]


def training_counts(config: dict) -> tuple[int, int]:
    """Return the updates and the replayed steps of a run."""
    updates = count_updates(config)
    return updates, updates * config["batch_size"] * config["batch_length"]


def describe_grid(folder: Path, jobs: list[Job], parallel: int, where: LauncherChoice) -> list[str]:
    """Return what --dry-run prints: the runs with their numbers for --index, and where they would be computed."""
    place = "" if where.is_local else f", {where.describe()}"
    head = f"{len(jobs)} runs, {parallel} at a time, in {folder}{place}"
    return [head, *(describe_job(folder, job, number) for number, job in enumerate(jobs))]


def describe_job(folder: Path, job: Job, number: int) -> str:
    """Return number, name, budget and command line of a job."""
    if limit := job.config["run"]["max_seconds"]:
        budget = f"{limit:,} seconds"
    else:
        updates, replayed = training_counts(job.config)
        budget = f"{job.config['steps']:,} frames, {updates:,} updates, {replayed:,} replayed steps"
    words = f"train {shlex.join(job.words)} --logdir {folder / job.logdir}"
    return f"# {number} {job.name}: {budget}\npython dreamer.py {words}"


def check_tasks(folder: Path, jobs: list[Job]) -> None:
    """Create the environment of each unfinished task once. Raises UserError for a wrong task, before any run."""
    unfinished = {job.task: job.config for job in jobs if not is_trained(folder / job.logdir, job.config)}
    for task, config in unfinished.items():
        make_env(task, config["env"]).close()
