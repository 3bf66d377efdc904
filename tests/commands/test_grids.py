"""`compare` with real training: it runs, is stopped, continues, grows, and reports failures."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image, ImageSequence

from tests.helpers.command_line import ROOT

pytestmark = pytest.mark.xdist_group("cli_grid")  # they share a slow fixture

HERE = ROOT / "tests" / "helpers"
COMPARE = ["compare", "--algos", "v1,v3", "--configs", "debug", "--seeds", "1", "--logdir", "grid"]
COMPARE += ["--run.prefill", "60", "--run.eval_every", "0", "--run.video_every", "0", "--replay.capacity", "2000"]
COMPARE += ["--run.log_every", "20", "--run.save_every", "0", "--env.max_failures", "0", "--jobs", "2"]


def start(folder, *words):
    command = [sys.executable, str(ROOT / "dreamer.py"), *words]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE)}
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    """Return exit code and output."""
    printed, errors = process.communicate(timeout=120)
    assert "Traceback" not in printed + errors, printed + errors
    return process.returncode, printed, errors


def info(folder, name):
    return json.loads((folder / "grid/runs" / name / "run.json").read_text())


def statuses(folder):
    return {job["name"]: job["status"] for job in json.loads((folder / "grid/grid.json").read_text())["jobs"]}


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Stop a grid while it trains, then finish it. Return the folder, and the output of both commands."""
    folder = tmp_path_factory.mktemp("grid")
    words = ["--tasks", "dummy_mixed_10", "--match", "updates", "--steps", "10"]
    process = start(folder, *COMPARE, *words)
    logs = [folder / f"grid/runs/{algo}/dummy_mixed_10/0/metrics.jsonl" for algo in ("v1", "v3")]
    while process.poll() is None and not all(log.exists() for log in logs):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stopped, before = finish(process), statuses(folder)
    return folder, (stopped, before), finish(start(folder, *COMPARE, *words))


def test_a_stopped_grid_continues(grid):
    folder, ((code, printed, errors), before), (again, _, _) = grid
    assert (code, errors) == (130, "")
    assert "Rerun the same command to continue." in printed.splitlines()[-1]
    assert before == {"v1/dummy_mixed_10/0": "waiting", "v3/dummy_mixed_10/0": "waiting"}
    assert again == 0
    assert statuses(folder) == {"v1/dummy_mixed_10/0": "done", "v3/dummy_mixed_10/0": "done"}
    assert [info(folder, f"{algo}/dummy_mixed_10/0")["resumes"] for algo in ("v1", "v3")] == [1, 1]


def test_the_report_has_films_of_all_versions_on_the_same_clips(grid):
    folder = grid[0] / "grid"
    report = json.loads((folder / "report.json").read_text())
    assert [(run["variant"], run["updates"]) for run in report["runs"]] == [("v1", 10), ("v3", 10)]
    page = (folder / "report.html").read_text()
    assert "From left to right, the clips were played by: v1, v3." in page
    assert page.count("data:image/gif;base64,") == 4  # two versions, an image and a vector
    truths = [frames(folder, algo, "image")[:, :64] for algo in ("v1", "v3")]  # the upper row of each frame
    assert truths[0].shape == (45, 64, 128, 3)  # two clips next to each other
    assert np.abs(truths[0] - truths[1]).mean() < 4 < np.abs(truths[0][1:] - truths[0][:-1]).max()


def frames(folder, algo, key):
    """Return the frames (T, H, W, 3) of a shared film. A GIF stores repeated frames once, with a longer duration."""
    path = next((folder / f"films/dummy_mixed_10/{algo}").glob(f"{key}_0_*.gif"))
    with Image.open(path) as film:
        shown = [
            (np.asarray(frame.convert("RGB"), float), frame.info["duration"]) for frame in ImageSequence.Iterator(film)
        ]
    return np.stack([picture for picture, time in shown for _ in range(round(time / 67))])


def test_the_demo_is_a_comparison_with_a_table(tmp_path):
    words = ["--configs", "debug", "--algos", "v1,v3", "--steps", "220", "--episodes", "2", "--run.prefill", "60"]
    code, printed, errors = finish(start(tmp_path, "demo", *words, "--replay.capacity", "2000"))
    assert code == 0, errors
    lines = (tmp_path / "demo/demo.md").read_text().splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| v") and "gym" in line]
    assert [(row[0], row[1]) for row in rows] == [("| v1", "gym_Pendulum-v1"), ("| v3", "gym_Pendulum-v1")]
    assert len({row[3] for row in rows}) == 1
    assert -1500 < float(rows[0][3]) < -900  # the random policy's score
    assert " ± " in rows[0][2]
    assert str(tmp_path / "demo/report.html") in printed
    assert "mean ± std of 2 episodes" in printed
    assert "Each score is of one seed" in printed
    page = (tmp_path / "demo/report.html").read_text()
    sections = re.findall(r'<section id="(\w+)">', page)
    assert sections[:4] == ["acting", "curves", "next", "scores"]
    assert (sections.count("curves"), sections.count("acting")) == (1, 1)
    assert "python dreamer.py eval --logdir demo/runs/v3/gym_Pendulum-v1/0 " in page


def test_all_versions_made_the_requested_updates(grid):
    assert [info(grid[0], f"{algo}/dummy_mixed_10/0")["updates"] for algo in ("v1", "v3")] == [10, 10]


def test_a_grid_may_grow_and_failures_are_reported(grid):
    folder = grid[0]
    finished = (folder / "grid/runs/v1/dummy_mixed_10/0/run.json").read_bytes()
    words = ["--tasks", "dummy_mixed_10", "broken_envs:Raises", "--match", "updates", "--steps", "10"]
    code, printed, errors = finish(start(folder, *COMPARE, *words))
    assert code == 2
    assert "2 of 4 runs failed" in errors
    assert errors.count("RuntimeError: the motor is on fire") == 2
    assert "v1/broken_envs:Raises/0  failed" in printed
    assert list(statuses(folder).values()).count("done") == 2
    assert (folder / "grid/runs/v1/dummy_mixed_10/0/run.json").read_bytes() == finished


def test_another_grid_is_refused(grid):
    folder = grid[0]
    words = ["--tasks", "dummy_mixed_10", "--match", "updates", "--steps", "10", "--discount", "0.5"]
    code, _, errors = finish(start(folder, *COMPARE, *words))
    assert code == 2
    assert "discount: 0.99 -> 0.5 (1 run(s))" in errors
    assert "discount: 0.996996996996997 -> 0.5 (1 run(s))" in errors
    assert "another --logdir" in errors
