"""From requests to a grid: versions x tasks x seeds on equal budgets, listed or run, with a report in the end."""

import os
import shlex
from pathlib import Path
from typing import Any

import torch

from common.config.request import Request
from common.envs import make_env
from common.errors import UserError, check_choice
from common.experiments.grid.run_progress import is_trained
from common.experiments.grid.runner import run_grid
from common.storage.grid_file import Grid, Job, read_grid
from common.training.budget import MATCH, count_updates
from common.training.threads import CGROUP_CPU_QUOTA

#: Flags of every tool that runs a grid, with their defaults.
OPTIONS: dict[str, Any] = {
    "seeds": 3,
    "first-seed": 0,
    "steps": 0,  # of each run, in what `match` names; 0: as the tool has it
    "match": "frames",
    "jobs": 0,  # runs at a time; 0: as many as there are cores, or one where there is a GPU
    "episodes": 0,  # of an evaluation after each training; 0: none
    "logdir": "",
    "dry-run": False,
}
MINIMA = {"seeds": 1, "first-seed": 0, "steps": 0, "jobs": 0, "episodes": 0}


def run_experiment(kind: str, variants: dict[str, Request], tasks: dict[str, int], folder: Path, baseline=None) -> None:
    """Runs every variant on every task with every seed and writes the report into `folder`, or lists what would run.

    variants: name -> request, with its version in `algo`; tasks: name -> steps of a run, in what --match names;
    baseline: the variant that others are measured by. Raises UserError for whatever a user can mend: before anything
    is started for wrong flags and tasks, after everything is done for runs that failed.
    """
    own, parallel = check_options(variants)
    variants = with_one_thread(variants) if parallel >= available_cores() else variants
    jobs = make_jobs(variants, tasks, range(own["first-seed"], own["first-seed"] + own["seeds"]), own["match"])
    if own["dry-run"]:
        head = f"{len(jobs)} runs, {parallel} at a time, in {folder}"
        print(head, *(describe_job(folder, job) for job in jobs), sep="\n")
        return
    check_tasks(folder, jobs)
    grid = Grid(kind, title(variants, tasks, own), own["match"], list(variants), baseline)
    run_grid(folder, grid, jobs, parallel, own["episodes"])
    write_results(folder)


def check_options(variants: dict[str, Request]) -> tuple[dict, int]:
    """The tool's own flags, checked, and the number of runs at a time."""
    own, flags = next((request.options, request.flags) for request in variants.values())
    check_choice("--match", own["match"], MATCH)
    for key, least in MINIMA.items():
        if own[key] < least:
            raise UserError(f"--{key} must be at least {least}, got {own[key]}.")
    for key, instead in {"seed": "--seeds and --first-seed", "run.max_seconds": "--match time and --steps"}.items():
        if key in flags:
            raise UserError(f"--{key} is not for a grid of runs: use {instead}.")
    return own, own["jobs"] or (1 if uses_gpu(flags) else available_cores())


def with_one_thread(variants: dict[str, Request]) -> dict[str, Request]:
    """The variants with one thread each, unless the user has set `run.threads`: the runs take all cores as it is."""
    return {name: r._replace(flags={"run.threads": 1} | r.flags) for name, r in variants.items()}


def uses_gpu(flags: dict) -> bool:
    """Whether runs with these flags take a GPU."""
    return flags.get("run.device", "auto") != "cpu" and torch.cuda.is_available()


def available_cores() -> int:
    """Cores that this process may use, within the limit of a container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if os.access(CGROUP_CPU_QUOTA, os.R_OK):
        limit, period = CGROUP_CPU_QUOTA.read_text().split()
        count = count if limit == "max" else min(count, int(limit) // int(period))
    return max(1, count)


def make_jobs(variants: dict[str, Request], tasks: dict[str, int], seeds: range, match: str) -> list[Job]:
    """All jobs, seed by seed, so that the first ones done say something of every variant."""
    settled = [
        (name, task, *with_budget(request, task, amount, match))
        for task, amount in tasks.items()
        for name, request in variants.items()
    ]
    return [
        Job(name, task, seed, request.train_arguments(seed=seed), config | {"seed": seed})
        for seed in seeds
        for name, task, request, config in settled
    ]


def with_budget(request: Request, task: str, amount: int, match: str) -> tuple[Request, dict]:
    """The request with task and budget among its flags, and its config."""
    algo = str(request.algo)
    budget = MATCH[match][0](request.config(algo, task=task), amount)
    request = request._replace(flags={"task": task} | request.flags | budget)
    return request, request.config(algo)


def title(variants: dict[str, Request], tasks: dict[str, int], own: dict) -> str:
    """What is compared, in a line."""
    names = list(variants)
    who = ", ".join(names) if len(names) < 6 else f"{names[0]} and {len(names) - 1} others"
    where = ", ".join(tasks) if len(tasks) < 4 else f"{len(tasks)} tasks"
    amounts = " to ".join(f"{amount:,}" for amount in sorted({min(tasks.values()), max(tasks.values())}))
    seeds = f"{own['seeds']} seed{'s' * (own['seeds'] > 1)}"
    return f"{who} on {where}, {seeds}, {amounts} {MATCH[own['match']][1]} each"


def describe_job(folder: Path, job: Job) -> str:
    """Name, budget and command line of a job."""
    run, batch = job.config["run"], job.config["batch_size"] * job.config["batch_length"]
    if run["max_seconds"]:
        budget = f"{run['max_seconds']:,} seconds"
    else:
        count = count_updates(job.config)
        budget = f"{job.config['steps']:,} frames, {count:,} updates, {count * batch:,} replayed steps"
    return f"# {job.name}: {budget}\npython dreamer.py train {shlex.join(job.words)} --logdir {folder / job.logdir}"


def check_tasks(folder: Path, jobs: list[Job]) -> None:
    """Makes each environment once, so that a wrong task is told at once. Raises UserError for it."""
    for task, config in {
        job.task: job.config for job in jobs if not is_trained(folder / job.logdir, job.config)
    }.items():
        make_env(task, config["env"]).close()


def write_results(folder: Path) -> None:
    """Writes films and report of a grid that has been run. Raises UserError if runs failed, naming them, after that."""
    from common.analysis.report import write_report
    from common.experiments.film import film

    found = read_grid(folder)
    assert found is not None, folder
    failed = [f"{job['name']}: {job['error']}" for job in found["jobs"] if job["status"] == "failed"]
    try:
        film(folder)
    except Exception as error:  # such as a renderer that gives up: the report does not need them
        print(f"There are no films: {error if isinstance(error, UserError) else repr(error)}")
    try:
        write_report([folder], folder)
    except UserError as error:
        if not failed:
            raise
        print(f"There is no report: {error}")
    if failed:
        listed = "\n  ".join(failed)
        raise UserError(
            f"{len(failed)} of {len(found['jobs'])} runs failed:\n  {listed}\n"
            f"Their logs lie beside their folders in {folder / 'runs'}. The same command tries them again."
        )
