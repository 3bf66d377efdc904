"""`runs` and `resume`: the list of runs with their states, and a run that continues by its number."""

import fcntl
import json
import re

import pytest

from tests.helpers.command_line import SHORT, expect_error, run_in_fork, run_in_this_process
from tests.helpers.fake_runs import write_run


def change(path, **values):
    """Replace values at the top of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def write_started(logdir, day, **more):
    """Write a finished run of 4,000 frames that was started on a day."""
    write_run(logdir, frames=4000, **more)
    (logdir / "checkpoints").mkdir()
    (logdir / "checkpoints/checkpoint-00000001.pt").write_text("")
    change(logdir / "run.json", sessions=[{"started": f"2026-01-0{day}T00:00:00", "command": "dreamer.py --algo v3"}])
    return logdir


def set_steps(logdir, steps):
    path = logdir / "config.yaml"
    path.write_text(re.sub(r"(?m)^steps: \d+", f"steps: {steps}", path.read_text()))


def listed(tmp_path, *words):
    """Return the cells of each run that `runs` lists."""
    done = run_in_this_process("runs", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines() if re.match(r" *\d+ +[v–]", line)], done.stdout


@pytest.fixture
def folder(tmp_path):
    """Four runs: finished, stopped, at work when its lock is held, and broken."""
    write_started(tmp_path / "logs/z", 1, algo="v1", task="gym_Pendulum-v1")
    set_steps(write_started(tmp_path / "logs/grid/runs/a", 3, seed=7), 8000)
    set_steps(write_started(tmp_path / "logs/m", 2), 8000)
    last = {"frames": 6000, "updates": 600, "wall": 120.0, "fps/env": 50.0, "time/left": 40.0}
    with (tmp_path / "logs/m/metrics.jsonl").open("a") as file:
        file.write(json.dumps(last) + "\n")
    (tmp_path / "logs/broken").mkdir()
    (tmp_path / "logs/broken/config.yaml").write_text("algo: v3\n")
    return tmp_path


def test_runs_are_listed_in_the_order_of_their_first_start(folder):
    with (folder / "logs/m/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows, text = listed(folder)
    assert rows == [
        ["1", "v1", "gym_Pendulum-v1", "0", "4,000", "4,000", "–", "–", "finished", "logs/z"],
        ["2", "v3", "dmc_walker_walk", "0", "6,000", "8,000", "50", "00:40", "running", "logs/m"],
        ["3", "v3", "dmc_walker_walk", "7", "4,000", "8,000", "–", "–", "stopped", "logs/grid/runs/a"],
        ["4", "–", "–", "–", "–", "–", "–", "–", "broken", "logs/broken"],
    ]
    assert "4 is broken: logs/broken/config.yaml lacks steps, run." in text
    assert "1 running, 1 stopped, 1 finished, 1 broken." in text
    assert text.splitlines()[-1] == "To continue a stopped run: python dreamer.py resume 3 --logdir logs"


def test_a_run_without_a_held_lock_is_not_running(folder):
    """A lock file with a process id and a recent estimate stay behind when a run is killed."""
    (folder / "logs/m/.lock").write_text("1")
    rows, _ = listed(folder, "logs/m")
    assert rows[0][4:] == ["6,000", "8,000", "–", "–", "stopped", "logs/m"]


def test_damaged_files_make_a_run_broken(folder):
    (folder / "logs/z/run.json").write_text("{")
    (folder / "logs/m/checkpoints/checkpoint-00000001.pt").unlink()
    rows, text = listed(folder)
    assert {row[-1]: row[-2] for row in rows} == {
        "logs/z": "broken", "logs/m": "broken", "logs/broken": "broken", "logs/grid/runs/a": "stopped"
    }  # fmt: skip
    assert "logs/z/run.json cannot be read" in text
    assert "logs/m has no checkpoint." in text


def test_a_finished_run_is_complete_without_its_checkpoint(folder):
    (folder / "logs/z/checkpoints/checkpoint-00000001.pt").unlink()
    rows, _ = listed(folder)
    assert rows[0][-2:] == ["finished", "logs/z"]
    assert "no checkpoint to continue from" in expect_error("resume", "1", "--steps", "9000", cwd=folder)


@pytest.mark.parametrize(("words", "says"), [
    (["runs", "nowhere"], "There is no folder nowhere."),
    (["runs", "logs/grid/empty"], "has no runs"),
    (["runs", "logs", "logs"], "runs takes one folder and no flags"),
    (["runs", "--steps", "5"], "runs takes one folder and no flags"),
    (["resume"], "resume takes the number of a run, such as resume 3."),
    (["resume", "logs/m"], "resume takes the number of a run"),
    (["resume", "9"], "logs has runs 1 to 4, not 9."),
    (["resume", "1"], "is finished. To make it longer, add --steps with more than 4,000 frames."),
    (["resume", "4"], "Run 4, logs/broken, is broken: logs/broken/config.yaml lacks"),
    (["resume", "2", "--algo", "v1"], "omit --algo, --configs and --features"),
])  # fmt: skip
def test_wrong_arguments_are_refused(folder, words, says):
    (folder / "logs/grid/empty").mkdir()
    expect_error(*words, cwd=folder, says=says)


def test_a_running_run_is_not_resumed(folder):
    with (folder / "logs/m/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        expect_error("resume", "2", cwd=folder, says="Run 2, logs/m, is running.")


def test_a_stopped_run_continues_with_its_config(tmp_path):
    words = ["--algo", "v1", "--configs", "debug", "--task", "dummy_point", "--seed", "3", "--batch_size", "3"]
    assert run_in_fork(*words, *SHORT, "--logdir", "logs/a", cwd=tmp_path).returncode == 0
    set_steps(tmp_path / "logs/a", 240)
    before = (tmp_path / "logs/a/config.yaml").read_text()
    done = run_in_fork("resume", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Run 1: logs/a. It was started with: " in done.stdout
    info = json.loads((tmp_path / "logs/a/run.json").read_text())
    assert (info["resumes"], info["frames"] >= 240) == (1, True)
    assert (tmp_path / "logs/a/config.yaml").read_text() == before
    expect_error("resume", "1", "--steps", "300", "--batch_size", "5", cwd=tmp_path, says="batch_size: 3 -> 5")


def test_runs_of_world_models_are_left_out(folder):
    """They train a world model alone; `resume` would train an agent."""
    (folder / "logs/grid/world_models.json").write_text("{}")
    rows, _ = listed(folder)
    assert [row[-1] for row in rows] == ["logs/z", "logs/m", "logs/broken"]
