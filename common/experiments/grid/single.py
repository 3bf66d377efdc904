"""One run of a grid, by its number: for array jobs of any scheduler, which start the same command on many machines."""

import time
from pathlib import Path

from common.errors import UserError
from common.experiments.grid.launcher import LocalLauncher
from common.experiments.grid.results import failure_text
from common.experiments.grid.runner import GridRunner, ScheduledJob
from common.storage.grid_file import GRID_FILE, Grid, Job, JobState, check_same_grid, read_grid, write_grid
from common.storage.logdir import LogdirInUse, check_directory, in_use, lock_logdir
from common.training.stop import Stop

LOCK_SECONDS = 10.0  # to write grid.json; workers that end at the same time take turns
POLL_SECONDS = 0.05


def run_single(folder: Path, grid: Grid, jobs: list[Job], index: int, episodes: int) -> None:
    """Do the run with a number, in a process on this machine, and record it in `grid.json`. There is no report.

    Raises UserError for a number that the grid does not have, for a folder with another grid, and if the run failed;
    SystemExit after a signal, when the run is saved.
    """
    if not 0 <= index < len(jobs):
        raise UserError(f"--index is 0 to {len(jobs) - 1} for these runs, got {index}. --dry-run lists them.")
    check_directory(folder, GRID_FILE)
    check_same_grid(folder, grid, jobs)
    scheduled = [ScheduledJob(job, folder / job.logdir, episodes) for job in jobs]
    if in_use(scheduled[index].logdir):
        print(f"Another process does this run, {jobs[index].name}: waiting for its end.", flush=True)
    stop = Stop()
    with stop.listening():
        SingleRun(folder, grid, scheduled, index, stop).run()
    if scheduled[index].state.status == "failed":
        job = jobs[index]
        row = {"name": job.name, "logdir": job.logdir, "error": scheduled[index].state.error}
        raise UserError(failure_text(folder, [row], 1))
    done = sum(job.state.status == "done" for job in scheduled)
    print(
        f"{done} of {len(jobs)} runs are done. When all are, the same command without --index writes the report.",
        flush=True,
    )


class SingleRun(GridRunner):
    """Runs one job of a grid whose other jobs other processes run, perhaps on other machines."""

    def __init__(self, folder: Path, grid: Grid, scheduled: list[ScheduledJob], index: int, stop: Stop):
        super().__init__(folder, grid, [scheduled[index]], 1, stop, "", LocalLauncher())
        self.scheduled = scheduled

    def save(self) -> None:
        """Write `grid.json`, unless the process of the whole grid holds its lock: that one writes it."""
        end = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                with lock_logdir(self.folder, GRID_FILE):
                    self.read_others()
                    states = [one.state for one in self.scheduled]
                    write_grid(self.folder, self.grid, [one.job for one in self.scheduled], states)
                return
            except LogdirInUse:
                if time.monotonic() > end:
                    return
                time.sleep(POLL_SECONDS)

    def read_others(self) -> None:
        """Set the states of the other jobs: done by their files, failed as another process has recorded."""
        stored = read_grid(self.folder)
        failed = {job["name"]: job["error"] for job in stored["jobs"] if job["status"] == "failed"} if stored else {}
        for one in self.scheduled:
            if one is not self.jobs[0]:
                one.reset()
                if one.state.status == "waiting" and one.job.name in failed:
                    one.state = JobState("failed", failed[one.job.name])
