"""Runs of real command lines: in a new process, in a forked process or in this one."""

import contextlib
import functools
import io
import os
import pathlib
import subprocess
import sys

import dreamer as program
from tests.helpers.forking import Forks

ROOT = pathlib.Path(__file__).parents[2]
SHORT = ["--steps", "120", "--run.prefill", "20", "--run.eval_every", "0", "--run.video_every", "60"]
SHORT += ["--run.save_every", "60", "--replay.capacity", "2000"]


def run_in_new_process(*words, cwd, timeout=120) -> subprocess.CompletedProcess:
    """`python dreamer.py WORDS` in a new process with one thread."""
    command = [sys.executable, str(ROOT / "dreamer.py"), *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)


forks = functools.cache(Forks)


def run_in_fork(*words, cwd) -> subprocess.CompletedProcess:
    """`python dreamer.py WORDS` in a forked process that has imported everything, which saves seconds."""
    return forks().run([str(word) for word in words], cwd)


def run_in_this_process(*words, cwd) -> subprocess.CompletedProcess:
    """`python dreamer.py WORDS` in this process, for short commands."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = program.main([str(word) for word in words])
    return subprocess.CompletedProcess(words, code, out.getvalue(), errors.getvalue())


def expect_error(*words, cwd, says=()) -> str:
    """Run a command that must end with exit code 2 and one error; return its message, which contains `says`."""
    done = run_in_this_process(*words, cwd=cwd)
    assert done.returncode == 2, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    everything = done.stdout + done.stderr
    assert "Traceback" not in everything, everything
    messages = ("\n" + done.stderr).split("\nError: ")[1:]
    assert len(messages) == 1, done.stderr
    for text in [says] if isinstance(says, str) else says:
        assert text in messages[0], messages[0]
    return messages[0]


def snapshot(folder) -> dict:
    """Content of every file below `folder` except the lock."""
    files = (path for path in pathlib.Path(folder).rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path): path.read_bytes() for path in files}
