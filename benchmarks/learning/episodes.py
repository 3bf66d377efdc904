"""The environment of a run: it counts frames, records the score of each episode, and ends the run after its budget."""

from typing import Any

import gymnasium
import numpy as np

from common.envs import make_env


class BudgetSpent(Exception):
    """The environment has had all frames of the run. Raised through the program of the official agent, to end it."""


class Episodes:
    """One environment of this project, with a budget of frames.

    frames: so far, without resets. finished: (frames at its end, score) of each episode.
    """

    def __init__(self, task: str, options: dict, seed: int, budget: int, index: int = 0):
        self.env = make_env(task, options, seed, index)
        self.budget = budget
        self.frames = 0
        self.finished: list[tuple[int, float]] = []
        self.score = 0.0
        (self.key,) = spaces(self.env)  # one image or one vector

    @property
    def observation(self) -> gymnasium.spaces.Box:
        """Return the space of observations: float32 (n,) or uint8 (H, W, C)."""
        return spaces(self.env)[self.key]

    @property
    def action(self) -> Any:
        """Return the space of actions: Box(-1, 1, (A,)) or Discrete(n)."""
        return self.env.action_space

    @property
    def is_image(self) -> bool:
        """Return whether observations are images."""
        return len(self.observation.shape) == 3

    def reset(self) -> np.ndarray:
        """Start an episode. Return its first observation."""
        self.score = 0.0
        return np.asarray(self.env.reset()[0][self.key], self.observation.dtype)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool]:
        """Return observation, reward, and whether the episode terminated or reached its limit.

        Raises BudgetSpent if the budget was spent before.
        """
        if self.frames >= self.budget:
            raise BudgetSpent
        observation, reward, terminated, truncated, _ = self.env.step(action)
        self.frames += 1
        self.score += float(reward)
        if terminated or truncated:
            self.finished.append((self.frames, self.score))
        return np.asarray(observation[self.key], self.observation.dtype), float(reward), terminated, truncated


def spaces(env: gymnasium.Env) -> dict[str, gymnasium.spaces.Box]:
    """Return the spaces of the observations by key."""
    return dict(env.observation_space.spaces)
