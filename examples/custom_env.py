"""An environment of your own, trained: python examples/custom_env.py [--any.key VALUE ...]"""

import pathlib
import sys

import gymnasium
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))  # not needed from inside the repository


class Balance(gymnasium.Env):
    """Keep a drifting number near zero."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.number = 0, self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.number, {}

    def step(self, action):
        self.time, self.number = self.time + 1, self.number + 0.2 * action
        distance = abs(self.number.item())
        return self.number, 1 - distance, distance > 3, self.time >= 100, {"log_distance": distance}


if __name__ == "__main__":
    import dreamer

    sys.exit(dreamer.main(["--configs", "cpu", "--task", "custom_env:Balance", "--logdir", "logs/balance", *sys.argv[1:]]))
