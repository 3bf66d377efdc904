"""Environments with one fault each; `Fine` has none."""

import gymnasium
import numpy as np
from gymnasium import spaces


class Fine(gymnasium.Env):
    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        return np.zeros(3, np.float32), 1.0, False, False, {}


class Raises(Fine):
    def step(self, action):
        raise RuntimeError("the motor is on fire")


class RaisesAtReset(Fine):
    def reset(self, *, seed=None, options=None):
        raise RuntimeError("no such simulator")


class RaisesWhenMade(Fine):
    def __init__(self):
        raise RuntimeError("no licence")


class GivesNaN(Fine):
    def step(self, action):
        return np.full(3, np.nan, np.float32), 1.0, False, False, {}


class GivesNaNReward(Fine):
    def step(self, action):
        return np.zeros(3, np.float32), float("nan"), False, False, {}


class WrongShape(Fine):
    def step(self, action):
        return np.zeros(4, np.float32), 1.0, False, False, {}


class TextActions(Fine):
    action_space = spaces.Text(5)


class TextObservations(Fine):
    observation_space = spaces.Text(5)
