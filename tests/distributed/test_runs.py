"""Runs that torchrun starts: the same as alone with one rank, exactly resumed with two, and clear about a lost one."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from common.storage.checkpoints import Checkpoints
from tests.helpers.command_line import expect_error, run_in_fork

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["--configs", "debug", "--task", "dummy", "--run.envs", "3", "--batch_size", "5", "--run.eval_every", "100"]
#: Entries of a checkpoint that name a process, a time or a file, or that such entries shift.
PRIVATE = ("wall", "ident", "token", "offset", "time/left", "fps/", "timing/", "logdir", "generation", "logger.means")
SECONDS = 120


def words_of(logdir, steps, algo="v3", *more):
    return ["--algo", algo, *FLAGS, "--steps", str(steps), "--run.save_every", "100", "--logdir", str(logdir), *more]


def torchrun(ranks, words, *options):
    """Starts dreamer.py in several processes."""
    options = options or ("--standalone",)
    launcher = [sys.executable, "-m", "torch.distributed.run", *options, "--nproc-per-node", str(ranks)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True}
    return subprocess.Popen([*launcher, "dreamer.py", *words], cwd=ROOT, env=env, **pipes)


def finished(process):
    """Waits for the end; returns exit code and output. Kills all processes after SECONDS."""
    try:
        output, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, output


def run(ranks, words):
    code, output = finished(torchrun(ranks, words))
    assert code == 0, output
    return output


def entries(tree, name=""):
    """Leaves of nested dicts and lists by dotted name, without private ones."""
    if isinstance(tree, dict | list | tuple):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {k: v for key, value in items for k, v in entries(value, f"{name}.{key}").items()}
    return {} if any(part in name for part in PRIVATE) else {name: tree}


def assert_same_runs(one, other, ranks):
    """The newest checkpoints of all ranks are equal."""
    for folder in ["checkpoints", *(f"ranks/{rank:03d}/checkpoints" for rank in range(1, ranks))]:
        a, b = (entries(Checkpoints(Path(run) / folder).load()) for run in (one, other))
        assert a.keys() == b.keys()
        for key, value in a.items():
            same = torch.equal if torch.is_tensor(value) else np.array_equal
            assert same(value, b[key]), (folder, key)


def wait_for_frames(logdir, frames):
    """Waits until the run has a checkpoint at `frames` or later."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        path = Path(logdir, "run.json")
        if path.exists() and json.loads(path.read_text()).get("frames", 0) >= frames:
            return
        time.sleep(0.05)
    raise AssertionError(f"no checkpoint at frame {frames}")


def workers_of(process):
    """Process ids of the ranks, by rank."""
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
    return sorted(map(int, found.stdout.split()))


