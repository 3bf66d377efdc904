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


def dreamer(*words, cwd, timeout=120) -> subprocess.CompletedProcess:
    """`python dreamer.py WORDS` with one thread, in `cwd`."""
    command = [sys.executable, str(ROOT / "dreamer.py"), *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)


forks = functools.cache(Forks)


def forked(*words, cwd) -> subprocess.CompletedProcess:
    """The same in a forked process that has imported everything, which saves seconds."""
    return forks().run([str(word) for word in words], cwd)


def here(*words, cwd) -> subprocess.CompletedProcess:
    """The same in this process, for short commands."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = program.main([str(word) for word in words])
    return subprocess.CompletedProcess(words, code, out.getvalue(), errors.getvalue())


def refused(*words, cwd, says=()) -> str:
    """Runs a command that must fail without a traceback; returns its only error message."""
    done = here(*words, cwd=cwd)
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
