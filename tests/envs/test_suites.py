"""Every task of every suite follows one contract; a suite whose package is missing names it."""

import importlib
import importlib.util
import re
import sys

import numpy as np
import pytest
from gymnasium import spaces

import dreamer
from common.config import versions
from common.config.config import flatten, read
from common.envs import SUITES, make_env
from common.errors import UserError

TASKS = {name: list(suite["tasks"]) for name, suite in read(versions.CONFIG_FOLDER / "suites.yaml").items()}
PROTOCOLS = {"dmc20_vision": "dmc_proprio", "atari57": "atari", "atari26_100k": "atari100k"}
OPTIONAL = {
    "crafter": ["crafter_noreward"],
    "minigrid": ["minigrid_Empty-5x5-v0", "minigrid_BabyAI-GoToObj-v0"],
    "bsuite": ["bsuite_catch", "bsuite_deep_sea_stochastic/1", "bsuite_cartpole_noise/3", "bsuite_umbrella_length/2"],
    "metaworld": ["metaworld_reach-v3"],
    "memorymaze": ["memorymaze_9x9"],
}


def contract(task, env, steps=3):
    """Check a task on the start of episode 0, with and without a time limit, and of episode 1.

    Return whether the two episodes differ.
    """
    limit = {"time_limit": steps * env["repeat"], "timeout_terminal": False}
    made, limited = make_env(task, env, seed=1), make_env(task, env | limit, seed=1)
    assert isinstance(made.action_space, spaces.Discrete | spaces.MultiDiscrete | spaces.Box)
    if isinstance(made.action_space, spaces.Box):
        assert (made.action_space.low.min(), made.action_space.high.max()) == (-1, 1)
    other, one, short = played(made, 1, steps), played(made, 0, steps), played(limited, 0, 9 * steps)
    made.close()
    limited.close()
    assert one[-1][-2:] in ([False, False], [True, False]), task
    truncated = len(one) > steps  # with its own end at the last step of the limit, it is both
    assert short == [*one[:-1], [*one[-1][:-1], truncated]], task
    return one != other


def played(env, episode, steps):
    """Play the start of an episode and check it against the spaces.

    Return a list for each record: observations as bytes, and after a step reward and flags.
    """
    env.action_space.seed(0)
    obs, _ = env.reset(options={"episode": episode})
    found = [checked(env, obs)]
    for _ in range(steps):
        obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert [type(value) for value in (reward, terminated, truncated)] == [float, bool, bool]
        assert np.isfinite(reward)
        found.append([*checked(env, obs), reward, terminated, truncated])
        if terminated or truncated:
            break
    return found


def checked(env, obs):
    assert set(obs) == set(env.observation_space)
    for key, space in env.observation_space.items():
        image = len(space.shape) == 3
        assert (obs[key].dtype, obs[key].shape) == (space.dtype, space.shape)
        assert space.dtype == (np.uint8 if image else np.float32)
        assert image or (len(space.shape) < 2 and np.isfinite(obs[key]).all())
    return [obs[key].tobytes() for key in sorted(obs)]


def protocol(name):
    return dreamer.resolve("v3", [name])["env"]


def test_suites_are_complete():
    counts = {name: len(set(TASKS[name])) for name in PROTOCOLS}
    assert counts == {"dmc20_vision": 20, "atari57": 57, "atari26_100k": 26}


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.long)])
def test_dmc_tasks_from_states_and_images(every):
    env = protocol("dmc_vision") | {"obs": "both", "render": "ray", "size": 16}
    assert all([contract(task, env, steps=2) for task in TASKS["dmc20_vision"][::every]])


@pytest.mark.parametrize("name", ["atari57", "atari26_100k"])
def test_some_atari_games(name):
    for task in TASKS[name][::30]:
        contract(task, protocol(PROTOCOLS[name]))


@pytest.mark.long
@pytest.mark.parametrize("name", ["atari57", "atari26_100k"])
def test_all_atari_games(name):
    env = protocol(PROTOCOLS[name])
    for task in TASKS[name]:
        contract(task, env, steps=20)
        legal = 9 if task == "atari_skiing" else 18  # the emulator removes the fire button
        assert env["actions"] == "minimal" or make_env(task, env).action_space.n == legal


@pytest.mark.parametrize("suite", OPTIONAL)
def test_optional_suites(suite):
    package = {"memorymaze": "memory_maze"}.get(suite, suite)
    if not importlib.util.find_spec(package):  # `importorskip` would import memory_maze, which needs the old gym
        pytest.skip(f"{package} is not installed")
    for task in OPTIONAL[suite]:
        try:
            contract(task, protocol(suite))
        except UserError as error:
            if suite not in ("metaworld", "memorymaze"):  # one needs another mujoco, the other a renderer
                raise
            pytest.skip(str(error))


@pytest.mark.parametrize("suite", OPTIONAL)
def test_a_missing_package_is_named(suite, monkeypatch):
    module, package, example, _ = SUITES[suite]
    for name in [name for name in sys.modules if name.split(".")[0] == package.replace("-", "_")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr("common.envs.suites.dmc.working_backend", lambda: "disable")
    with pytest.raises(UserError, match=f"pip install {package}"):
        make_env(example)


def test_the_documented_protocols_match_the_configs():
    text = (versions.CONFIG_FOLDER.parent / "docs" / "environments.md").read_text()
    sections = re.findall(r"^### [^\n]*`--configs (\w+)`\n(.*?)(?=^#|\Z)", text, re.S | re.M)
    assert [block for block, _ in sections] == ["dmc_vision", "dmc_proprio", "atari", "atari100k", "crafter"]
    for block, section in sections:
        configs = [flatten(dreamer.resolve(algo, [block])) for algo in dreamer.ALGOS]
        rows = re.findall(r"^\| `([\w.]+)` \| (.*) \|$", section, re.M)
        assert rows
        for key, cells in rows:
            assert cells.split(" | ") == [str(config[key]).lower() for config in configs], (block, key)


def test_every_suite_has_a_block_and_an_example():
    blocks = read(versions.CONFIG_FOLDER / "environments.yaml")
    assert set(versions.ENVIRONMENT_BLOCKS) == set(SUITES)
    assert set(versions.ENVIRONMENT_BLOCKS.values()) <= set(blocks)
    for suite in SUITES.values():
        assert importlib.util.find_spec(suite.module)
        assert suite.example.split("_")[0] in SUITES


@pytest.mark.parametrize(
    ("task", "needs"),
    [
        ("procgen_coinrun", "--task gym_procgen_gym:procgen_gym/procgen-coinrun-v0"),
        ("dmlab_rooms_watermaze", "compile its module deepmind_lab from source with Bazel"),
        ("minecraft_diamond", "pip install crafter, then --task crafter_reward"),
    ],
)
def test_suites_that_do_not_install_say_what_they_need(task, needs):
    with pytest.raises(UserError) as error:
        make_env(task)
    assert str(error.value).startswith(f"Task '{task}': ")
    assert needs in str(error.value)
