"""Jobs in separate processes: parallel, failing, skipped, stopped and continued."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.errors import UserError
from common.experiments.grid.runner import run_grid
from common.storage.grid_file import JobState, write_grid
from tests.helpers.grid_fakes import FAKE, GRID, job, rows, statuses

HERE = Path(__file__).parents[1] / "helpers"


@pytest.fixture(autouse=True)
def fake_training(monkeypatch):
    monkeypatch.setattr("common.experiments.grid.process.ROOT", FAKE)
    monkeypatch.setattr("common.experiments.grid.runner.POLL_SECONDS", 0.02)


def times(folder):
    """Return (begin, end) of all training processes."""
    return [json.loads(line) for path in folder.rglob("times.jsonl") for line in path.read_text().splitlines()]


@pytest.mark.parametrize("parallel", [1, 2, 3])
def test_no_more_than_parallel_jobs_run_at_a_time(tmp_path, parallel):
    run_grid(tmp_path / "grid", GRID, [job("good", seed) for seed in range(4)], parallel)
    spans = times(tmp_path / "grid")
    assert len(spans) == 4
    assert max(sum(begin <= start < end for begin, end in spans) for start, _ in spans) <= parallel
    assert set(statuses(tmp_path / "grid").values()) == {"done"}


def test_grid_json_lists_runs_and_folders(tmp_path):
    run_grid(tmp_path / "grid", GRID, [job("good:Task", 3, variant="a b")], 1)
    stored = json.loads((tmp_path / "grid/grid.json").read_text())
    assert {key: stored[key] for key in GRID._fields} == GRID._asdict()
    assert stored["jobs"] == [
        {
            "name": "a b/good:Task/3", "variant": "a b", "task": "good:Task", "seed": 3,
            "logdir": "runs/a_b/good_Task/3", "status": "done", "error": None,
            "words": ["--task", "good:Task", "--steps", "100"],
        }
    ]  # fmt: skip
    assert (tmp_path / "grid/runs/a_b/good_Task/3/run.json").exists()


def test_a_failed_job_is_recorded_with_its_error_and_the_others_continue(tmp_path, capsys):
    run_grid(tmp_path / "grid", GRID, [job(task) for task in ("bad", "killed", "idle", "good")], 2)
    found = rows(tmp_path / "grid")
    assert {name: row["status"] for name, row in found.items()} == {
        "a/bad/0": "failed", "a/killed/0": "failed", "a/idle/0": "failed", "a/good/0": "done",
    }  # fmt: skip
    assert found["a/bad/0"]["error"] == "the motor is on fire."
    assert found["a/killed/0"]["error"] == "ended by signal SIGKILL (out of memory?)"
    assert "before it was finished" in found["a/idle/0"]["error"]
    assert "a/bad/0  failed  0%  0 frames  0 updates  the motor is on fire." in capsys.readouterr().out
    assert "in two lines" in (tmp_path / "grid/runs/a/bad/0.log").read_text()


def test_finished_jobs_are_skipped_and_failed_jobs_are_retried(tmp_path):
    jobs = [job("good"), job("bad")]
    run_grid(tmp_path / "grid", GRID, jobs, 2)
    before = (tmp_path / "grid/runs/a/good/0/run.json").stat().st_mtime_ns
    run_grid(tmp_path / "grid", GRID, [*jobs, job("good", 1)], 2)
    assert (tmp_path / "grid/runs/a/good/0/run.json").stat().st_mtime_ns == before
    assert (tmp_path / "grid/runs/a/bad/0.log").read_text().count("on fire") == 2
    assert statuses(tmp_path / "grid") == {"a/good/0": "done", "a/bad/0": "failed", "a/good/1": "done"}


def test_training_is_followed_by_an_evaluation_if_requested(tmp_path):
    run_grid(tmp_path / "grid", GRID, [job("good"), job("bad")], 1, episodes=7)
    evaluation = tmp_path / "grid/runs/a/good/0/eval.json"
    assert json.loads(evaluation.read_text()) == {"n": 7, "frames": 100}
    assert not (tmp_path / "grid/runs/a/bad/0/eval.json").exists()
    before = evaluation.stat().st_mtime_ns
    run_grid(tmp_path / "grid", GRID, [job("good"), job("bad")], 1, episodes=7)
    assert evaluation.stat().st_mtime_ns == before
    run_grid(tmp_path / "grid", GRID, [job("good"), job("bad")], 1, episodes=8)
    assert json.loads(evaluation.read_text())["n"] == 8


def test_runs_with_the_same_folder_are_refused(tmp_path):
    with pytest.raises(UserError, match="share the folder runs/a_b/good/0"):
        run_grid(tmp_path / "grid", GRID, [job("good", variant="a b"), job("good", variant="a/b")], 1)
    assert not (tmp_path / "grid").exists()


def test_a_folder_with_unrelated_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("ten years of work")
    with pytest.raises(UserError, match=r"unrelated files \(thesis.tex\)"):
        run_grid(tmp_path, GRID, [job("good")], 1)
    assert {path.name for path in tmp_path.iterdir()} <= {"thesis.tex", ".lock"}


# Signals and kills, with the grid in a separate process.


def start(folder, *tasks, parallel=2):
    paths = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
    command = [sys.executable, str(HERE / "grid_fakes.py"), str(folder), str(parallel), *tasks]
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, condition
        time.sleep(0.02)


def alive(folder, task, seed):
    pid = int((folder / f"runs/a/{task}/{seed}/pid").read_text())
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def frames(folder, task, seed):
    return json.loads((folder / f"runs/a/{task}/{seed}/run.json").read_text())["frames"]


def at_work(folder):
    return all((folder / f"runs/a/slow/{seed}/pid").exists() for seed in (0, 1))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_forwarded_and_the_grid_continues_later(tmp_path, number, code):
    process = start(tmp_path / "grid", "slow", "slow", "good")
    wait_for(lambda: at_work(tmp_path / "grid"))
    process.send_signal(number)
    printed, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (code, "")
    assert "Stopping: saving 2 run(s)." in printed
    assert "Rerun the same command to continue." in printed.splitlines()[-1]
    assert [frames(tmp_path / "grid", "slow", seed) for seed in (0, 1)] == [10, 10]
    assert set(statuses(tmp_path / "grid").values()) == {"waiting"}
    run_grid(tmp_path / "grid", GRID, [job("slow", 0), job("slow", 1), job("good", 2)], 2)
    assert set(statuses(tmp_path / "grid").values()) == {"done"}


def test_a_grid_is_locked_and_its_runs_save_when_it_is_killed(tmp_path):
    process, jobs = start(tmp_path / "grid", "slow", "slow"), [job("slow", seed) for seed in (0, 1)]
    wait_for(lambda: at_work(tmp_path / "grid"))
    with pytest.raises(UserError, match=f"in use by process {process.pid}"):
        run_grid(tmp_path / "grid", GRID, jobs, 2)
    process.kill()
    process.communicate(timeout=30)
    wait_for(lambda: not any(alive(tmp_path / "grid", "slow", seed) for seed in (0, 1)))
    assert [frames(tmp_path / "grid", "slow", seed) for seed in (0, 1)] == [10, 10]
    assert set(statuses(tmp_path / "grid").values()) == {"running"}
    run_grid(tmp_path / "grid", GRID, jobs, 2)
    assert set(statuses(tmp_path / "grid").values()) == {"done"}


def test_a_run_directory_in_use_is_waited_for(tmp_path):
    """An earlier grid was killed, and one of its runs is still saving."""
    logdir = tmp_path / "grid/runs/a/good/0"
    logdir.mkdir(parents=True)
    write_grid(tmp_path / "grid", GRID, [job("good", 0)], [JobState("running")])
    with (logdir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = start(tmp_path / "grid", "good", "good", parallel=1)
        wait_for(lambda: process.poll() is not None or (tmp_path / "grid/runs/a/good/1/run.json").exists())
        assert process.poll() is None, process.communicate()
        assert not (logdir / "run.json").exists()
    assert process.wait(30) == 0
    process.communicate()
    assert (logdir / "run.json").exists()
