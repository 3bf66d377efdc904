"""The end of a grid: films, the report, and a summary on the terminal."""

from pathlib import Path

from common.errors import UserError
from common.experiments.grid.process import log_of
from common.storage.grid_file import read_grid

NEXT_STEPS = "Open it in a browser. To add versions, tasks, seeds or steps, rerun the command with the longer lists."


def write_results(folder: Path) -> None:
    """Write films and report of a grid that has been run, and print the path of the report.

    Raises UserError with the failed runs, if any, at the end.
    """
    found = read_grid(folder)
    assert found is not None, folder
    failed = [job for job in found["jobs"] if job["status"] == "failed"]
    print("Making films of predictions, then the report.", flush=True)
    write_grid_films(folder)
    if len(failed) == len(found["jobs"]):
        print("There is no report, because every run failed.", flush=True)
    else:
        write_grid_report(folder, bool(failed))
    if failed:
        raise UserError(failure_text(folder, failed, len(found["jobs"])))
    print(NEXT_STEPS, flush=True)


def write_grid_films(folder: Path) -> None:
    """Write the films of a grid. An error is printed: the report does not need films."""
    from common.experiments.film import write_films  # here: agents and video take long to import

    try:
        write_films(folder)
    except Exception as error:  # for example a broken renderer
        print(f"Films were not written: {error if isinstance(error, UserError) else repr(error)}", flush=True)


def write_grid_report(folder: Path, failed: bool) -> None:
    """Write the report on a grid, and print its path and the runs without a failure that are not in it.

    failed: whether runs have failed; an error of the report is then printed instead of raised.
    """
    from common.analysis.report import write_report  # here: plotting libraries take long to import

    try:
        runs = write_report([folder], folder)
    except UserError as error:
        if not failed:
            raise
        print(f"The report was not written: {error}", flush=True)
        return
    for name, status, reason in runs.left_out:
        if status != "failed":
            print(f"Not in the report: {name} ({status}): {reason}")
    count = len(runs.runs)
    print(f"Report on {count} run{'s' * (count != 1)}: {folder / 'report.html'}", flush=True)


def failure_text(folder: Path, failed: list[dict], total: int) -> str:
    """Return the failed jobs with their errors and logs, and how to retry them."""
    listed = "\n  ".join(f"{job['name']}: {job['error']}\n    log: {log_of(folder / job['logdir'])}" for job in failed)
    return f"{len(failed)} of {total} runs failed:\n  {listed}\nRerun the same command to retry them."
