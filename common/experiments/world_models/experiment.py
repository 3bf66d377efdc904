"""From a request to a grid of world models: variants x seeds on one frozen replay, listed or run."""

import shlex
from pathlib import Path
from typing import Any

from common.analysis.world_models import write_world_model_report
from common.config.arguments import check_minima
from common.config.request import Request
from common.datasets.formats import expand_place
from common.errors import UserError
from common.experiments.grid.experiment import available_cores, in_services, parallel_runs
from common.experiments.grid.results import failure_text, read_jobs
from common.experiments.grid.run_progress import is_trained
from common.experiments.grid.runner import ScheduledJob, run_grid
from common.experiments.world_models.frozen import FrozenRecords
from common.experiments.world_models.protocol import Protocol, describe, store_protocol
from common.experiments.world_models.run import is_measured, train_and_measure
from common.experiments.world_models.variants import make_variants
from common.safe_io import expand_path
from common.storage.grid_file import GRID_FILE, Grid, Job, JobState, write_grid
from common.storage.loggers.choice import check_loggers
from common.training.offline import offline_config

KIND = "wm-eval"
MINIMA = {"updates": 1, "seeds": 1, "first-seed": 0, "split-seed": 0, "context": 1, "horizon": 1, "jobs": 0}
SET_BY_COMMAND = {"seed": "--seeds and --first-seed", "steps": "--updates", "run.offline": "--replay"}


def compare_world_models(request: Request) -> None:
    """Train the world model of each variant with each seed on the same batches, measure all, and report.

    Raises UserError for wrong flags and records before any run starts, and for failed runs at the end.
    """
    options = check_options(request)
    folder, only = expand_path(options["logdir"] or "logs/wm-eval"), options["only"]
    protocol = read_protocol(request)
    records = protocol.read(complete=False)
    check_lengths(records, protocol)
    protocol = protocol._replace(fingerprint=records.fingerprint)
    variants, text = make_variants(request, records)
    jobs = make_jobs(request, variants, options, folder)
    if options["dry-run"]:
        parallel = parallel_runs(request)
        print(text, f"{len(jobs)} runs, {parallel} at a time, in {folder}", sep="\n")
        print(*(f"# {job.name}: {job.config['steps']:,} updates\n{command(job, folder)}" for job in jobs), sep="\n")
        return
    about = describe(records, protocol, jobs)
    title = f"World models of {', '.join(variants)} on {about['task']}"
    grid = Grid(KIND, title, "updates", list(variants))
    if only:
        train_one(folder, grid, jobs, only, protocol, about)
        return
    print(text, flush=True)
    plan = lambda job: WorldModelJob(job, folder / job.logdir, 0, protocol=protocol, folder=folder)
    del records  # each run reads its own
    run_grid(folder, grid, jobs, parallel_runs(request), plan=plan, prepare=lambda: store_protocol(folder, about))
    finish(folder)


def check_options(request: Request) -> dict[str, Any]:
    """Return the command's own flags. Raises UserError for wrong values."""
    options = request.options
    if request.positionals:
        raise UserError(f"wm-eval takes only flags, got {' '.join(request.positionals)}. Name records with --replay.")
    if not options["replay"]:
        raise UserError("wm-eval needs --replay DIR: the directory of a run, or a dataset, see docs/data.md.")
    check_minima(options, MINIMA)
    if not 0 < options["held-out"] <= 0.5:
        raise UserError(f"--held-out is a share of the episodes, above 0 and at most 0.5, got {options['held-out']}.")
    for key, instead in SET_BY_COMMAND.items():
        if key in request.flags:
            raise UserError(f"--{key} does not apply to wm-eval. Use {instead}.")
    return options


def read_protocol(request: Request) -> Protocol:
    """Return the protocol of the request, without the fingerprint."""
    options = request.options
    where = expand_place(options["replay"])
    return Protocol(where, options["held-out"], options["split-seed"], options["context"], options["horizon"])


