"""Runs of a grid as arrays of SLURM jobs, through submitit. All machines share the folder of the grid."""

import functools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.experiments.grid import process
from common.experiments.grid.launcher import Command, LaunchedCommand
from common.experiments.grid.remote_command import RemoteCommand
from common.experiments.grid.worker import CommandResult, Worker

CLUSTER = "slurm"  # submitit's name for it; tests use its `local` and `debug`
PROGRAMS = ("sbatch", "srun")
JOB_FOLDER = "slurm"  # in the folder of the grid: scripts and logs of the jobs
MAX_TIMEOUTS = 1000  # requeues of a run that is longer than the time limit of a job
TIME_LIMIT_MINUTES = 24 * 60  # of a job, unless --slurm time=... is given
STOP_SECONDS = 120  # before the time limit, SLURM sends the signal to save


class SlurmLauncher:
    """Submits commands as job arrays. A job that is pre-empted or reaches its time limit saves and is queued again."""

    shows_host = True

    def __init__(self, folder: Path, resources: dict[str, int], options: dict[str, str], parallel: int):
        try:
            import submitit
        except ImportError as error:
            raise UserError(f"--launcher slurm needs another package: pip install submitit ({error}).") from error
        if CLUSTER == "slurm" and not all(map(shutil.which, PROGRAMS)):
            raise UserError(
                f"SLURM's programs {' and '.join(PROGRAMS)} are not on this machine. Start the command where they are, "
                "usually on a login node. For another scheduler: --index N does one run of the grid."
            )
        self.submitit, self.folder = submitit, folder.absolute()
        self.parameters = {
            "name": "dreamer", "timeout_min": TIME_LIMIT_MINUTES, "cpus_per_task": max(1, resources["cpu"]),
            "gpus_per_node": resources["gpu"], "slurm_array_parallelism": parallel,
            "slurm_signal_delay_s": STOP_SECONDS, "slurm_stderr_to_stdout": True,
            "slurm_additional_parameters": options,
        }  # fmt: skip

    @functools.cached_property
    def executor(self) -> Any:
        """The executor that submits the jobs. It makes a folder, so it is made after the check of the grid's folder."""
        where = self.folder / JOB_FOLDER
        made = self.submitit.AutoExecutor(where, cluster=CLUSTER, slurm_max_num_timeout=MAX_TIMEOUTS)
        made.update_parameters(**self.parameters)
        return made

    def start(self, commands: Sequence[Command]) -> list[LaunchedCommand]:
        """Submit the commands as one array."""
        if not commands:
            return []
        count = len(commands)
        jobs = self.executor.map_array(
            SlurmRun(), [str(process.ROOT)] * count, [command.words for command in commands],
            [command.logdir.absolute() for command in commands], [self.folder] * count,
        )  # fmt: skip
        return [SlurmCommand(job, command) for job, command in zip(jobs, commands, strict=True)]

    def close(self) -> None:
        """Do nothing: the jobs have ended."""


class SlurmRun:
    """The function of a job, with what submitit calls before a job is queued again."""

    def __init__(self) -> None:
        self.worker = Worker()

    def __call__(self, root: str, words: list[str], logdir: Path, folder: Path) -> tuple:
        """Run a command in the job."""
        return tuple(self.worker.run(root, words, logdir, folder))

    def checkpoint(self, *arguments: Any) -> Any:
        """Let the run save, and return the same command for the next job."""
        import submitit

        self.worker.stop()
        return submitit.helpers.DelayedSubmission(SlurmRun(), *arguments)

    def __getstate__(self) -> dict[str, Any]:
        return {"worker": Worker()}  # a process cannot be stored


class SlurmCommand(RemoteCommand):
    """A command that runs as a job of SLURM."""

    def __init__(self, job: Any, command: Command):
        super().__init__(command)
        self.job = job

    def has_ended(self) -> bool:
        """Whether SLURM has ended the job."""
        return bool(self.job.done())

    def fetch(self) -> CommandResult:
        """Return the result of the job."""
        try:
            return CommandResult(*self.job.result())
        except Exception as error:  # of submitit, or raised in the job
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return CommandResult(1, f"job {self.job.job_id} ended without a result ({self.job.state}): {lines[-1]}")

    def await_end(self) -> None:
        """Return once it has ended."""
        self.job.wait()

    def send(self, number: int) -> None:
        """Cancel the job. SLURM sends SIGTERM to the run, which saves."""
        self.job.cancel(check=False)
