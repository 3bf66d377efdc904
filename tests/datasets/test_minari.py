"""Minari datasets, for real: those that Minari wrote are read, those that `convert` wrote are read by Minari."""

import json

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces as gym_spaces

from common.datasets.convert import convert
from common.datasets.dataset import ImageForm
from common.datasets.formats import open_dataset
from common.errors import UserError
from tests.datasets.tools import assert_same, content, three_episodes
from tests.helpers.saved_runs import say

minari = pytest.importorskip("minari")
pytest.importorskip("h5py")


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "store"))
    return tmp_path / "store"


def buffer(steps=4, *, end="terminations", **changes):
    """Returns an episode as Minari takes it: two bounded actions per step, a vector and an image."""
    rng = np.random.default_rng(steps)
    ended = np.arange(steps) == steps - 1
    content = {
        "observations": {
            "camera": rng.integers(0, 256, (steps + 1, 24, 20, 3)).astype(np.uint8),
            "state": {"arm": rng.normal(size=(steps + 1, 3))},
        },
        "actions": np.linspace([-2, 0], [2, 10], steps).astype(np.float32),
        "rewards": np.arange(1, steps + 1) / 10,
        "terminations": ended & (end == "terminations"),
        "truncations": ended & (end == "truncations"),
    }
    return minari.data_collector.EpisodeBuffer(**content | changes)


OBSERVATION = gym_spaces.Dict(
    {
        "camera": gym_spaces.Box(0, 255, (24, 20, 3), np.uint8),
        "state": gym_spaces.Dict({"arm": gym_spaces.Box(-np.inf, np.inf, (3,), np.float64)}),
    }
)
ACTION = gym_spaces.Box(np.array([-2, 0], np.float32), np.array([2, 10], np.float32))


def stored(*buffers, action=ACTION, observation=OBSERVATION, name="test/things-v0"):
    with pytest.warns(UserWarning, match="set to None|env_spec is None"):
        minari.create_dataset_from_buffers(
            name, list(buffers), observation_space=observation, action_space=action, jpeg_encoding=False
        )
    return f"minari:{name}"


def test_a_dataset_of_minari_becomes_records(store):
    place = stored(buffer(4), buffer(3, end="truncations"), buffer(2, end=""))
    dataset = open_dataset(place)
    one, two, three = dataset.episodes()
    assert set(one) == {"camera", "state_arm", "action", "reward", "is_first", "is_last", "is_terminal"}
    assert one["camera"].shape == (5, 24, 20, 3)
    assert one["state_arm"].dtype == np.float32
    np.testing.assert_allclose(one["action"][:, 0], [-1, -1 / 3, 1 / 3, 1, 0], atol=1e-6)
    np.testing.assert_array_equal(one["reward"], np.float32([0, 0.1, 0.2, 0.3, 0.4]))
    assert [bool(records["is_terminal"][-1]) for records in (one, two, three)] == [True, False, False]
    assert dataset.notes() == [f"1 episodes of {place} have no termination or truncation: cut short."]
    assert_same(open_dataset(str(store / "test" / "things-v0")).episodes(), [one, two, three])
    assert next(open_dataset(place, ImageForm(size=16)).episodes())["camera"].shape == (5, 16, 16, 3)


