"""Train on your own environment: python examples/custom_env.py [--any.key VALUE ...]"""

import pathlib
import sys

import gymnasium
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))


class Balance(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.position = 0, self.np_random.uniform(-1, 1, 1)
        return self.position, {}

    def step(self, action):
        self.time, self.position = self.time + 1, self.position + 0.2 * action
        distance = abs(self.position.item())
        return self.position, 1 - distance, distance > 3, self.time >= 100, {"log_distance": distance}


if __name__ == "__main__":
    import dreamer

    sys.exit(dreamer.main(["--configs", "cpu", "--task", "examples.custom_env:Balance", *sys.argv[1:]]))
