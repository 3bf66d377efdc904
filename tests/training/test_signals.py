"""Signals in a process of its own: checkpoint, message, exit code, exact resume."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.training.stop import Stop
from common.training.train import train
from tests.helpers.run_fakes import FakeFactory, SlowAgent, config, lines

HERE = Path(__file__).parents[1] / "helpers"
STEPS = 240


def start(logdir):
    path = logdir.with_suffix(".json")
    path.write_text(json.dumps(config(logdir, steps=STEPS)))
    paths = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
    command = [sys.executable, str(HERE / "run_fakes.py"), str(path)]
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def wait_for(logdir, frames):
    """Wait until the run has logged `frames`."""
    metrics = logdir / "metrics.jsonl"
    for _ in range(600):
        if metrics.exists() and any(json.loads(x)["frames"] >= frames for x in metrics.read_text().splitlines()):
            return
        time.sleep(0.05)
    raise TimeoutError(frames)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.long),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.long),
        (signal.SIGUSR1, 138),
    ],
)
def test_a_signal_saves_and_the_same_command_resumes_exactly(tmp_path, number, code):
    process = start(tmp_path / "run")
    wait_for(tmp_path / "run", 80)
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Saved at frame" in printed
    assert "rerun the same command" in printed
    assert "Traceback" not in printed
    assert lines(tmp_path / "run")[-1]["frames"] < STEPS
    train(config(tmp_path / "run", steps=STEPS), FakeFactory(SlowAgent))
    train(config(tmp_path / "straight", steps=STEPS), FakeFactory())
    assert lines(tmp_path / "run") == lines(tmp_path / "straight")


def test_an_ignored_hangup_stays_ignored():
    """A run under nohup survives the end of its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop().listening():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGUSR1) not in (signal.SIG_IGN, signal.SIG_DFL)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_killed_run_resumes_exactly(tmp_path):
    process = start(tmp_path / "run")
    wait_for(tmp_path / "run", 120)
    process.kill()
    process.communicate(timeout=60)
    train(config(tmp_path / "run", steps=STEPS), FakeFactory())
    train(config(tmp_path / "straight", steps=STEPS), FakeFactory())
    assert lines(tmp_path / "run") == lines(tmp_path / "straight")