def check_lengths(records: FrozenRecords, protocol: Protocol) -> None:
    """Raise UserError if no held-out episode is long enough to predict from."""
    longest = max(episode.stop - episode.begin for episode in records.split.held_out)
    if longest <= protocol.context:
        raise UserError(
            f"The longest held-out episode has {longest} records, which leaves nothing to predict after "
            f"{protocol.context}. Give --context {max(1, longest // 2)} or less."
        )


def make_jobs(request: Request, variants: dict[str, Request], options: dict[str, Any], folder: Path) -> list[Job]:
    """Return all jobs, ordered by seed, so that the first results cover all variants."""
    one_thread = {"run.threads": 1} if parallel_runs(request) >= available_cores() else {}
    seeds = range(options["first-seed"], options["first-seed"] + options["seeds"])
    flags = {"steps": options["updates"], "run__offline": expand_place(options["replay"])}
    jobs = []
    for seed in seeds:
        for name, variant in variants.items():
            variant = variant._replace(flags=one_thread | variant.flags)
            config = offline_config(variant.config(str(variant.algo), seed=seed, **flags))
            jobs.append(Job(name, config["task"], seed, words_of(request), config))
    check_loggers(jobs[0].config)
    return [in_services(job, folder)._replace(words=job.words) for job in jobs]  # each process makes all jobs itself


def words_of(request: Request) -> list[str]:
    """Return the words of this command, without folder, seeds' order or the flags that only its own process reads."""
    options = request.options
    names = list(dict.fromkeys([*options["algos"], *filter(None, [request.algo])]))
    words = ["--replay", expand_place(options["replay"]), "--algos", *names]
    words += ["--ablate", *options["ablate"]] if options["ablate"] else []
    for key in ("updates", "seeds", "first-seed", "held-out", "split-seed", "context", "horizon", "jobs"):
        words += [f"--{key}", str(options[key])]
    return [*words, *request._replace(algo="").train_arguments()[2:]]


def command(job: Job, folder: Path) -> str:
    """Return the command line of one run."""
    return f"python dreamer.py wm-eval {shlex.join(job.words)} --logdir {folder} --only {shlex.quote(job.name)}"


class WorldModelJob(ScheduledJob):
    """A job that trains and measures a world model in one process."""

    def __init__(self, job: Job, logdir: Path, episodes: int, *, protocol: Protocol, folder: Path):
        super().__init__(job, logdir, episodes)
        self.protocol, self.folder = protocol, folder

    def next_command(self) -> list[str]:
        """Return the arguments of the command; empty if the job is done."""
        if is_trained(self.logdir, self.job.config) and is_measured(self.logdir, self.protocol):
            return []
        return [KIND, *self.job.words, "--logdir", str(self.folder), "--only", self.job.name]


def train_one(folder: Path, grid: Grid, jobs: list[Job], only: str, protocol: Protocol, about: dict[str, Any]) -> None:
    """Train and measure one run of a comparison in this process, which may be on another machine than the others."""
    job = next((job for job in jobs if job.name == only), None)
    if job is None:
        raise UserError(f"--only {only} is not a run of this comparison. Its runs: {', '.join(j.name for j in jobs)}.")
    store_protocol(folder, about)
    if not (folder / GRID_FILE).exists():
        write_grid(folder, grid, jobs, [JobState() for _ in jobs])
    logdir = folder / job.logdir
    train_and_measure(logdir, job.config | {"logdir": str(logdir)}, protocol)


def finish(folder: Path) -> None:
    """Write the report of a comparison that has been run, and print its path.

    Raises UserError with the failed runs, if any, at the end.
    """
    jobs = read_jobs(folder)
    failed = [job for job in jobs if job["status"] == "failed"]
    if len(failed) < len(jobs):
        write_world_model_report(folder, folder)
        count = len(jobs) - len(failed)
        print(f"Report on {count} world model{'s' * (count != 1)}: {folder / 'report.html'}", flush=True)
    else:
        print("There is no report, because every run failed.", flush=True)
    if failed:
        raise UserError(failure_text(folder, failed, len(jobs)))
    print(
        "Open it in a browser. To add versions, features, seeds or updates, rerun the command with the longer lists.",
        flush=True,
    )