@pytest.mark.long
def test_one_rank_is_the_same_as_no_torchrun(tmp_path):
    words = lambda name: words_of(tmp_path / name, 300)
    subprocess.run(
        [sys.executable, "dreamer.py", *words("alone")],
        cwd=ROOT,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    run(1, words("ranks"))
    assert_same_runs(tmp_path / "alone", tmp_path / "ranks", 1)


@pytest.mark.long
def test_a_killed_rank_ends_the_run_which_then_resumes_exactly(tmp_path):
    """Also: another number of ranks is refused, and `reshard` prepares the run for it."""
    straight, cut = tmp_path / "straight", tmp_path / "cut"
    run(2, words_of(straight, 400))
    process = torchrun(2, words_of(cut, 400))
    wait_for_frames(cut, 100)
    begin = time.monotonic()
    os.kill(workers_of(process)[1], signal.SIGKILL)
    code, output = finished(process)
    assert code != 0
    assert time.monotonic() - begin < 60
    assert output.count("Error: Rank 1 of 2 has ended without an error message") == 1
    assert "The same command resumes from the last checkpoint." in output
    assert "Resumed at frame" in run(2, words_of(cut, 400))
    assert_same_runs(straight, cut, 2)

    alone = ["train", *words_of(cut, 500)]
    expect_error(*alone, cwd=tmp_path, says="trained by 2 process(es), and now there are 1")
    new = tmp_path / "new"
    resharding = run_in_fork("reshard", cut, "--ranks", "1", "--out", new, cwd=tmp_path)
    assert "for 1 process(es) instead of 2, with 4" in resharding.stdout, resharding.stderr
    one, two = (Checkpoints(folder / "checkpoints").load() for folder in (cut, new))
    assert all(torch.equal(value, two["agent"][key]) for key, value in one["agent"].items() if torch.is_tensor(value))
    assert two["counters"] == one["counters"]


@pytest.mark.long
def test_a_launcher_restarts_a_run_after_a_lost_rank(tmp_path):
    process = torchrun(2, words_of(tmp_path / "run", 600), "--standalone", "--max-restarts", "2")
    wait_for_frames(tmp_path / "run", 100)
    os.kill(workers_of(process)[1], signal.SIGKILL)
    code, output = finished(process)
    assert code == 0, output
    assert output.count("Resumed at frame") == output.count("Finished: ") == 1


@pytest.mark.long
def test_two_launchers_restart_a_run_after_a_lost_rank(tmp_path):
    """Only the launcher of the lost rank counts a restart."""
    with contextlib.closing(socket.create_server(("localhost", 0))) as free:
        port = free.getsockname()[1]
    options = ["--nnodes", "2", "--max-restarts", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{port}"]
    launchers = [torchrun(1, words_of(tmp_path / "run", 600), *options) for _ in range(2)]
    wait_for_frames(tmp_path / "run", 100)
    os.kill(workers_of(launchers[1])[0], signal.SIGKILL)
    ends = [finished(launcher) for launcher in launchers]
    assert [code for code, _ in ends] == [0, 0], ends
    assert sum(output.count("Resumed at frame") for _, output in ends) == 1
    assert sum(output.count("Finished: ") for _, output in ends) == 1


@pytest.mark.long
@pytest.mark.parametrize("algo", ["v1", "v2", "v3", "v3-2023"])
def test_killed_at_random_moments(tmp_path, algo):
    """Five kills of a random rank: the run still ends as one that nobody stopped."""
    straight, cut, draws = tmp_path / "straight", tmp_path / "cut", random.Random(algo)
    run(2, words_of(straight, 400, algo))
    for _ in range(5):
        process = torchrun(2, words_of(cut, 400, algo))
        time.sleep(draws.uniform(3, 14))
        if workers := workers_of(process):
            os.kill(draws.choice(workers), signal.SIGKILL)
        finished(process)
    run(2, words_of(cut, 400, algo))
    assert_same_runs(straight, cut, 2)


@pytest.mark.long
def test_a_signal_saves_all_ranks(tmp_path):
    straight, cut = tmp_path / "straight", tmp_path / "cut"
    run(2, words_of(straight, 300))
    process = torchrun(2, words_of(cut, 300))
    wait_for_frames(cut, 100)
    process.send_signal(signal.SIGTERM)
    code, output = finished(process)
    assert code != 0
    assert output.count("Saved at frame") == 1
    run(2, words_of(cut, 300))
    assert_same_runs(straight, cut, 2)


@pytest.mark.parametrize(("words", "says"), [
    (["--run.envs", "1"], "run.envs is 1, too few for 2 processes: add --run.envs 2 or more"),
    pytest.param(["--batch_size", "1"], "batch_size is 1, too few for 2 processes", marks=pytest.mark.long),
    pytest.param(["--task", "dummy_unknown"], "dummy_unknown", marks=pytest.mark.long),
    pytest.param(["--optim.lr", "1"], "Unknown key 'optim.lr'", marks=pytest.mark.long),
])  # fmt: skip
def test_a_wrong_setting_is_reported_once(tmp_path, words, says):
    code, output = finished(torchrun(2, [*words_of(tmp_path / "run", 100), *words]))
    assert code != 0
    assert output.count("Error: ") - output.count("ChildFailedError: ") == 1, output
    assert says in output
    assert not (tmp_path / "run").exists()
