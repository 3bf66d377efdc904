"""Commands of dreamer.py in separate processes that never outlive their parent."""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1  # prctl's number for "send me a signal when my parent dies"
LOG_TAIL_BYTES = 1 << 16  # end of a log that is searched for the last error


def program(root: Path | None = None) -> list[str]:
    """Return the words that start dreamer.py in a checkout, or the installed package."""
    script = (root or ROOT) / "dreamer.py"
    return [sys.executable, str(script)] if script.is_file() else [sys.executable, "-P", "-m", "dreamer"]


class Process:
    """`python dreamer.py WORDS` with its output appended to `log`.

    The process has its own session, so Ctrl-C in a terminal reaches only the parent, which forwards it once. If the
    parent dies, even by SIGKILL, the system sends SIGTERM: a training run then saves and ends.
    """

    def __init__(self, words: list[str], log: Path, root: Path | None = None):
        self.words, self.log, parent = words, log, os.getpid()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self.log_start = output.tell()
            self.process = subprocess.Popen(
                [*program(root), *words], stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True, preexec_fn=lambda: end_with_parent(parent),
            )  # fmt: skip
        self.poll, self.wait, self.send = self.process.poll, self.process.wait, self.process.send_signal

    @property
    def host(self) -> str:
        """Empty: this machine needs no name."""
        return ""

    def error(self) -> str:
        """Return the reason of a failure: the last error in the output, else the last line, else the exit code."""
        code = self.poll() or 0
        if code < 0:
            return f"ended by signal {signal.Signals(-code).name}" + " (out of memory?)" * (-code == signal.SIGKILL)
        with self.log.open("rb") as file:
            file.seek(max(self.log_start, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        errors = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
        return [f"exit code {code}", *lines, *errors][-1]


def end_with_parent(parent: int) -> None:
    """Make the process end with its parent. Runs in the new process, before its program."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before prctl
            os._exit(1)


def log_of(logdir: Path) -> Path:
    """Return the file with the output of a run of a grid."""
    return logdir.with_name(f"{logdir.name}.log")
