"""Offline training: records of another run, no environment, one update per step, exact resume."""

import json

import numpy as np
import pytest
import torch

from common.datasets import npz_files as episode_files
from common.datasets.npz import NpzDataset
from common.errors import UserError
from common.storage.checkpoints import load_newest
from common.training.offline import dataset_records
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
    assert "nowhere does not exist. Give the directory of a run" in capsys.readouterr().err
    assert train(tmp_path / "d", source, 2, "--run.eval_every", 2, "--task", TASK, "--env.size", 32) == 0


def chunk(folder, name, *lengths, **more):
    """Write a file with parts of these lengths; the action chosen at a row is its number, in hundredths."""
    folder.mkdir(exist_ok=True)
    at, total = np.concatenate([np.arange(n) for n in lengths]), sum(lengths)
    last = np.concatenate([np.arange(n) == n - 1 for n in lengths])
    action = np.where(last, 0, np.arange(1, total + 1) / 100)[:, None].astype(np.float32)
    flags = {"is_first": at == 0, "is_last": last, "is_terminal": last}
    arrays = {"vector": np.ones((total, 3), np.float32), "action": action, "reward": np.arange(total) / 10, **flags}
    np.savez(folder / name, **arrays | more)
    return folder / name


def test_a_file_may_hold_several_episodes(tmp_path):
    records = episode_files.read_episode(chunk(tmp_path, "a.npz", 5, 3, 4))
    assert np.flatnonzero(records["is_first"]).tolist() == [0, 5, 8]
    assert np.flatnonzero(records["is_last"]).tolist() == np.flatnonzero(records["is_terminal"]).tolist() == [4, 7, 11]
    assert records["action"][:5, 0].tolist() == pytest.approx([0.01, 0.02, 0.03, 0.04, 0])  # chosen at its row
    ends = np.array([0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1], bool)
    led = np.where(np.roll(ends, 1), 0, np.arange(12) / 100)[:, None]
    records = episode_files.read_episode(chunk(tmp_path, "b.npz", 5, 3, 4, action=led))
    assert records["action"][:5, 0].tolist() == pytest.approx([0.01, 0.02, 0.03, 0.04, 0])  # led to the next row
    assert not records["action"][records["is_last"]].any()


def test_an_episode_continues_only_in_the_successor_of_its_chunk(tmp_path):
    cut = dict(is_last=np.zeros(4, bool), is_terminal=np.zeros(4, bool))
    going, ended = cut | {"is_first": np.arange(4) == 0}, {"is_first": np.zeros(4, bool)}
    chunk(tmp_path, "20240101T000003-bb-cc-4.npz", 4, **ended)
    chunk(tmp_path, "20240101T000001-aa-bb-4.npz", 4, **going)
    chunk(tmp_path, "20240101T000002-xx-yy-4.npz", 4, **going)
    chunk(tmp_path, "20240101T000004-zz-00-4.npz", 4, **ended)
    paths = episode_files.episode_paths(tmp_path)
    assert [path.name[16:21] for path in paths] == ["aa-bb", "bb-cc", "xx-yy", "zz-00"]
    found = [records["is_first"][0] for records in episode_files.read_files(paths)]
    assert found == [True, False, True, True]
    assert [records["is_last"][-1] for records in episode_files.read_files(paths)] == [False, True, True, True]
    assert [records["is_terminal"][-1] for records in episode_files.read_files(paths)] == [False, True, False, True]


def test_latents_and_identifiers_are_not_observations(tmp_path, capsys):
    extra = {"stepid": np.zeros((40, 20), np.uint8), "dyn/deter": np.zeros((40, 8), np.float32), "words": ["a"] * 40}
    chunk(tmp_path / "files", "a.npz", 20, 20, **extra, log_success=np.zeros(40))
    words = ["--algo", "v3", *SMALL, "--run.offline", tmp_path / "files", "--logdir", tmp_path / "run", "--steps", 2]
    assert say(*words, "--run.eval_every", 0) == 0
    said = capsys.readouterr()
    assert "observations  vector float32 (3,)\n" in said.out
    assert "Left out of" in said.err
    assert "not observations: stepid, dyn/deter, words, log_success." in said.err


