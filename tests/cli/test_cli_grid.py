"""`compare` with real training: it runs, is broken off, goes on, grows, and tells what failed."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from cli_tools import ROOT

HERE = ROOT / "tests" / "cli"
#: dreamer.py with a report that only says it was asked for.
PROGRAM = f"""
import sys, types
sys.path.insert(0, {str(ROOT)!r})
report = sys.modules["common.report"] = types.ModuleType("common.report")
report.write_report = lambda paths, out: (out / "report.md").write_text("reported")
import dreamer
sys.exit(dreamer.main(sys.argv[1:]))
"""
COMPARE = ["compare", "--algos", "v1,v3", "--configs", "debug", "--seeds", "1", "--logdir", "grid"]
COMPARE += ["--run.prefill", "60", "--run.eval_every", "0", "--run.video_every", "0", "--replay.capacity", "2000"]
COMPARE += ["--run.log_every", "20", "--run.save_every", "0", "--env.max_failures", "0", "--jobs", "2"]


def start(folder, *words):
    command = [sys.executable, "-c", PROGRAM, *COMPARE, *words]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    """Exit code and what was printed."""
    printed, errors = process.communicate(timeout=120)
    assert "Traceback" not in printed + errors, printed + errors
    return process.returncode, printed, errors


def info(folder, name):
    return json.loads((folder / "grid/runs" / name / "run.json").read_text())


def statuses(folder):
    return {job["name"]: job["status"] for job in json.loads((folder / "grid/grid.json").read_text())["jobs"]}


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A grid that was stopped while it trained, then finished: folder, and what was printed each time."""
    folder = tmp_path_factory.mktemp("grid")
    words = ["--tasks", "dummy_point", "--match", "updates", "--steps", "10"]
    process = start(folder, *words)
    logs = [folder / f"grid/runs/{algo}/dummy_point/0/metrics.jsonl" for algo in ("v1", "v3")]
    while process.poll() is None and not all(log.exists() for log in logs):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stopped, before = finish(process), statuses(folder)
    return folder, (stopped, before), finish(start(folder, *words))


def test_a_grid_that_was_stopped_goes_on(grid):
    folder, ((code, printed, errors), before), (again, _, _) = grid
    assert (code, errors) == (130, "")
    assert "The same command goes on." in printed.splitlines()[-1]
    assert before == {"v1/dummy_point/0": "waiting", "v3/dummy_point/0": "waiting"}
    assert again == 0
    assert statuses(folder) == {"v1/dummy_point/0": "done", "v3/dummy_point/0": "done"}
    assert [info(folder, f"{algo}/dummy_point/0")["resumes"] for algo in ("v1", "v3")] == [1, 1]
    assert (folder / "grid/report.md").exists()


def test_all_versions_made_the_updates_asked_for(grid):
    assert [info(grid[0], f"{algo}/dummy_point/0")["updates"] for algo in ("v1", "v3")] == [10, 10]


def test_a_grid_may_grow_and_failures_are_told(grid):
    folder = grid[0]
    finished = (folder / "grid/runs/v1/dummy_point/0/run.json").read_bytes()
    words = ["--tasks", "dummy_point", "broken:Raises", "--match", "updates", "--steps", "10"]
    code, printed, errors = finish(start(folder, *words))
    assert code == 2
    assert "2 of 4 runs failed" in errors
    assert errors.count("RuntimeError: the motor is on fire") == 2
    assert "v1/broken:Raises/0  failed" in printed
    assert list(statuses(folder).values()).count("done") == 2
    assert (folder / "grid/runs/v1/dummy_point/0/run.json").read_bytes() == finished


def test_another_grid_is_refused(grid):
    folder = grid[0]
    words = ["--tasks", "dummy_point", "--match", "updates", "--steps", "10", "--discount", "0.5"]
    code, _, errors = finish(start(folder, *words))
    assert code == 2
    assert "discount: 0.99 -> 0.5 (1 run(s))" in errors
    assert "discount: 0.996996996996997 -> 0.5 (1 run(s))" in errors
    assert "another --logdir" in errors
