"""Hints for tasks whose suite is not named."""

import pytest

from common.envs import make_env
from common.errors import UserError


@pytest.mark.parametrize(
    ("typed", "meant"),
    {
        "walker_walk": "dmc_walker_walk",
        "walker-walk": "dmc_walker_walk",
        "walker_wlk": "dmc_walker_walk",
        "dcm_walker_wlk": "dmc_walker_walk",
        "CartPole-v1": "gym_CartPole-v1",
        "cartpole": "gym_CartPole-v1",
        "Pong": "atari_pong",
        "PongNoFrameskip-v4": "atari_pong",
        "MsPacman": "atari_ms_pacman",
    }.items(),
)
def test_a_task_without_its_suite_is_named_with_it(typed, meant):
    with pytest.raises(UserError, match=rf"Did you mean {meant}( or .*)?\?$"):
        make_env(typed)


def test_a_task_like_no_other_gets_examples():
    with pytest.raises(UserError, match=r"No suite has the task 'xyzzy'\. Examples: dmc_walker_walk, "):
        make_env("xyzzy")


def test_a_task_that_cannot_be_made_is_not_a_hint(monkeypatch):
    monkeypatch.setattr("common.envs.suites.dmc.make", lambda *_: 1 / 0)
    with pytest.raises(UserError, match="has the task 'walker_walk'") as error:
        make_env("walker_walk")
    assert "dmc_walker_walk?" not in str(error.value)
