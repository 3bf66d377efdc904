"""The end of a grid: films, the report, and a summary on the terminal."""

from pathlib import Path
from typing import Any

from common.analysis.reference.score_files import read_episode_scores
from common.analysis.training_amounts import TrainingAmount, mean_amounts, uneven_notice
from common.errors import UserError
from common.experiments.grid.process import log_of
from common.safe_io import read_json
from common.storage.grid_file import lost_workers, read_grid
from common.storage.logdir import stored_config
from common.storage.runinfo import frames_trained, seconds_trained, updates_made

NEXT_STEPS = "Open it in a browser. To add versions, tasks, seeds or steps, rerun the command with the longer lists."
WITHOUT_REPORT = (
    "To evaluate each run, rerun the command with --episodes 10. "
    "For training scores, raise --steps; runs with --run.offline have none."
)


def write_results(folder: Path, gif: bool = False) -> None:
    """Write films and report of a grid that has been run, and print the path of the report.

    gif: whether to film all agents side by side.
    Raises UserError with the failed runs, if any, at the end.
    """
    found = read_stored_grid(folder)
    jobs, match = found["jobs"], found["match"]
    failed = [job for job in jobs if job["status"] == "failed"]
    print("Making films of predictions, then the report.", flush=True)
    write_grid_films(folder, gif)
    print_lost_workers(folder, jobs)
    if notice := uneven_notice(amounts_made(folder, jobs), match):
        print(notice, flush=True)
    if len(failed) == len(jobs):
        print("There is no report, because every run failed.", flush=True)
        next_steps = ""
    else:
        next_steps = NEXT_STEPS if write_grid_report(folder, bool(failed)) else WITHOUT_REPORT
    if failed:
        raise UserError(failure_text(folder, failed, len(jobs)))
    print(next_steps, flush=True)


def read_stored_grid(folder: Path) -> dict[str, Any]:
    """Return the content of `grid.json` of a grid that has been run."""
    found = read_grid(folder)
    assert found is not None, folder
    return found


def read_jobs(folder: Path) -> list[dict]:
    """Return the jobs of a grid that has been run."""
    return read_stored_grid(folder)["jobs"]


def print_lost_workers(folder: Path, jobs: list[dict]) -> None:
    """Print each run that was started again, with the machines whose workers were lost."""
    for job in jobs:
        for host in lost_workers(folder / job["logdir"]):
            print(f"{job['name']} was started again after its worker on {host} was lost.", flush=True)


def amounts_made(folder: Path, jobs: list[dict]) -> list[TrainingAmount]:
    """Return the amounts of training of each variant on each task, of its finished runs."""
    found = []
    for job in jobs:
        logdir = folder / job["logdir"]
        updates = updates_made(logdir) if job["status"] == "done" else 0
        if updates:
            config = stored_config(logdir)
            replayed = updates * config["batch_size"] * config["batch_length"]
            found.append(TrainingAmount(job["variant"], job["task"], updates, replayed))
    return mean_amounts(found)


def write_grid_films(folder: Path, gif: bool) -> None:
    """Write the films of a grid. An error is printed: the report does not need films."""
    from common.experiments.film import write_films  # here: agents and video take long to import

    writers = [write_films]
    if gif:
        from common.experiments.acting_film import write_acting_films

        writers.append(write_acting_films)
    for write in writers:
        try:
            write(folder)
        except Exception as error:  # for example a broken renderer
            print(f"Films were not written: {error if isinstance(error, UserError) else repr(error)}", flush=True)


def write_grid_report(folder: Path, failed: bool) -> bool:
    """Write the report on a grid, and print its path and the runs without a failure that are not in it.

    Returns whether the report was written. If no run finished a training episode, prints what each run has instead.
    failed: whether runs have failed; an error of the report is then printed instead of raised.
    """
    from common.analysis.report import write_report  # here: plotting libraries take long to import

    try:
        runs = write_report([folder], folder)
    except UserError as error:
        done = [job for job in read_jobs(folder) if job["status"] == "done"]
        if all(ended_before_an_episode(folder / job["logdir"]) for job in done):
            print("There is no report, because no run finished a training episode. The runs:")
            print(*(describe_result(job["name"], folder / job["logdir"]) for job in done), sep="\n", flush=True)
            return False
        if not failed:
            raise
        print(f"The report was not written: {error}", flush=True)
        return False
    for name, status, reason in runs.left_out:
        if status != "failed":
            print(f"Not in the report: {name} ({status}): {reason}")
    count = len(runs.runs)
    print(f"Report on {count} run{'s' * (count != 1)}: {folder / 'report.html'}", flush=True)
    return True


def ended_before_an_episode(logdir: Path) -> bool:
    """Whether a run has a score file without any training episode. Raises UserError if the file is damaged."""
    path = logdir / "scores.jsonl"
    return path.exists() and not len(read_episode_scores(path)["train"][0])


def describe_result(name: str, logdir: Path) -> str:
    """Return frames and seconds of a run, and its evaluation if it has one."""
    text = f"  {name}: {frames_trained(logdir):,} frames in {seconds_trained(logdir):.0f} s"
    if not (logdir / "eval.json").exists():
        return f"{text}, no score"
    result = read_json(logdir / "eval.json")
    return f"{text}, evaluation {result['mean']:.1f} ± {result['std']:.1f} ({result['n']} episodes)"


def failure_text(folder: Path, failed: list[dict], total: int) -> str:
    """Return the failed jobs with their errors and logs, and how to retry them."""
    listed = "\n  ".join(f"{job['name']}: {job['error']}\n    log: {log_of(folder / job['logdir'])}" for job in failed)
    return f"{len(failed)} of {total} runs failed:\n  {listed}\nRerun the same command to retry them."
