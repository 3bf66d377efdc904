"""A stopped, killed or finished run resumes exactly."""

import shutil

import pytest

from common.storage.checkpoints import Checkpoints
from common.training.loop import Loop
from common.training.train import train
from tests.helpers.run_fakes import FakeFactory, config, interrupted, lines, newest, same_run


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10, 11, 30, 61])
def test_stop_before_an_update_resumes_exactly(straight, tmp_path, monkeypatch, count):
    interrupted(tmp_path / "run", monkeypatch, "_update", count)
    same_run(straight, tmp_path / "run")


@pytest.mark.parametrize("count", [1, 2, 6, 12, 13, 14, 20, 33, 47])
def test_stop_at_a_step_resumes_exactly(straight, tmp_path, monkeypatch, count):
    interrupted(tmp_path / "run", monkeypatch, "_step", count)
    same_run(straight, tmp_path / "run")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_stop_in_an_evaluation_resumes_exactly(straight, tmp_path, monkeypatch, count):
    interrupted(tmp_path / "run", monkeypatch, "_evaluate", count)
    same_run(straight, tmp_path / "run")


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": {"use": "Bursts", "every": 60, "updates": 7}, "sampler": {"use": "Episodes"}},
        {"schedule": {"use": "Every", "steps": 3, "updates": 2}, "replay__context": 0, "replay__disk": True},
        {"sampler": {"use": "MixedWindows", "priority": 0.5, "recency": 0.25}},
        {"task": "dummy_point_30", "run__envs": 3, "replay__capacity": 60},
        {"task": "tests.helpers.faulty_envs:Steady", "run__envs": 2},
    ],
    ids=["bursts", "every-disk", "mixed", "point-small", "logged-numbers"],
)
def test_resume_is_exact_for_other_schedules_and_tasks(tmp_path, monkeypatch, changes):
    train(config(tmp_path / "straight", **changes), FakeFactory())
    interrupted(tmp_path / "stopped", monkeypatch, "_update", 17, **changes)
    same_run(tmp_path / "straight", tmp_path / "stopped")


def test_a_seed_determines_the_run(straight, tmp_path):
    train(config(tmp_path / "same"), FakeFactory())
    train(config(tmp_path / "other", seed=1), FakeFactory())
    assert lines(tmp_path / "same") == lines(straight)
    assert lines(tmp_path / "other") != lines(straight)


def test_a_killed_run_resumes_at_its_checkpoint(straight, tmp_path, monkeypatch):
    """Metric lines and replay records after the checkpoint are dropped and made again."""
    crash = lambda self: (_ for _ in ()).throw(MemoryError()) if self.frames == 140 else step(self)
    step = Loop._step
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_step", crash)
        with pytest.raises(MemoryError):
            train(config(tmp_path / "run"), FakeFactory())
    assert newest(tmp_path / "run")["frames"] == 100
    assert lines(tmp_path / "run")[-1]["frames"] == 140
    train(config(tmp_path / "run"), FakeFactory())
    same_run(straight, tmp_path / "run")


def test_a_run_killed_before_its_first_checkpoint_starts_again(straight, tmp_path, monkeypatch):
    crash = lambda self: (_ for _ in ()).throw(MemoryError()) if self.frames == 40 else step(self)
    step = Loop._step
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_step", crash)
        with pytest.raises(MemoryError):
            train(config(tmp_path / "run"), FakeFactory())
    train(config(tmp_path / "run"), FakeFactory())
    same_run(straight, tmp_path / "run")


def test_a_finished_run_prints_a_message_and_more_steps_continue_it(straight, tmp_path, capsys):
    logdir = tmp_path / "run"
    train(config(logdir, steps=120), FakeFactory())
    before = lines(logdir)
    capsys.readouterr()
    train(config(logdir, steps=120), FakeFactory())
    assert "finished: 120 of 120 frames. Raise --steps" in capsys.readouterr().out
    assert lines(logdir) == before
    train(config(logdir), FakeFactory())
    assert "steps: 120 -> 200" in capsys.readouterr().err
    same_run(straight, logdir)


def test_a_damaged_checkpoint_is_named_and_the_older_one_is_used(straight, tmp_path, capsys):
    logdir = tmp_path / "run"
    shutil.copytree(straight, logdir)
    path = Checkpoints(logdir / "checkpoints").paths()[0]
    path.write_bytes(path.read_bytes()[:-10])
    train(config(logdir), FakeFactory())
    printed = capsys.readouterr().err
    assert f"{path.name} cannot be used" in printed
    assert "Resumed at frame 152" in printed
    same_run(straight, logdir)
