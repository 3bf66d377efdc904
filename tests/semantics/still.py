"""An environment that never changes."""

import gymnasium
import numpy as np
from gymnasium import spaces


class Still(gymnasium.Env):
    """Observes zeros, pays nothing, ends by time after 50 steps."""

    observation_space = spaces.Box(-1, 1, (3,), np.float32)
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.time += 1
        return np.zeros(3, np.float32), 0.0, False, self.time >= 50, {}
