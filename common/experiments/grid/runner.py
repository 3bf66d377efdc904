"""Runs the jobs of a grid, some at a time, so that it can be broken off and gone on with at any moment."""

import dataclasses
import signal
import time
from collections import Counter
from pathlib import Path

from common.errors import UserError
from common.experiments.grid.process import Process
from common.experiments.grid.run_progress import RunProgress, is_evaluated, is_trained, read_progress
from common.experiments.grid.table import ProgressRow, ProgressTable
from common.files import remove_temporary_files
from common.storage.grid_file import GRID_FILE, Grid, Job, JobState, check_same_grid, write_grid
from common.storage.logdir import in_use, lock_logdir
from common.training.stop import Stop

__all__ = ["Grid", "Job", "run_grid"]

POLL_SECONDS = 0.2  # seconds between two looks at the processes


def run_grid(folder: Path, grid: Grid, jobs: list[Job], parallel: int, episodes: int = 0) -> None:
    """Trains every job that is not finished, `parallel` at a time, each in a process of its own.

    episodes: of an evaluation after each training; 0 for none. A job that fails is noted in `grid.json`, and the others
    go on. Raises UserError, with nothing started or changed, if `folder` is in use or holds another grid; SystemExit
    after SIGINT or SIGTERM, when all runs have been saved.
    """
    alike = [name for name, count in Counter(job.logdir for job in jobs).items() if count > 1]
    if alike:
        raise UserError(f"Several runs would share the folder {alike[0]}. Name each version, task and seed once.")
    stop = Stop()
    with lock_logdir(folder, GRID_FILE), stop.listening():
        remove_temporary_files(folder)
        check_same_grid(folder, grid, jobs)
        GridRunner(
            folder, grid, [ScheduledJob(job, folder / job.logdir, episodes) for job in jobs], parallel, stop
        ).run()


@dataclasses.dataclass
class ScheduledJob:
    """A job, its state, and the process that works on it."""

    job: Job
    logdir: Path
    episodes: int
    state: JobState = dataclasses.field(default_factory=JobState)
    process: Process | None = None
    standing: RunProgress | None = None

    def rest(self) -> JobState:
        """The state of a job that is not at work: done, or waiting for what comes next."""
        return JobState("waiting" if self.todo() else "done")

    def todo(self) -> list[str]:
        """Words of the command that comes next; none if the job is done."""
        logdir = ["--logdir", str(self.logdir.absolute())]
        if not is_trained(self.logdir, self.job.config):
            return ["train", *self.job.words, *logdir]
        if self.episodes and not is_evaluated(self.logdir, self.episodes):
            return ["eval", *logdir, "--run.eval_episodes", str(self.episodes)]
        return []

    def start(self) -> None:
        """Begins what comes next."""
        self.process = Process(self.todo(), self.logdir.with_name(f"{self.logdir.name}.log"))
        self.state = JobState("running")

    def look(self) -> bool:
        """Takes note of a process that has ended; returns whether one has."""
        process = self.process
        if process is None or process.poll() is None:
            return False
        self.process = None
        if process.poll() != 0:
            self.state = JobState("failed", process.error())
        elif self.todo() == process.words:
            self.state = JobState("failed", "it ended without an error before it was finished")
        else:
            self.state = self.rest()
        return True

    def row(self) -> ProgressRow:
        """What the table shows."""
        if self.standing is None or self.process is not None or self.standing.share < 1:
            self.standing = read_progress(self.logdir, self.job.config)
        return ProgressRow(self.job.name, self.state.status, self.standing, self.state.error)


class GridRunner:
    """The jobs of one grid at work."""

    def __init__(self, folder: Path, grid: Grid, entries: list[ScheduledJob], parallel: int, stop: Stop):
        self.folder, self.grid, self.entries, self.parallel, self.stop = folder, grid, entries, parallel, stop
        self.table = ProgressTable(parallel)

    def run(self) -> None:
        """Works until nothing is left to do or a signal comes. Leaves no process behind, whatever happens."""
        for entry in self.entries:
            entry.state = entry.rest()
        self.save()
        print(f"{self.grid.title}. Folder: {self.folder}. Ctrl-C stops; the same command goes on.", flush=True)
        try:
            while self.having("waiting", "running"):
                self.stop_if_asked()
                if any([entry.look() for entry in self.entries]) | self.fill():
                    self.save()
                self.table.show(self.rows)
                time.sleep(POLL_SECONDS)
        finally:
            self.end(signal.SIGTERM)
            self.save()
        self.table.show(self.rows, final=True)

    def rows(self) -> list[ProgressRow]:
        """What the table shows."""
        return [entry.row() for entry in self.entries]

    def having(self, *statuses: str) -> list[ScheduledJob]:
        """Entries with one of these statuses."""
        return [entry for entry in self.entries if entry.state.status in statuses]

    def fill(self) -> bool:
        """Starts jobs as far as there is room; returns whether any was started.

        A folder in use is left for later: a run of an earlier grid may still be saving there.
        """
        room = self.parallel - len(self.having("running"))
        ready = (entry for entry in self.having("waiting") if not in_use(entry.logdir))
        started = [entry for _, entry in zip(range(room), ready, strict=False)]
        for entry in started:
            entry.start()
        return bool(started)

    def stop_if_asked(self) -> None:
        """Ends everything after a signal and leaves; a second Ctrl-C ends the runs without saving."""
        if self.stop.signal is None:
            return
        print(f"Stopping: {len(self.having('running'))} run(s) are being saved.", flush=True)
        try:
            self.end(self.stop.signal)
        except KeyboardInterrupt:
            self.end(signal.SIGINT)
        print("Stopped. The same command goes on.", flush=True)
        raise SystemExit(self.stop.exit_code)

    def end(self, number: int) -> None:
        """Sends a signal to all processes and waits for them; their jobs are to be gone on with."""
        running = [(entry, entry.process) for entry in self.entries if entry.process is not None]
        for _, process in running:
            process.send(number)
        for entry, process in running:
            process.wait()
            entry.process, entry.state = None, entry.rest()

    def save(self) -> None:
        """Writes `grid.json`."""
        write_grid(
            self.folder, self.grid, [entry.job for entry in self.entries], [entry.state for entry in self.entries]
        )
