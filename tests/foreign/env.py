"""A task with the observations and actions of the foreign agents in `data`."""

import gymnasium
import numpy as np
from gymnasium import spaces


class Mixed(gymnasium.Env):
    """Random images and vectors; episodes of 12 steps; five discrete actions."""

    observation_space = spaces.Dict(
        {
            "image": spaces.Box(0, 255, (64, 64, 3), np.uint8),
            "velocity": spaces.Box(-9, 9, (3,), np.float32),
            "position": spaces.Box(-9, 9, (2,), np.float32),
            "height": spaces.Box(-9, 9, (), np.float32),
        }
    )
    action_space = spaces.Discrete(5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.steps += 1
        return self.observation_space.sample(), float(action), self.steps == 12, False, {}


class Continuous(Mixed):
    """The same with two continuous actions."""

    action_space = spaces.Box(-1, 1, (2,), np.float32)
