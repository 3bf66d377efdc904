"""An environment whose spaces are all adapted."""

import gymnasium
import numpy as np
from gymnasium import spaces


class Awkward(gymnasium.Env):
    """A numbered cell, a picture of an odd size, and actions that begin at 5."""

    observation_space = spaces.Dict(
        {
            "cell": spaces.Discrete(3, start=1),
            "eye": spaces.Dict({"view": spaces.Box(0, 255, (40, 50, 3), np.uint8)}),
            "speed": spaces.Box(-9, 9, (2, 2), np.float64),
        }
    )
    action_space = spaces.Discrete(3, start=5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return self.observation_space.sample(), 1.0, False, False, {}


class Pairs(Awkward):
    """Its actions are a choice and an array."""

    action_space = spaces.Tuple([spaces.Discrete(3), spaces.Box(-1, 1, (2,), np.float32)])
