"""Every kind of task follows the interface: spaces, records, episodes, seeds."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from common.envs import make_env, make_envs
from common.envs.suites.dmc import working_backend
from common.errors import UserError

DUMMIES = [
    "mixed",
    "point",
    "pixels",
    "bandit",
    "onehot",
    "counter",
    "cliff",
    "point_image_multi_5",
    "mixed_box_vector",
    "onehot_both_7",
]
FAULTY = "tests.helpers.faulty_envs"
ROOT = Path(__file__).parents[2]


def check_contract(env, steps):
    """Play `steps` random steps and check every observation against the space; returns the sum of rewards."""
    assert all(
        space.dtype == (np.uint8 if len(space.shape) == 3 else np.float32) and len(space.shape) in (0, 1, 3)
        for space in env.observation_space.values()
    )
    env.action_space.seed(0)
    over, total = True, 0.0
    for _ in range(steps):
        if over:
            obs, _ = env.reset()
            over = False
        else:
            obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            assert type(reward) is float
            assert type(terminated) is bool
            assert type(truncated) is bool
            over, total = terminated or truncated, total + reward
        assert {key: (value.shape, value.dtype) for key, value in obs.items()} == {
            key: (space.shape, space.dtype) for key, space in env.observation_space.items()
        }
        assert env.observation_space.contains({key: np.asarray(value) for key, value in obs.items()})
    env.close()
    return total


@pytest.mark.parametrize("task", [f"dummy_{kind}" for kind in DUMMIES] + ["dummy"])
def test_dummies(task):
    check_contract(make_env(task), 60)


@pytest.mark.parametrize(
    ("task", "vector", "action"),
    [
        ("gym_CartPole-v1", (4,), "Discrete(2)"),
        ("gym_Pendulum-v1", (3,), "Box(-1.0, 1.0, (1,), float32)"),
        ("gym_FrozenLake-v1", (16,), "Discrete(4)"),
        ("gym_Taxi-v4", (500,), "Discrete(6)"),
    ],
)
def test_gym(task, vector, action):
    env = make_env(task)
    assert env.observation_space["vector"].shape == vector
    assert str(env.action_space) == action
    check_contract(env, 60)


@pytest.mark.parametrize("task", ["atari_pong", "atari100k_breakout", "gym_ALE/Pong-v5"])
def test_atari(task):
    env = make_env(task, {"repeat": 4, "noops": 30})
    assert env.observation_space["image"].shape == (64, 64, 3)
    check_contract(env, 20)


@pytest.mark.parametrize("task", ["crafter_reward", "crafter_noreward"])
def test_crafter(task):
    pytest.importorskip("crafter")
    total = check_contract(make_env(task, {"time_limit": 5}), 12)  # two episodes
    assert task == "crafter_reward" or total == 0


def test_missing_crafter_names_the_package_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "crafter", None)
    monkeypatch.delitem(sys.modules, "common.envs.suites.crafter", raising=False)
    with pytest.raises(UserError, match="pip install crafter"):
        make_env("crafter_reward")


@pytest.mark.parametrize(
    ("task", "obs", "render"),
    [("cartpole_swingup", "image", "full"), ("cartpole_swingup", "image", "fast"), ("quadruped_walk", "both", "ray")],
)
def test_dmc_pixels(task, obs, render):
    try:
        _ = render == "ray" or working_backend()
    except UserError as error:
        pytest.skip(str(error))
    env = make_env(f"dmc_{task}", {"repeat": 2, "obs": obs, "size": 32, "render": render})
    assert env.observation_space["image"].shape == (32, 32, 3)
    assert (len(env.observation_space) == 1) == (obs == "image")
    first, _ = env.reset()
    second = env.step(env.action_space.sample())[0]
    assert first["image"].std() > 5
    assert (first["image"] != second["image"]).any()
    check_contract(env, 4)


def test_custom_module(tmp_path, monkeypatch):
    (tmp_path / "my_little_env.py").write_text(
        "import gymnasium\n"
        "class MyEnv(gymnasium.Env):\n"
        "    observation_space = gymnasium.spaces.Dict({'a/b': gymnasium.spaces.MultiBinary(3)})\n"
        "    action_space = gymnasium.spaces.MultiDiscrete([2, 3])\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        super().reset(seed=seed)\n"
        "        return {'a/b': [1, 0, 1]}, {}\n"
        "    def step(self, action):\n"
        "        return {'a/b': [0, 0, 0]}, int(action[1]), False, bool(action[0]), {}\n"
    )
    monkeypatch.chdir(tmp_path)
    check_contract(make_env("my_little_env:MyEnv"), 20)
    with make_envs("my_little_env.py:MyEnv", None, 2, parallel="process") as envs:
        assert envs.reset()["a_b"].tolist() == [[1, 0, 1], [1, 0, 1]]
        record = envs.step(np.array([[0, 2], [1, 1]]))
        assert record["reward"].tolist() == [2, 1]
        assert record["is_last"].tolist() == [False, True]


@pytest.mark.parametrize("name", ["my_namesake:MyEnv", "./my_namesake.py:MyEnv"])
def test_a_custom_module_precedes_an_installed_one_of_the_same_name(name, tmp_path, monkeypatch):
    for folder, size in (("site-packages", 2), ("mine", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my_neighbour.py").write_text(f"SIZE = {size}\n")
        (tmp_path / folder / "my_namesake.py").write_text(
            "import my_neighbour\n"
            "import gymnasium\n"
            "class MyEnv(gymnasium.Env):\n"
            "    observation_space = gymnasium.spaces.Discrete(2)\n"
            f"    action_space = gymnasium.spaces.Discrete({size} * my_neighbour.SIZE)\n"
        )
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site-packages")])
    monkeypatch.chdir(tmp_path / "mine")
    for module in ("my_namesake", "my_neighbour"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    assert make_env(name).action_space.n == 9
    ours, python, folder = (sys.path.index(str(path)) for path in (ROOT, Path(os.__file__).parent, tmp_path / "mine"))
    assert max(ours, python) < folder


@pytest.mark.parametrize("task", ["dummy_mixed", "dummy_bandit", "gym_Pendulum-v1", "dmc_walker_walk", "atari_pong"])
def test_equal_seeds_give_equal_episodes_and_others_differ(task):
    def play(seed, index, episodes=2):
        env = make_env(task, {"repeat": 4, "sticky": 0.25, "noops": 30, "time_limit": 24}, seed, index)
        env.action_space.seed(0)
        records = []
        for _ in range(episodes):
            records.append(env.reset()[0])
            for _ in range(6):
                records.append(env.step(env.action_space.sample())[0])
        env.close()
        return np.stack([np.concatenate([np.ravel(value) for value in obs.values()]) for obs in records])

    same, again, index, seed = play(1, 0), play(1, 0), play(1, 1), play(2, 0)
    assert (same == again).all()
    assert (same != index).any()
    assert (same != seed).any()
    assert (same[:7] != same[7:]).any()  # the second episode differs from the first


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("dmd_walker_walk", "Did you mean dmc_walker_walk"),
        ("pong", "atari_pong"),
        ("dmc_walker_wlak", "dmc_walker_walk"),
        ("dmc_walker", "dmc_walker_"),
        ("atari_pongg", "atari_pong"),
        ("gym_CartPol-v1", "gym_CartPole-v1"),
        ("dummy_pint", "dummy_point"),
        ("dummy_point_imag", "Did you mean 'image'"),
        ("no_such_module_here:Env", "could not be imported"),
        (f"{FAULTY}:Stead", f"Did you mean {FAULTY}:Steady"),
        (f"{FAULTY}:ExitsWhenMade", "could not be made: SystemExit: 0"),
        (f"{FAULTY}:Path", "made a PosixPath, which has no observation_space and no action_space and no reset"),
        (f"{FAULTY}:Faulty.py", "no class or function"),
    ],
)
def test_unknown_names_report_the_nearest(task, message):
    with pytest.raises(UserError) as error:
        make_env(task)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("task", "config", "message"),
    [
        ("dmc_walker_walk", {"obs": "pixels"}, "env.obs must be one of image, vector, both"),
        ("atari_pong", {"actions": "some"}, "env.actions must be one of full, minimal"),
        ("atari_pong", {"life_loss": "yes"}, "env.life_loss must be one of ignore, end"),
        ("dummy", {"resize": "nearest"}, "env.resize must be one of area, bilinear, not 'nearest'"),
        ("dmc_walker_walk", {"render": "half"}, "env.render must be one of full, fast, ray, not 'half'"),
        ("dmc_walker_walk", {"obs": "image", "render": "ray", "camera": 7}, "env.camera must be -1 to 1 for walker"),
        ("dummy", {"size": -4}, "env.size must be at least 0, not -4"),
        ("dummy", {"repeat": 0}, "env.repeat must be at least 1, not 0"),
        ("dummy", {"time_limit": -1}, "env.time_limit must be at least 0"),
        ("dummy", {"noops": -1}, "env.noops must be at least 0"),
        ("dummy", {"max_failures": -1}, "env.max_failures must be at least 0"),
    ],
)
def test_wrong_options(task, config, message):
    with pytest.raises(UserError, match=message):
        make_env(task, config)


def test_wrong_parallel():
    with pytest.raises(UserError, match="auto, none, process or native"):
        make_envs("dummy", None, 1, parallel="threads")