@pytest.mark.parametrize("action", ["box", "discrete", "multi"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_conversion_to_minari_and_back_gives_the_same_bytes(tmp_path, action, channels):
    source = three_episodes(tmp_path / "a", action=action, channels=channels)
    done = convert(source, "minari:own/three-v1", "minari", fps=1, video=False)
    assert done.notes == ["Actions are scaled to [-1, 1]: gymnasium.wrappers.RescaleAction(env, -1, 1) fits them."] * (
        action == "box"
    )
    loaded = minari.load_dataset("own/three-v1")
    assert (loaded.total_episodes, loaded.total_steps) == (3, 14)
    assert loaded[0].terminations.tolist() == [False] * 4 + [True]
    assert loaded.action_space.contains(loaded[0].actions[0])
    assert loaded.observation_space["image"].shape == (16, 18, channels)
    assert "own/three-v1" in minari.list_local_datasets()
    convert(open_dataset("minari:own/three-v1"), str(tmp_path / "b"), "episodes", fps=1, video=False)
    assert content(tmp_path / "b") == content(tmp_path / "a")


def test_offline_training_and_wm_eval_read_it_and_a_run_is_exported(tmp_path, store, capsys):
    gym_env = gym.make("Pendulum-v1", max_episode_steps=30)
    episodes = []
    for seed in range(6):
        observations, actions, rewards = [gym_env.reset(seed=seed)[0]], [], []
        for _ in range(30):
            actions.append(gym_env.action_space.sample())
            observation, reward, *_ = gym_env.step(actions[-1])
            observations.append(observation)
            rewards.append(reward)
        ends = np.arange(30) == 29
        changes = {"observations": np.array(observations), "actions": np.array(actions), "rewards": rewards}
        episodes.append(buffer(30, **changes, terminations=~ends & ends, truncations=ends))
    place = stored(*episodes, action=gym_env.action_space, observation=gym_env.observation_space)
    words = ["--algo", "v3", "--configs", "debug", "--task", "gym_Pendulum-v1", "--threads", 1, "--compile", "off"]
    words += ["--run.video_every", 0, "--steps", 2, "--run.eval_every", 2, "--run.offline", place]
    assert say(*words, "--logdir", tmp_path / "run") == 0
    said = capsys.readouterr().err
    assert f"186 records of {place}" in said
    assert "No evaluation" not in said
    assert say("convert", tmp_path / "run", "minari:pendulum/own-v0") == 0
    assert minari.load_dataset("pendulum/own-v0").total_steps == 180
    words_of_eval = ["wm-eval", "--replay", place, "--algos", "v1,v3", "--configs", "debug", "--updates", 2]
    assert say(*words_of_eval, "--logdir", tmp_path / "eval", "--dry-run") == 0
    assert "6 runs" in capsys.readouterr().out
    discrete = [word if word != "gym_Pendulum-v1" else "gym_CartPole-v1" for word in words]
    assert say(*discrete, "--logdir", tmp_path / "other") == 2
    assert "gym_CartPole-v1 has other spaces than the records" in capsys.readouterr().err


FAULTS = {
    "range": (
        {"actions": np.full((4, 2), 11, np.float32)},
        r"action outside its space Box.* at step 0: \[11.0, 11.0\]",
    ),
    "reward": ({"rewards": [0, np.nan, 0, 0]}, "reward that is not finite in row 2"),
    "action": ({"actions": np.full((4, 2), np.nan, np.float32)}, "action that is not finite"),
    "end": ({"truncations": np.array([0, 1, 0, 0], bool)}, "ends at step 2 and continues to step 4"),
    "flags": ({"terminations": np.zeros(3, bool)}, "4 rewards, 3 terminations and 4 truncations"),
    "length": ({"actions": np.zeros((3, 2), np.float32)}, "4 rewards, but {'action': 3} steps"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_named_with_their_episode(name):
    changes, message = FAULTS[name]
    dataset = open_dataset(stored(buffer(4), buffer(4, **changes)))
    with pytest.raises(UserError, match=f"Episode 1 of minari:test/things-v0.*{message}"):
        list(dataset.episodes())


def test_unsuitable_datasets_are_named(store, tmp_path):
    with pytest.raises(UserError, match=r"minari:none/x-v0 is not a Minari dataset: .* has no data/metadata\.json"):
        open_dataset("minari:none/x-v0")
    stored(buffer(2))
    data = store / "test" / "things-v0" / "data"
    about = json.loads((data / "metadata.json").read_text())
    (data / "metadata.json").write_text(json.dumps({key: about[key] for key in about if key != "action_space"}))
    with pytest.raises(UserError, match=r"has no action_space. Create the dataset with them"):
        open_dataset("minari:test/things-v0")
    (data / "metadata.json").write_text(json.dumps(about))
    (data / "main_data.hdf5").write_bytes(b"nothing")
    with pytest.raises(UserError, match="Episode 0 of minari:test/things-v0 cannot be read"):
        list(open_dataset("minari:test/things-v0").episodes())
