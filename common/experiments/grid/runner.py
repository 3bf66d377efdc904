"""Run the jobs of a grid in parallel, on this machine or on others; they may be stopped and continued at any moment."""

import dataclasses
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from common.errors import UserError
from common.experiments.grid.launcher import Command, LaunchedCommand, Launcher, LocalLauncher
from common.experiments.grid.run_progress import RunProgress, is_evaluated, is_trained, read_progress
from common.experiments.grid.table import ProgressRow, ProgressTable
from common.files import remove_temporary_files
from common.storage.grid_file import GRID_FILE, Grid, Job, JobState, check_same_grid, write_grid
from common.storage.logdir import in_use, lock_logdir
from common.training.stop import Stop

POLL_SECONDS = 0.2  # between two checks of the processes


def run_grid(
    folder: Path, grid: Grid, jobs: list[Job], parallel: int, episodes: int = 0, notice: str = "", *,
    plan: "Callable[[Job], ScheduledJob] | None" = None, prepare: Callable[[], None] = lambda: None,
    launcher: Launcher | None = None,
) -> None:  # fmt: skip
    """Train each unfinished job, `parallel` at a time, each in a separate process.

    episodes: of an evaluation after each training; 0 = no evaluation. notice: a sentence that is shown with the
    progress. plan: returns a job with its commands, in place of `train` and `eval`. prepare: checks or writes more in
    the locked folder. launcher: where the processes run, by default on this machine. A failed job is recorded in
    `grid.json`, and the others continue. Raises UserError before any change if `folder` is in use or contains another
    grid, and SystemExit after SIGINT or SIGTERM, when all runs are saved.
    """
    shared = [name for name, count in Counter(job.logdir for job in jobs).items() if count > 1]
    if shared:
        raise UserError(f"Several runs would share the folder {shared[0]}. Name each version, task and seed once.")
    stop = Stop()
    with lock_logdir(folder, GRID_FILE), stop.listening():
        remove_temporary_files(folder)
        check_same_grid(folder, grid, jobs)
        prepare()
        plan = plan or (lambda job: ScheduledJob(job, folder / job.logdir, episodes))
        scheduled = [plan(job) for job in jobs]
        GridRunner(folder, grid, scheduled, parallel, stop, notice, launcher or LocalLauncher()).run()


@dataclasses.dataclass
class ScheduledJob:
    """A job with its state and its process, if one is running."""

    job: Job
    logdir: Path
    episodes: int
    state: JobState = dataclasses.field(default_factory=JobState)
    process: LaunchedCommand | None = None
    progress: RunProgress | None = None

    def reset(self) -> None:
        """Set the state of a job without a process: done, or waiting for its next command."""
        self.process, self.state = None, JobState("waiting" if self.next_command() else "done")

    def is_done_by_now(self) -> bool:
        """Record whether another process has done a waiting job meanwhile."""
        self.reset()
        return self.state.status == "done"

    def next_command(self) -> list[str]:
        """Return the arguments of the next command; empty if the job is done."""
        logdir = ["--logdir", str(self.logdir.absolute())]
        if not is_trained(self.logdir, self.job.config):
            return ["train", *self.job.words, *logdir]
        if self.episodes and not is_evaluated(self.logdir, self.episodes):
            return ["eval", *logdir, "--run.eval_episodes", str(self.episodes)]
        return []

    def started(self, process: LaunchedCommand) -> None:
        """Record the process of the next command."""
        self.process, self.state = process, JobState("running")

    def collect(self) -> bool:
        """Record the result of a process that has ended. Return whether one has."""
        process = self.process
        if process is None or process.poll() is None:
            return False
        self.reset()
        if process.poll() != 0:
            self.state = JobState("failed", process.error())
        elif self.next_command() == process.words:
            self.state = JobState("failed", "it ended without an error before it was finished")
        return True

    def row(self) -> ProgressRow:
        """Return the row of the progress table."""
        if self.progress is None or self.process is not None or self.progress.share < 1:
            self.progress = read_progress(self.logdir, self.job.config)
        host = self.process.host if self.process is not None else ""
        return ProgressRow(self.job.name, self.state.status, self.progress, self.state.error, host)


class GridRunner:
    """Starts and watches the processes of one grid."""

    def __init__(
        self, folder: Path, grid: Grid, jobs: list[ScheduledJob], parallel: int, stop: Stop, notice: str,
        launcher: Launcher,
    ):  # fmt: skip
        self.folder, self.grid, self.jobs, self.parallel, self.stop = folder, grid, jobs, parallel, stop
        self.notice, self.launcher = notice, launcher

    def run(self) -> None:
        """Work until nothing is left to do or a signal arrives. No process outlives this call."""
        for job in self.jobs:
            job.reset()
        self.save()
        print(f"{self.grid.title}. Folder: {self.folder}. Ctrl-C stops; rerun the command to continue.", flush=True)
        rows = lambda: [job.row() for job in self.jobs]
        with ProgressTable(self.parallel, notice=self.notice, hosts=self.launcher.shows_host) as table:
            try:
                while (changed := self.advance()) or self.with_status("waiting", "running"):
                    self.exit_on_signal()
                    if changed | any([job.collect() for job in self.jobs]) | self.start_jobs():
                        self.save()
                    table.show(rows)
                    time.sleep(POLL_SECONDS)
            finally:
                self.stop_all(signal.SIGTERM)
                self.save()
            table.show(rows, final=True)

    def advance(self) -> bool:
        """Change the list of jobs, if a kind of grid does that. Return whether it has changed."""
        return False

    def with_status(self, *statuses: str) -> list[ScheduledJob]:
        """Return the jobs with one of these statuses."""
        return [job for job in self.jobs if job.state.status in statuses]

    def start_jobs(self) -> bool:
        """Start waiting jobs until `parallel` are running. Return whether any was started.

        A job whose run directory is in use keeps waiting: a run of an earlier grid may still be saving there.
        """
        free = self.parallel - len(self.with_status("running"))
        ready = (job for job in self.with_status("waiting") if not in_use(job.logdir) and not job.is_done_by_now())
        chosen = [job for _, job in zip(range(free), ready, strict=False)]
        commands = [Command(job.next_command(), job.logdir) for job in chosen]
        for job, process in zip(chosen, self.launcher.start(commands), strict=True):
            job.started(process)
        return bool(chosen)

    def exit_on_signal(self) -> None:
        """After a signal, save and stop all runs and exit. A second Ctrl-C stops them without saving."""
        if self.stop.signal is None:
            return
        print(f"Stopping: saving {len(self.with_status('running'))} run(s).", flush=True)
        try:
            self.stop_all(self.stop.signal)
        except KeyboardInterrupt:
            self.stop_all(signal.SIGINT)
        print("Stopped. Rerun the same command to continue.", flush=True)
        raise SystemExit(self.stop.exit_code)

    def stop_all(self, number: int) -> None:
        """Send a signal to all processes and wait for them to end."""
        running = [(job, job.process) for job in self.jobs if job.process is not None]
        for _, process in running:
            process.send(number)
        for job, process in running:
            process.wait()
            job.reset()

    def save(self) -> None:
        """Write `grid.json`."""
        write_grid(self.folder, self.grid, [job.job for job in self.jobs], [job.state for job in self.jobs])