NAN_AT_5 = np.where(np.arange(20) == 5, np.nan, 0).astype(np.float32)
UNSUITABLE = {
    "reward": (dict(reward=NAN_AT_5), "reward that is not finite in row 5"),
    "observation": (dict(vector=np.full((20, 3), np.inf)), "vector that is not finite in row 0"),
    "action": (dict(action=NAN_AT_5[:, None]), "action that is not finite in row 5"),
    "overflow": (dict(vector=np.full((20, 3), 1e300)), "vector that is not finite in row 0"),
    "bounds": (dict(action=np.full((20, 1), -50.0)), r"outside \[-1, 1\], up to 50\. Scale them"),
    "flag": (dict(is_first=NAN_AT_5), "is_first that is neither true nor false"),
    "key": (dict(camera=np.zeros((20, 2))), "camera is .*, not missing. Give a folder with files of one task"),
    "shape": (dict(vector=np.zeros((20, 4))), "vector is .*4.* not .*3"),
    "transitions": (dict(next_vector=np.zeros((20, 3))), "next_vector, as files of transitions have"),
    "dones": (dict(dones=np.zeros(20)), "dones, as files of transitions have"),
    "choices": (dict(action=np.arange(20) % 2), "Store discrete actions one-hot"),
    "choice column": (dict(action=np.arange(20)[:, None] % 2), "Store discrete actions one-hot"),
    "flag of two": (dict(is_first=np.zeros((20, 2), bool)), "is not an episode"),
    "texts": (dict(reward=np.array(["1"] * 20)), "reward of type .*Store numbers"),
    "float image": (dict(vector=np.zeros((20, 32, 32, 3))), "Store images as uint8"),
    "channels first": (dict(vector=np.zeros((20, 3, 32, 32), np.uint8)), "Store images as uint8"),
    "rows": (dict(vector=np.zeros((19, 3))), "all arrays must have 20 rows"),
    "empty": (
        dict.fromkeys(("vector", "action", "reward", "is_first", "is_last", "is_terminal"), np.zeros(0)),
        "not an",
    ),
}


@pytest.mark.parametrize("case", UNSUITABLE)
def test_unsuitable_files_are_refused_by_name_before_training(tmp_path, case):
    arrays, message = UNSUITABLE[case]
    chunk(tmp_path, "a.npz", 20)
    chunk(tmp_path, "b.npz", 20, **arrays)
    with pytest.raises(UserError, match=f"b.npz .*?{message}"):
        dataset_records(NpzDataset(tmp_path))


def test_one_hot_and_other_actions_do_not_mix(tmp_path):
    one_hot = np.eye(2)[np.arange(20) % 2]
    chunk(tmp_path, "a.npz", 20, action=one_hot)
    chunk(tmp_path, "b.npz", 20, action=one_hot / 2)
    with pytest.raises(UserError, match=r"b\.npz does not fit .*a\.npz: its actions are not one-hot"):
        dataset_records(NpzDataset(tmp_path))


@pytest.mark.parametrize("key", ["is_terminal", "discount"])
def test_a_terminal_row_ends_an_episode(tmp_path, key):
    """In a file without is_first and is_last, the rows after it are of the next episode."""
    terminal = np.isin(np.arange(20), (7, 19))
    value = terminal if key == "is_terminal" else 1 - terminal.astype(np.float32)
    np.savez(tmp_path / "a.npz", vector=np.ones((20, 3)), reward=np.ones(20), action=np.zeros((20, 1)), **{key: value})
    records = episode_files.read_episode(tmp_path / "a.npz")
    assert np.flatnonzero(records["is_first"]).tolist() == [0, 8]
    assert np.flatnonzero(records["is_terminal"]).tolist() == np.flatnonzero(records["is_last"]).tolist() == [7, 19]


def test_files_have_the_forms_of_environments(tmp_path):
    """Matrices are vectors, grey images have a channel, and numbers about the whole file are left out."""
    arrays = {"matrix": np.ones((20, 4, 5)), "grey": np.zeros((20, 32, 32), np.uint8), "next_piece": np.ones(20)}
    path = chunk(tmp_path, "a.npz", 20, **arrays, fps=30)
    records = episode_files.read_episode(path)
    assert {key: records[key].shape for key in arrays} == {
        "matrix": (20, 20),
        "grey": (20, 32, 32, 1),
        "next_piece": (20,),
    }
    assert episode_files.left_out(path) == ["fps"]
    assert episode_files.has_terminals(path)
