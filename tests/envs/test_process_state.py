"""Process-wide state that an environment changes, and processes and threads that it leaves behind."""

import contextlib
import gc
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from common.envs import make_env, make_envs
from common.nn import rng
from common.signals import STOP_SIGNALS
from common.training.stop import Stop

MEDDLING = "tests.helpers.meddling_envs"
ROOT = Path(__file__).parents[2]
BOTH = pytest.mark.parametrize("parallel", ["none", "process"])


def play(envs, steps):
    """Return the observations of a reset and `steps` steps, (steps + 1, n, 3)."""
    records = [envs.reset(), *(envs.step(np.zeros(envs.num, int)) for _ in range(steps))]
    assert envs.messages() == []
    return np.array([record["vector"] for record in records])


def draw():
    return [random.random(), random.gauss(), np.random.randn(), torch.rand(()).item()]  # noqa: NPY002


@pytest.mark.parametrize("task", ["Reseeds", "Draws"])
def test_our_generators_continue_as_if_there_was_no_environment(task):
    rng.seed_all(7)
    expected = [draw() for _ in range(12)]
    rng.seed_all(7)
    drawn = []
    with make_envs(f"{MEDDLING}:{task}", None, 2, parallel="none") as envs:
        envs.reset()
        for _ in range(12):
            drawn.append(draw())
            envs.step(np.zeros(2, int))
    assert drawn == expected


def test_an_environment_sees_its_own_generators_continue():
    """Also NumPy's spare Gaussian number, which its generator keeps outside its state."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    expected = [[random.random(), np.random.randn(), torch.rand(()).item()] for _ in range(6)]  # noqa: NPY002
    with make_envs(f"{MEDDLING}:Reseeds", None, 2, parallel="none") as envs:
        seen = play(envs, 5)
    assert np.array_equal(seen[:, 0], np.array(expected, np.float32))
    assert np.array_equal(seen[:, 1], seen[:, 0])


def test_numbers_from_the_process_wide_generators_follow_the_seed_of_the_episode():
    runs = []
    for parallel in ("none", "process"):
        with make_envs(f"{MEDDLING}:Draws", None, 2, seed=3, parallel=parallel) as envs:
            runs.append(play(envs, 8))
    assert np.array_equal(*runs)
    assert len(np.unique(runs[0][..., 0])) == runs[0][..., 0].size
    with make_envs(f"{MEDDLING}:Draws", None, 2, seed=3) as envs:
        record = play(envs, 3)[-1]
        assert np.array_equal(envs.restore(envs.state())["vector"], record)
        assert envs.messages() == []


def test_settings_hold_inside_the_environment_only():
    before = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), np.geterr(), gc.isenabled()
    with make_envs(f"{MEDDLING}:Settles", None, 1) as envs:
        for _ in range(3):
            assert play(envs, 2).all()
            now = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), np.geterr()
            assert (*now, gc.isenabled()) == before
            assert torch.zeros(1).device.type == "cpu"


def changeable():
    """Return the working directory, the umask, the recursion limit and the filters of warnings."""
    mask = os.umask(0o022)
    os.umask(mask)
    return os.getcwd(), mask, sys.getrecursionlimit(), list(warnings.filters)


def test_folder_umask_and_filters_of_warnings_hold_inside_the_environment_only():
    before = changeable()
    with make_envs(f"{MEDDLING}:SettlesMore", None, 1) as envs:
        for _ in range(2):
            assert play(envs, 2).all()
            assert changeable() == before
    assert changeable() == before


def test_an_environment_may_delete_its_working_directory():
    before = os.getcwd()
    for _ in range(2):  # the name of the second one is looked up in our folder
        with make_envs(f"{MEDDLING}:LosesFolder", None, 1) as envs:
            play(envs, 2)
        assert os.getcwd() == before


ENDING = """
import sys
from common import processes
from common.envs import make_env
processes.EXIT_SECONDS = 0.2
for task in sys.argv[1:]:
    for _ in range(2):
        env = make_env(task)
        env.reset()
        env.step(0)
        del env
        print("printed")
