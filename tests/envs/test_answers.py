"""Rewards and flags of any type: taken where they are one number or one bool, else refused by name."""

import decimal

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from common.envs.adapt.adapter import adapt_env
from common.envs.adapt.answers import one_flag, one_number
from common.envs.adapt.gym_compat import GymCompat
from common.envs.vector.workers import split_logs

TENSOR = torch.tensor([0.5], requires_grad=True)
OPTIONS = {"repeat": 2, "time_limit": 0, "size": 64, "gray": False, "resize": "area", "action_scale": 1.0}


class Unprintable:
    """A value whose text cannot be made."""

    def __repr__(self):
        raise RuntimeError("no text")


class Answers(gymnasium.Env):
    """Gives one reward and two flags; with `old`, one flag."""

    observation_space = spaces.Box(-1, 1, (3,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, reward=0.5, terminated=False, truncated=False, old=False):
        self.answer = (reward, terminated) if old else (reward, terminated, truncated)

    def reset(self, *, seed=None, options=None):
        return np.zeros(3, np.float32), {}

    def step(self, action):
        return np.zeros(3, np.float32), *self.answer, {}


def step(**answer):
    """One step of two frames: reward, terminated, truncated."""
    env = adapt_env(GymCompat(Answers(**answer)), OPTIONS)
    env.reset()
    return env.step(0)[1:4]


@pytest.mark.parametrize(
    "reward", [0.5, np.float32(0.5), np.array(0.5), np.array([[0.5]]), [0.5], (np.array([0.5]),), TENSOR,
               torch.tensor(0.5, dtype=torch.bfloat16), decimal.Decimal("0.5")]
)  # fmt: skip
def test_one_number_is_a_reward(reward):
    found = step(reward=reward)
    assert found == (1.0, False, False)
    assert list(map(type, found)) == [float, bool, bool]


@pytest.mark.parametrize(("reward", "total"), [(True, 2.0), (3, 6.0), (np.int64(-2), -4.0), (np.bool_(True), 2.0)])
def test_bools_and_integers_are_rewards(reward, total):
    assert step(reward=reward)[0] == total


@pytest.mark.parametrize(
    "reward", [[0.0, 1.0], (1.0, 2.0), {"agent": 1.0}, "1.0", b"1", np.array(["1.0"]), np.ones(2), torch.ones(2), [],
               {1.0}, 1j, np.array([1j]), object(), [[1.0], [2.0]], np.ma.masked, np.ma.array([1.0], mask=True),
               Unprintable()]
)  # fmt: skip
def test_other_rewards_are_refused_by_name(reward):
    with pytest.raises(ValueError, match=r"The reward must be one number, got .*Return one float"):
        step(reward=reward)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("kind", [bool, int, float, np.bool_, np.array, lambda x: np.array([x]), lambda x: [x],
                                  torch.tensor, lambda x: torch.tensor([x])])  # fmt: skip
def test_one_bool_is_a_flag(kind, old):
    assert step(terminated=kind(True), old=old)[1:] == (True, False)
    assert step(terminated=kind(False), old=old)[1:] == (False, False)
    assert step(truncated=kind(True))[1:] == (False, True)


@pytest.mark.parametrize("flag", ["False", "", [False, False], [], {"__all__": False}, {}, np.zeros(2, bool), None, 2,
                                  float("nan"), torch.zeros(2, dtype=torch.bool), object()])  # fmt: skip
def test_other_flags_are_refused_by_name(flag):
    for name in ("terminated", "truncated"):
        with pytest.raises(TypeError, match=f"{name} must be one bool, got .*Return True or False"):
            step(**{name: flag})
    with pytest.raises(TypeError, match="done must be one bool, got "):
        step(terminated=flag, old=True)


def test_long_answers_are_cut_and_types_of_numbers_are_kept():
    with pytest.raises(ValueError, match=r"got \[0, 0, .{60,80}\.\.\.\. Return"):
        one_number([0] * 1000, "reward")
    assert type(one_number(np.array([1], np.float32), "reward")) is np.float32  # sums stay in float32
    assert one_flag(np.array(True), "terminated") is True


def test_observations_and_logs_may_be_tensors_that_need_a_gradient():
    class Tensors(Answers):
        def reset(self, *, seed=None, options=None):
            return torch.ones(3, requires_grad=True), {}

    obs, _ = adapt_env(GymCompat(Tensors()), OPTIONS).reset()
    assert obs["vector"].tolist() == [1, 1, 1]
    numbers, others = split_logs({"log_a": TENSOR, "log_b": [2], "log_c": np.ones(2), "log_d": Unprintable()})
    assert numbers == {"log_a": 0.5, "log_b": 2.0}
    assert list(others) == ["log_c", "log_d"]
    assert "'a Unprintable' is not a number" in others["log_d"]
