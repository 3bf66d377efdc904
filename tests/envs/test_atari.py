"""Atari: actions have effects, and so has every option of the protocol."""

import importlib.metadata

import numpy as np
import pytest

from common.envs import make_env
from common.envs.suites import atari
from common.errors import UserError


def test_actions_have_different_effects():
    def screen(action):
        env = make_env("atari_pong", {"repeat": 4, "size": 0})
        env.reset()
        for _ in range(20):
            env.step(0)
        for _ in range(8):
            obs = env.step(action)[0]
        return obs["image"]

    noop, right, left = screen(0), screen(3), screen(4)
    assert (noop != right).any()
    assert (noop != left).any()
    assert (right != left).any()


@pytest.mark.parametrize(("actions", "n"), [("full", 18), ("minimal", 4)])
def test_action_sets(actions, n):
    assert make_env("atari_breakout", {"actions": actions}).action_space.n == n


@pytest.mark.parametrize(("gray", "size", "shape"), [(True, 96, (96, 96, 1)), (False, 0, (210, 160, 3))])
def test_image_shapes(gray, size, shape):
    env = make_env("atari100k_pong", {"gray": gray, "size": size, "resize": "bilinear"})
    assert env.reset()[0]["image"].shape == env.observation_space["image"].shape == shape


def test_the_memory_is_observed_alone_or_next_to_the_image():
    envs = {obs: make_env("atari_breakout", {"obs": obs, "repeat": 4, "actions": "minimal"}) for obs in ("ram", "both")}
    first = {obs: env.reset()[0] for obs, env in envs.items()}
    assert {obs: sorted(seen) for obs, seen in first.items()} == {"ram": ["ram"], "both": ["image", "ram"]}
    for action in (1, 2, 2, 3):
        seen = {obs: env.step(action)[0]["ram"] for obs, env in envs.items()}
        memory = envs["ram"].unwrapped.ale.getRAM()
        assert seen["ram"].dtype == np.float32
        assert np.array_equal(np.rint(seen["ram"] * 255), memory)
        assert np.array_equal(seen["ram"], seen["both"])
    assert not np.array_equal(seen["ram"], first["ram"]["ram"])
    assert envs["ram"].observation_space["ram"].contains(seen["ram"])
    assert envs["ram"].render().shape == (210, 160, 3)


def test_states_and_the_memory_of_other_tasks_are_refused():
    with pytest.raises(UserError, match=r"no vector of states.*--env\.obs ram"):
        make_env("atari_pong", {"obs": "vector"})
    with pytest.raises(UserError, match="for Atari, and dmc_walker_walk is not"):
        make_env("dmc_walker_walk", {"obs": "ram"})


def test_both_spellings_of_a_game():
    assert make_env("atari_james_bond").unwrapped.rom == make_env("atari_jamesbond").unwrapped.rom


@pytest.mark.parametrize(("option", "terminal"), [(False, False), (True, True)])
def test_time_limit_in_frames(option, terminal):
    env = make_env("atari_pong", {"repeat": 4, "time_limit": 10, "timeout_terminal": option})
    for _ in range(2):
        env.reset()
        steps = [env.step(0)[2:4] for _ in range(3)]
        assert steps == [(False, False), (False, False), (terminal, not terminal)]
        assert env.unwrapped.frame == 10


def test_life_loss_ends_the_episode_only_when_asked():
    def lengths(life_loss):
        env = make_env("atari_breakout", {"repeat": 4, "life_loss": life_loss, "actions": "minimal"})
        env.reset()
        for step in range(1, 1000):
            _, _, terminated, _, _ = env.step(1)  # fire and wait
            if terminated:
                return step, env.unwrapped.ale.lives()
        raise AssertionError("the game did not end")

    life, game = lengths("end"), lengths("ignore")
    assert life[0] < game[0]
    assert life[1] == 4
    assert game[1] == 0


def test_no_ops_vary_the_start():
    env = make_env("atari_breakout", {"repeat": 4, "noops": 30, "size": 0})
    assert len({(env.reset(), env.unwrapped.ale.getEpisodeFrameNumber())[1] for _ in range(4)}) > 1
    rng = np.random.default_rng(0)
    counts = np.bincount([atari.draw_episode_start(rng, {"noops": 4, "least_noops": 1})[1] for _ in range(200)])
    assert counts[0] == 0
    assert len(counts) == 5
    assert (counts[1:] > 25).all()


@pytest.mark.parametrize(("least", "most", "frames"), [(3, 3, 3), (5, 2, 2), (0, 0, 0)])
def test_number_of_no_ops_is_within_its_bounds(least, most, frames):
    env = make_env("atari_pong", {"repeat": 1, "noops": most, "least_noops": least, "size": 0})
    env.reset()
    assert env.unwrapped.ale.getEpisodeFrameNumber() == frames


def test_sticky_actions_depend_on_the_seed():
    def play(sticky, seed):
        env = make_env("atari_breakout", {"repeat": 4, "sticky": sticky, "size": 0}, seed)
        env.reset()
        return np.stack([env.step([3, 4][step % 2])[0]["image"] for step in range(20)])

    assert (play(0.25, 1) == play(0.25, 1)).all()
    assert (play(0.25, 1) != play(0.25, 2)).any()
    assert (play(0.0, 1) == play(0.0, 2)).all()


@pytest.mark.parametrize("version", ["0.10.0", "0.10.1"])
def test_releases_that_confuse_actions_are_refused(version, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", lambda package: version)
    with pytest.raises(UserError, match=f"ale-py {version}"):
        make_env("atari_pong")
