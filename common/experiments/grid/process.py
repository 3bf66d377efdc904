"""Commands of dreamer.py in processes of their own, which never outlive the one that started them."""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1  # prctl's number for "send me a signal when my parent has gone"
LOG_TAIL_BYTES = 1 << 16  # bytes of a log in which its last error is looked for


class Process:
    """`python dreamer.py WORDS` with its output appended to `log`.

    It has a session of its own, so that Ctrl-C in a terminal reaches only the parent, which passes it on once. If the
    parent dies in any way, even killed, the system sends SIGTERM: what trains then saves and ends.
    """

    def __init__(self, words: list[str], log: Path):
        self.words, self.log, parent = words, log, os.getpid()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self.begin = output.tell()
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "dreamer.py"), *words], stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True, preexec_fn=lambda: end_with_parent(parent),
            )  # fmt: skip

    def poll(self) -> int | None:
        """Exit code, None while it runs."""
        return self.process.poll()

    def send(self, number: int) -> None:
        """Sends a signal, if it still runs."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Waits for the end; returns the exit code."""
        return self.process.wait()

    def error(self) -> str:
        """Why it failed: the last error in what it printed, else the last line, else its exit code."""
        code = self.process.poll() or 0
        if code < 0:
            return f"ended by signal {signal.Signals(-code).name}" + " (out of memory?)" * (-code == signal.SIGKILL)
        with self.log.open("rb") as file:
            file.seek(max(self.begin, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        errors = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
        return [f"exit code {code}", *lines, *errors][-1]


def end_with_parent(parent: int) -> None:
    """Runs in the new process before its program: makes it end with its parent."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it has died in between
            os._exit(1)
