"""Work of one worker of Ray or SLURM: one command of a grid, in a process on its machine, in the shared folder."""

import signal
import socket
import time
from pathlib import Path
from typing import NamedTuple

from common.experiments.grid.process import Process, log_of
from common.files import write_text
from common.storage.grid_file import GRID_FILE, lost_file
from common.storage.logdir import in_use

POLL_SECONDS = 0.2
WAIT_FOR_LOCK_SECONDS = 120.0  # for a run whose worker was lost and may still be saving
UNSAFE_LOCK = (
    "{host} does not see that another machine has locked {folder}: file locks do not work between machines there. "
    "Two workers that get the same run would both do it."
)


class CommandResult(NamedTuple):
    """Exit code of a command, the reason of a failure, and a warning about the folder."""

    code: int
    error: str = ""
    warning: str = ""


def host_file(logdir: Path) -> Path:
    """Return the file with the name of the machine that computes a run."""
    return logdir.with_name(f"{logdir.name}.host")


def record_start(logdir: Path, host: str) -> None:
    """Store the machine of a run. If the last worker of the same command was lost, store that one as lost."""
    current = host_file(logdir)
    if current.exists():  # the command's start and a worker that was stopped remove it, a lost worker does not
        with lost_file(logdir).open("a") as file:
            file.write(f"{current.read_text()}\n")
    write_text(current, host)


class Worker:
    """Runs one command. `stop` may be called from a signal handler while it runs."""

    def __init__(self) -> None:
        self.process: Process | None = None
        self.logdir: Path | None = None

    def run(self, root: str, words: list[str], logdir: Path, folder: Path) -> CommandResult:
        """Run `dreamer.py WORDS` of the checkout `root` to its end.

        folder: the grid's, which another process has locked. An exception, such as KeyboardInterrupt, stops the command
        as `stop` does, and is raised again.
        """
        host = socket.gethostname()
        if not (folder / GRID_FILE).exists():
            return CommandResult(2, f"{host} does not see {folder}: give --logdir a folder that all machines share")
        warning = "" if in_use(folder) else UNSAFE_LOCK.format(host=host, folder=folder)
        end = time.monotonic() + WAIT_FOR_LOCK_SECONDS
        while in_use(logdir) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        logdir.parent.mkdir(parents=True, exist_ok=True)
        record_start(logdir, host)
        self.logdir, self.process = logdir, Process(words, log_of(logdir), Path(root))
        try:
            while self.process.poll() is None:
                time.sleep(POLL_SECONDS)
        except BaseException:
            self.stop()
            raise
        code = self.process.poll() or 0
        return CommandResult(code, self.process.error() if code else "", warning)

    def stop(self) -> None:
        """Let the run save and end, and wait for it."""
        if self.process is not None:
            self.process.send(signal.SIGTERM)
            self.process.wait()
        if self.logdir is not None:
            host_file(self.logdir).unlink(missing_ok=True)