processes.end_command(5)
"""


def end(*tasks):
    """Return the process of a command that makes two environments of each task."""
    command = [sys.executable, "-c", ENDING, *(f"{MEDDLING}:{task}" for task in tasks)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_stdout_stays_open_after_an_environment_took_or_closed_it():
    done = end("TakesStdout", "DetachesStdout", "ClosesStdout")
    assert (done.stdout, done.stderr, done.returncode) == ("printed\n" * 6, "", 5)


def test_a_command_ends_despite_an_exit_function_of_its_environment():
    done = end("LingersAtExit")
    assert done.returncode == 5
    assert "a function of atexit took over 0.2 seconds" in done.stderr


def test_signals_stay_ours():
    stop = Stop()
    with stop.listening(), make_envs(f"{MEDDLING}:TakesSignals", None, 1) as envs:
        play(envs, 3)
        for number in STOP_SIGNALS:
            signal.raise_signal(number)  # to this thread: another one would only make this one run the handler later
            assert stop.signal == number
        assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
        assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_workers_ignore_signals_that_their_environment_takes():
    with make_envs(f"{MEDDLING}:TakesSignals", None, 1, parallel="process") as envs:
        play(envs, 2)
        for number in STOP_SIGNALS:
            os.kill(envs.slots[0].env.pid, number)
        envs.step(np.zeros(1, int))
        assert envs.messages() == []


def running(pids):
    """Return the processes that have not ended, after at most five seconds."""
    for _ in range(100):
        left = [pid for pid in pids if _state(pid) not in ("", "Z")]
        if not left:
            break
        time.sleep(0.05)
    return left


def _state(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


@pytest.fixture
def pids(tmp_path, monkeypatch):
    """Read the ids of the processes that an environment has started."""
    monkeypatch.setenv("PIDS", str(tmp_path / "pids"))
    return lambda: [int(line) for line in (tmp_path / "pids").read_text().split()]


@pytest.mark.parametrize("end", ["close", "kill"])
def test_processes_of_an_environment_end_with_its_worker(end, pids):
    envs = make_envs(f"{MEDDLING}:StartsProcesses", None, 2, parallel="process")
    probed = set(pids())
    play(envs, 3)
    started = set(pids()) - probed
    assert len(started) == 4
    if end == "kill":
        for slot in envs.slots:
            slot.env.stop(grace=0)
    envs.close()
    assert not running(started)
    for process in multiprocessing.active_children():  # of the probe, which this process made
        process.kill()
    for pid in probed:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


SCRIPT = """
import sys
from common.envs import make_envs
from common.processes import end_command
if __name__ == "__main__":
    envs = make_envs(sys.argv[1], None, 2, parallel=sys.argv[2])
    envs.reset()
    print("ready", flush=True)
    if sys.argv[3] == "finish":
        envs.close()
        end_command(5)
    sys.stdin.read()
"""


@BOTH
@pytest.mark.parametrize("end", ["finish", "killed"])
def test_nothing_outlives_a_command(end, parallel, pids, tmp_path):
    """A thread, a forked process and a program in its own session, whether the command finishes or is killed."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), f"{MEDDLING}:LeavesThread", parallel, end]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=env, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    if end == "killed":
        process.kill()
    assert process.wait(30) == (-signal.SIGKILL if end == "killed" else 5)
    assert len(pids()) == 6
    assert not running(pids())


def test_a_command_ends_despite_a_thread_of_its_environment(pids):
    command = [sys.executable, "dreamer.py", "check-env", f"{MEDDLING}:LeavesThread", "--limit", "10"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, env={**os.environ})
    assert "Traceback" not in done.stderr
    assert not running(pids())


def test_an_environment_that_is_rendered_and_closed_leaves_our_settings():
    env = make_env(f"{MEDDLING}:Settles")
    env.close()
    assert torch.get_default_dtype() == torch.float32
