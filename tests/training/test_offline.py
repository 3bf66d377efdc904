"""Offline training: records of another run, no environment, one update per step, exact resume."""

import json

import numpy as np
import pytest
import torch

from common.errors import UserError
from common.replay import episode_files
from common.storage.checkpoints import load_newest
from tests.helpers.saved_runs import say

TASK = "dummy_point_7"
SMALL = ["--configs", "debug", "--task", TASK, "--threads", 1, "--run.video_every", 0, "--compile", "off"]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Return a run of another version with two streams of records."""
    folder = tmp_path_factory.mktemp("source") / "run"
    words = ["--algo", "v1", *SMALL, "--steps", 160, "--envs", 2, "--run.eval_every", 0, "--replay.capacity", 400]
    assert say(*words, "--run.prefill", 160, "--logdir", folder) == 0
    return folder


def train(folder, source, steps, *more):
    words = ["--algo", "v3", *SMALL, "--logdir", folder, "--run.offline", source, "--steps", steps]
    return say(*words, "--run.save_every", 2, "--run.log_every", 2, "--run.eval_every", 0, *more)


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_offline_training_uses_only_the_records_and_resumes_exactly(source, tmp_path, monkeypatch, capsys):
    before = content(source)

    def never(*_, **__):
        raise AssertionError("no environment is needed")

    monkeypatch.setattr("common.envs.make_envs", never)
    assert train(tmp_path / "straight", source, 6) == 0
    said = capsys.readouterr().err
    assert "records of" in said
    assert "zeros until written again" in said  # V1 stores no latents
    assert train(tmp_path / "twice", source, 4) == 0
    source_gone = source.rename(source.parent / "gone")
    try:
        assert train(tmp_path / "twice", source, 6) == 0
    finally:
        source_gone.rename(source)
    assert content(source) == before
    assert load_newest(tmp_path / "twice")["replay"]["slots"] * 2 == load_newest(source)["replay"]["count"] * 2
    last = lines(tmp_path / "straight")[-1]
    assert (last["updates"], last["frames"], last["episodes"]) == (6, 6, 0)
    assert last["loss/vector"] > 0
    one, two = (load_newest(tmp_path / name) for name in ("straight", "twice"))
    assert all(torch.equal(x, two["agent"][key]) for key, x in one["agent"].items() if torch.is_tensor(x))
    assert one["replay"]["count"] == two["replay"]["count"] > 80


def test_offline_training_evaluates_only_if_the_task_can_be_built(source, tmp_path, monkeypatch, capsys):
    assert train(tmp_path / "run", source, 2, "--run.eval_every", 2) == 0
    assert any("eval/score" in line for line in lines(tmp_path / "run"))

    def missing(*_, **__):
        raise UserError("no such simulator")

    monkeypatch.setattr("common.envs.make_envs", missing)
    capsys.readouterr()
    assert train(tmp_path / "other", source, 4, "--run.eval_every", 2) == 0
    assert capsys.readouterr().err.count("No evaluation: no such simulator") == 1


@pytest.fixture
def files(tmp_path):
    """Write three episodes of dummy_onehot: each observation is the one-hot of the last action."""
    folder, draws = tmp_path / "episodes", np.random.default_rng(0)
    folder.mkdir()
    for number in range(3):
        action = np.eye(4, dtype=np.float32)[draws.integers(4, size=21)]
        action[0] = 0
        reward, discount = (action @ np.arange(4) / 3).astype(np.float32), np.ones(21, np.float32)
        arrays = {"vector": action, "action": action, "reward": reward, "discount": discount, "logprob": reward}
        np.savez(folder / f"{number}.npz", **arrays)
    return folder


def test_episode_files_become_records(files):
    records = episode_files.read_episode(episode_files.episode_paths(files)[0])
    assert np.array_equal(records["action"][:-1], records["vector"][1:])
    assert not records["action"][-1].any()
    assert np.array_equal(np.flatnonzero(records["is_first"]), [0])
    assert np.array_equal(np.flatnonzero(records["is_last"]), [20])
    assert not records["is_terminal"].any()  # the clock ran out
    assert set(records) == {"vector", "action", "reward", "is_first", "is_last", "is_terminal"}


def test_offline_training_from_episode_files(files, tmp_path, capsys):
    words = ["--algo", "v1", *SMALL, "--task", "dummy_onehot", "--run.offline", files, "--logdir", tmp_path / "run"]
    assert say(*words, "--steps", 2, "--run.eval_every", 2, "--run.log_every", 1) == 0
    assert f"63 records of {files}" in capsys.readouterr().err
    assert any("eval/score" in line for line in lines(tmp_path / "run"))
    (files / "1.npz").write_bytes(b"nothing")
    assert say(*words[:-1], tmp_path / "other", "--steps", 2) == 2
    assert "1.npz is not an episode" in capsys.readouterr().err


def test_unsuitable_records_are_refused(source, tmp_path, capsys):
    assert train(tmp_path / "a", source, 2, "--task", "dummy_point_8") == 2
    assert f"of the task {TASK}: give --task {TASK}" in capsys.readouterr().err
    assert train(tmp_path / "b", source, 2, "--batch_length", 300, "--replay.capacity", 2000) == 2
    assert "too few records" in capsys.readouterr().err
    assert train(tmp_path / "c", tmp_path / "nowhere", 2) == 2
    assert "not a run directory" in capsys.readouterr().err
    assert train(tmp_path / "d", source, 2, "--run.eval_every", 2, "--task", TASK, "--env.size", 32) == 0
