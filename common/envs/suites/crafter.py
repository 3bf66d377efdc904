"""Crafter: crafter_reward, and crafter_noreward, which omits the rewards."""

from typing import Any

import crafter
import gymnasium
import numpy as np
from gymnasium import spaces

from common.envs.adapt.adapter import adapt_env
from common.envs.suites import unknown_task

EPISODE_STEPS = 10_000  # Crafter's own limit


def make(name: str, config: dict) -> gymnasium.Env:
    """Make the game with normalized spaces; `time_limit` replaces the game's own limit.

    Raises:
        UserError: unknown task.
    """
    if name not in ("reward", "noreward"):
        raise unknown_task("crafter", name, ("reward", "noreward"))
    return adapt_env(Crafter(name == "reward", 0 if config["time_limit"] else EPISODE_STEPS), config)


class Crafter(gymnasium.Env):
    """observation uint8 (64, 64, 3), action Discrete(17). Death is terminal, the time limit is not.

    `log_achievement_<name>` is 1 once the episode has unlocked it. The last values of each episode give the published
    score. Crafter keeps its creatures in sets: the same seed gives the same world, but later not always the same
    creatures.
    """

    def __init__(self, reward: bool, length: int):
        self.options: dict = {"reward": reward, "length": length}
        self.env = crafter.Env(**self.options, seed=0)
        self.action_space = spaces.Discrete(len(self.env.action_names))
        self.observation_space = spaces.Box(0, 255, (64, 64, 3), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.env = crafter.Env(**self.options, seed=int(self.np_random.integers(2**31)))
        return self.env.reset(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        obs, reward, done, info = self.env.step(int(action))
        terminated = info["discount"] == 0
        logs = {f"log_achievement_{name}": float(count > 0) for name, count in info["achievements"].items()}
        return obs, reward, terminated, done and not terminated, logs
