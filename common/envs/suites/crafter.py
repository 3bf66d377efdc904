"""Crafter: crafter_reward, and crafter_noreward without its rewards."""

import crafter
import gymnasium
import numpy as np
from gymnasium import spaces

from common.envs.suites.gym import adapt_env
from common.errors import UserError

EPISODE_STEPS = 10_000  # steps; Crafter's own limit


def make(name: str, config: dict) -> gymnasium.Env:
    """The game with normalised spaces; `time_limit` replaces its own.

    Raises:
        UserError: unknown task.
    """
    if name not in ("reward", "noreward"):
        raise UserError(f"There is no task crafter_{name}: crafter_reward or crafter_noreward.")
    return adapt_env(Crafter(name == "reward", 0 if config["time_limit"] else EPISODE_STEPS), config)


class Crafter(gymnasium.Env):
    """observation uint8 (64, 64, 3), action Discrete(17). Death is terminal, the time limit is not.

    `log_achievement_<name>` is 1 from where the episode unlocked it: its last values make the score that papers report.
    Crafter keeps its creatures in sets, so one seed gives one world, but not always the same creatures later on.
    """

    def __init__(self, reward: bool, length: int):
        self.options = {"reward": reward, "length": length}
        self.env = crafter.Env(**self.options, seed=0)
        self.action_space = spaces.Discrete(len(self.env.action_names))
        self.observation_space = spaces.Box(0, 255, (64, 64, 3), np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.env = crafter.Env(**self.options, seed=int(self.np_random.integers(2**31)))
        return self.env.reset(), {}

    def step(self, action):
        obs, reward, done, info = self.env.step(int(action))
        terminated = info["discount"] == 0
        logs = {f"log_achievement_{name}": float(count > 0) for name, count in info["achievements"].items()}
        return obs, reward, terminated, done and not terminated, logs
