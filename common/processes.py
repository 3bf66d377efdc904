"""Processes and threads that environments leave behind: they end with the command, also if it is killed.

Run as a script, this file is the reaper: a small process that ends the registered processes once its parent has died.
"""

import atexit
import contextlib
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from multiprocessing import resource_tracker
from pathlib import Path
from typing import NoReturn

END_SECONDS = 1.0  # between SIGTERM and SIGKILL, and for threads that are about to end
EXIT_SECONDS = 10.0  # for functions that an environment has registered with atexit
POLL_SECONDS = 0.3  # between two looks of the reaper at its parent


class Reaper:
    """Starts the reaper when the first process is registered, and ends with it."""

    def __init__(self) -> None:
        self.process: subprocess.Popen | None = None
        self.owner = 0  # process that started it; a fork of it needs another one

    def register(self, pids: Iterable[int]) -> None:
        """End these processes, their descendants and the sessions that they lead, once this process has died."""
        lines = [f"{pid} {_start_time(pid)}\n" for pid in pids]
        if not lines:
            return
        if self.process is None or self.owner != os.getpid():
            self.owner = os.getpid()
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(self.owner)], stdin=subprocess.PIPE, cwd="/",
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, text=True,
            )  # fmt: skip
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # a user has ended it
            self.process.stdin.write("".join(lines))
            self.process.stdin.flush()

    def owned(self) -> set[int]:
        """Return the process id of the reaper of this process, if there is one."""
        return {self.process.pid} if self.process is not None and self.owner == os.getpid() else set()

    def stop(self) -> None:
        """End the reaper of this process."""
        if self.owned():
            assert self.process is not None
            self.process.kill()
            self.process.wait()
            self.process = None


reaper = Reaper()


def has_children() -> bool:
    """Whether this process has a child, also one that has ended and was not waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def foreign_children() -> set[int]:
    """Return the ids of this process's children, except the helpers of Python and of this module.

    Empty where the system has no /proc.
    """
    helpers = {getattr(getattr(resource_tracker, "_resource_tracker", None), "_pid", None)}
    return set(_children(os.getpid())) - helpers - reaper.owned()


def end_children() -> None:
    """End the children of this process and their descendants: by SIGTERM, after a second by SIGKILL."""
    end_trees(foreign_children() | {process.pid for process in multiprocessing.active_children() if process.pid})


def end_trees(pids: Iterable[int]) -> None:
    """End processes and their descendants: by SIGTERM, after a second by SIGKILL."""
    members = {member for pid in pids for member in (pid, *_descendants(pid))}
    for number in (signal.SIGTERM, signal.SIGKILL):
        _send(members, number)
        end = time.monotonic() + END_SECONDS
        while members and time.monotonic() < end:
            members = {pid for pid in members if _is_running(pid)}
            time.sleep(0.005 if members else 0)


def kill_session(pid: int) -> None:
    """Kill a process, its descendants, and the members of its session if it leads one; it may have ended."""
    members = {pid, *_descendants(pid), *_session(pid)}
    if os.getsid(0) == pid:  # never this process's own session
        return
    _send(members, signal.SIGKILL)
    if not Path("/proc").is_dir():
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)


def left_threads() -> list[threading.Thread]:
    """Return the threads for which Python would wait at its end, except this one."""
    return [each for each in threading.enumerate() if not each.daemon and each is not threading.current_thread()]


def end_leftovers() -> bool:
    """End the children of this process and wait a second for its threads. Return whether all threads have ended."""
    end_children()
    end = time.monotonic() + END_SECONDS
    for thread in left_threads():
        if thread is not threading.main_thread():
            thread.join(max(0, end - time.monotonic()))
    return not left_threads()


def end_command(code: int) -> NoReturn:
    """End this process with an exit code, even if threads, processes or exit functions of an environment do not end."""
    try:
        ended = end_leftovers()
    finally:
        reaper.stop()
    threading.Thread(target=_end_late, args=(code,), daemon=True).start()
    if ended:
        sys.exit(code)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _end_late(code: int) -> None:
    """End this process after `EXIT_SECONDS`, if it has not ended before."""
    time.sleep(EXIT_SECONDS)
    print(
        f"Note: a function of atexit took over {EXIT_SECONDS:g} seconds and was stopped.", file=sys.stderr, flush=True
    )
    os._exit(code)


def end_worker() -> None:
    """End what the environment of this worker process left behind; end the process if a thread remains."""
    if not end_leftovers():
        os._exit(0)


def _send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def _read(path: str) -> str:
    """Return the content of a file in /proc; empty if the process has ended or the system has no such file."""
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _stat(pid: int | str) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on: state, parent, group, session, ..."""
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _start_time(pid: int) -> str:
    """Return the start of a process in ticks since boot; - if it has ended or the system does not report it."""
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 else "-"


def _is_running(pid: int) -> bool:
    fields = _stat(pid)
    if fields or Path("/proc/self").exists():
        return bool(fields) and fields[0] not in "ZX"
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _children(pid: int) -> list[int]:
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [int(child) for thread in threads for child in _read(f"/proc/{pid}/task/{thread}/children").split()]


def _descendants(pid: int) -> list[int]:
    """Return the descendants of a process, parents before children."""
    found = _children(pid)
    for child in found:  # grows
        found += _children(child)
    return found


def _session(leader: int) -> list[int]:
    """Return the members of the session that a process leads."""
    pids = [name for name in os.listdir("/proc") if name.isdigit()] if Path("/proc").is_dir() else []
    return [int(pid) for pid in pids if (fields := _stat(pid)) and fields[3] == str(leader)]


def _reap(parent: int) -> None:
    """Read lines `PID START` until the parent has died, then kill the processes that are still the same ones."""
    text, alive, chunk = b"", True, b"-"
    while alive or chunk:
        alive = os.getppid() == parent  # if it has died, read what it had already written
        chunk = b""
        if select.select([0], [], [], POLL_SECONDS if alive else 0)[0]:
            chunk = os.read(0, 1 << 16)
            text += chunk
            if alive and not chunk:  # the pipe is closed: nothing more to wait for but the end of the parent
                time.sleep(POLL_SECONDS)
    for line in text.decode().splitlines():
        pid, start = line.split()
        if _start_time(int(pid)) in (start, "-"):  # a leader that has ended may leave members of its session
            kill_session(int(pid))


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(ignored, signal.SIG_IGN)
    _reap(int(sys.argv[1]))
