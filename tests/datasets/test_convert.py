"""The command `convert`: from the replay of a run, over every fault, to a destination that is complete or absent."""

import json
import signal

import numpy as np
import pytest

from common.datasets.episodes import EpisodesWriter
from common.datasets.formats import open_dataset
from common.errors import UserError
from tests.datasets.tools import about, assert_same, content, episode, own_episodes, three_episodes
from tests.helpers.saved_runs import say

TASK = "dummy_point_7"
SMALL = ["--configs", "debug", "--task", TASK, "--threads", 1, "--run.video_every", 0, "--compile", "off"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a run with two environments, whose replay has parts of episodes."""
    folder = tmp_path_factory.mktemp("source") / "run"
    words = ["--algo", "v1", *SMALL, "--steps", 160, "--envs", 2, "--run.eval_every", 0, "--replay.capacity", 100]
    assert say(*words, "--run.prefill", 160, "--logdir", folder) == 0
    return folder


def test_the_replay_of_a_run_becomes_any_format_and_offline_training_reads_it(run, tmp_path, capsys):
    before = content(run)
    assert say("convert", run, tmp_path / "own") == 0
    said = capsys.readouterr().out
    assert f"{run}, a replay, is now own episode files, which keep everything in {tmp_path / 'own'}:" in said
    episodes = list(open_dataset(str(tmp_path / "own")).episodes())
    assert sum(len(records["reward"]) for records in episodes) == 100
    assert any(not records["is_first"][0] for records in episodes)
    assert any(records["is_first"][0] and records["is_last"][-1] for records in episodes)
    assert content(run) == before
    assert say("convert", tmp_path / "own", tmp_path / "replay", "--to", "replay") == 0
    words = ["--algo", "v3", *SMALL, "--steps", 2, "--run.eval_every", 0]
    assert say(*words, "--run.offline", tmp_path / "replay", "--logdir", tmp_path / "out") == 0
    assert f"100 records of {tmp_path / 'replay'}" in capsys.readouterr().err
    assert say(*words, "--task", "dummy_point_8", "--run.offline", tmp_path / "own", "--logdir", tmp_path / "no") == 2
    assert f"of the task {TASK}: give --task {TASK}" in capsys.readouterr().err


def test_the_streams_of_a_replay_are_read_in_blocks(run):
    whole, blocks = open_dataset(str(run)), open_dataset(str(run))
    blocks.length = 7
    key = lambda records: (bool(records["is_last"][-1]), records["reward"].tobytes())
    assert_same(sorted(blocks.episodes(), key=key), sorted(whole.episodes(), key=key))


def test_an_existing_destination_is_refused(tmp_path, capsys):
    three_episodes(tmp_path / "a")
    (tmp_path / "b").mkdir()
    assert say("convert", tmp_path / "a", tmp_path / "b") == 2
    assert "exists. Give another destination, or delete it first." in capsys.readouterr().err
    assert list((tmp_path / "b").iterdir()) == []


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError(28, "No space left on device"), "SIGTERM"])
def test_an_interrupted_conversion_leaves_nothing(tmp_path, monkeypatch, capsys, fault):
    three_episodes(tmp_path / "a")
    add = EpisodesWriter.add

    def add_one_then_fail(writer, records):
        if writer.count == 1 and fault == "SIGTERM":
            signal.raise_signal(signal.SIGTERM)
        elif writer.count == 1:
            raise fault
        add(writer, records)

    monkeypatch.setattr(EpisodesWriter, "add", add_one_then_fail)
    handler = signal.getsignal(signal.SIGTERM)
    assert say("convert", tmp_path / "a", tmp_path / "b") in (2, 130)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert signal.getsignal(signal.SIGTERM) is handler
    capsys.readouterr()


def records_with(fault):
    records = episode(np.random.default_rng(0), about(), 4)
    records[fault[0]] = fault[1](records[fault[0]].copy())
    return records


def with_value(value, row=2):
    def change(array):
        array[row] = value
        return array

    return change


FAULTS = {
    "reward": (("reward", with_value(np.nan)), "reward that is not finite in row 2"),
    "observation": (("vector", with_value(np.inf)), "vector that is not finite in row 2"),
    "width": (("action", lambda x: x[:, :1]), r"actions of \(1,\) numbers, not \(2,\)"),
    "length": (("reward", lambda x: x[:-1]), "4 rewards, but other lengths"),
    "image": (("image", lambda x: x / 255), r"image \(16, 18, 3\) of type float64, not .* Store images as uint8"),
    "missing": (("vector", lambda x: None), "has no vector"),
    "flags": (("is_terminal", lambda x: None), "has no is_terminal"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_records_are_named_with_their_episode(tmp_path, name):
    fault, message = FAULTS[name]
    bad = {key: value for key, value in records_with(fault).items() if value is not None}
    source = own_episodes(tmp_path / "a", about(), [episode(np.random.default_rng(1), about(), 3), bad])
    with pytest.raises(UserError, match=f"episode-00000001.npz .*{message}"):
        list(source.episodes())


def test_actions_that_are_not_one_hot_are_named(tmp_path):
    form = about("multi")
    bad = episode(np.random.default_rng(1), form, 3)
    bad["action"][1] = 0
    with pytest.raises(UserError, match="not one-hot, although the action space is MultiDiscrete"):
        list(own_episodes(tmp_path / "a", form, [bad]).episodes())


def test_damaged_descriptions_are_named(tmp_path, capsys):
    three_episodes(tmp_path / "a")
    assert say("convert", tmp_path / "a", tmp_path / "r", "--to", "replay") == 0
    (tmp_path / "a" / "episode-00000001.npz").unlink()
    for place, message in (
        (tmp_path / "a", "has 2 episode files, its dataset.json says 3"),
        (tmp_path / "none", "does not exist"),
    ):
        with pytest.raises(UserError, match=message):
            open_dataset(str(place))
    path = tmp_path / "r" / "replay.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": {"streams": "x"}}))
    with pytest.raises(UserError, match=r"replay\.json is damaged"):
        open_dataset(str(tmp_path / "r"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is not a run directory and has no episodes that can be read"):
        open_dataset(str(tmp_path / "empty"))
    capsys.readouterr()


WRONG = {
    "words": (["a"], "convert takes SRC and DST"),
    "format": (["a", "b", "--to", "hdf5"], "--to must be one of episodes, replay, minari"),
    "name": (["a", "minari:x"], "minari:x is not the name of a Minari dataset"),
    "kind": (["a", "minari:x-v0", "--to", "lerobot"], "give --to minari, or a folder"),
    "fps": (["a", "b", "--fps", "0"], "--fps must be 1 or more"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_words_are_named(tmp_path, monkeypatch, capsys, name):
    three_episodes(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    words, message = WRONG[name]
    assert say("convert", *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
