"""Runs with different observations share an environment: each sees its own view of the same state."""

import random

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from PIL import Image

import dreamer
from common.errors import UserError
from common.viewer.environment import Environment
from common.viewer.runs import load_runs, picture_key
from common.viewer.session import Session
from common.viewer.settings import Settings
from tests.helpers.saved_runs import untrained

GAME = "atari_pong"


class Coin(gymnasium.Env):
    """The reward is random, with no seed."""

    observation_space = spaces.Box(0, 255, (64, 64, 3), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros((64, 64, 3), np.uint8), {}

    def step(self, action):
        return np.zeros((64, 64, 3), np.uint8), random.SystemRandom().random(), False, False, {}


@pytest.fixture(scope="module")
def games(tmp_path_factory):
    """Runs with the published images of V2 (64 pixels) and V3 (96 pixels), and one that reads the memory."""
    folder = tmp_path_factory.mktemp("games")
    for name, algo, flags in (("v2", "v2", {}), ("v3", "v3", {}), ("ram", "v1", {"env__obs": "ram"})):
        untrained(folder / name, algo, GAME, env__actions="full", **flags)
    return folder


@pytest.fixture
def session(games):
    runs = load_runs([str(games / name) for name in ("v2", "v3", "ram")])
    environment = Environment(runs[0].config, [run.config for run in runs])
    yield Session(environment, runs, picture_key(environment.images, runs), settings=Settings(who="random"))
    environment.close()


def changes(pictures):
    """Small pictures (T, 32, 32, 3) without what is in all of them."""
    small = [Image.fromarray(picture).resize((32, 32), Image.Resampling.BOX) for picture in pictures]
    found = np.stack([np.asarray(picture, np.float32).mean(-1) for picture in small])
    return found - found.mean(0)


def test_each_run_sees_its_own_view_of_the_same_state(session):
    frames = [session.step() for _ in range(60)]
    session.new_start()
    frames += [session.step() for _ in range(20)]
    for frame in frames:
        first, second, third = frame.truths
        assert (first.shape, second.shape, third) == ((64, 64, 3), (96, 96, 3), None)
        assert [model is not None for model in frame.models] == [True, True, False]
        assert np.array_equal(frame.real, first)
        assert [run["error"] is not None for run in frame.numbers["runs"]] == [True, True, False]
    one, two = (changes([frame.truths[run] for frame in frames]) for run in (0, 1))
    apart = np.abs(one[:, None] - two[None]).mean((2, 3))
    own = np.diag(apart)[:, None]
    assert (own <= apart.min(1, keepdims=True) + 1e-3).mean() > 0.9  # no other step looks more alike
    assert (own < apart).mean() > 0.5
    assert len(frames[-1].numbers["vectors"]["ram"]) == len(frames[-1].numbers["runs"][2]["vectors"]["ram"]) == 128


def test_a_full_reset_repeats_all_views(session):
    first = [session.full_reset(), *(session.step() for _ in range(5))]
    again = [session.full_reset(), *(session.step() for _ in range(5))]
    for one, two in zip(first, again, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(one.truths, two.truths, strict=True))


def test_equal_views_share_one_copy(games):
    config = load_runs([str(games / "v3")])[0].config
    for viewers, views, copies in (
        ((), [], 1),
        ([config, config], [0, 0], 1),
        ([config | {"env": config["env"] | {"size": 32}}], [1], 2),
    ):
        environment = Environment(config, viewers)
        assert (environment.views, len(environment.copies)) == (views, copies)
        environment.close()


def test_a_task_that_does_not_repeat_is_refused():
    one, two = (
        dreamer.resolve("v3", ["debug"], {"task": f"{__name__}:Coin", "env.size": size, "logdir": f"logs/{size}"})
        for size in (64, 96)
    )
    environment = Environment(one, [one, two])
    with pytest.raises(
        UserError, match=r"not the same for logs/64 and logs/96: after 1 equal actions.*--logdir logs/96"
    ):
        environment.step(environment.actions.action([0]))
    environment.close()
