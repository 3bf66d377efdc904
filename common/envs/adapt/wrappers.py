"""Wrappers that every suite uses: action repeat, time limit, one seed per episode."""

import copy
from typing import Any

import gymnasium
import numpy as np

from common.envs.adapt.answers import one_flag, one_number
from common.envs.adapt.process_state import ProcessState


class ActionRepeat(gymnasium.Wrapper):
    """Repeats each action for `repeat` frames and truncates an episode after `limit` frames (0 = no limit).

    Rewards of the repeated frames are summed. The repeat stops early when the episode ends. Each frame gets its own
    copy of the action, which the environment may change. Rewards and flags may be of any type that `answers` reads.
    """

    def __init__(self, env: gymnasium.Env, repeat: int = 1, limit: int = 0):
        super().__init__(env)
        self.repeat, self.limit, self.frame = repeat, limit, 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        self.frame = 0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        total: Any = 0.0
        for _ in range(self.repeat):
            obs, reward, terminated, truncated, info = self.env.step(copy.deepcopy(action))
            total += one_number(reward, "reward")
            self.frame += 1
            terminated = one_flag(terminated, "terminated")
            truncated = one_flag(truncated, "truncated") or 0 < self.limit <= self.frame
            if terminated or truncated:
                break
        return obs, total, terminated, truncated, info


class Seeded(gymnasium.Wrapper):
    """Seeds every episode from (seed, environment, episode), so that any episode can be replayed.

    `reset(options={"episode": k})` starts episode k. Without the option, each reset starts the next episode. The seed
    is also that of the process-wide generators inside the environment's calls, see `ProcessState`.
    """

    def __init__(self, env: gymnasium.Env, seed: int, index: int, state: ProcessState):
        super().__init__(env)
        self.seed, self.index, self.episode = seed, index, 0
        self.state = state

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        options = dict(options or {})
        episode = options.pop("episode", self.episode)
        self.episode = episode + 1
        if seed is None:
            seed = episode_seed(self.seed, self.index, episode)
        with self.state.inside(seed):
            return self.env.reset(seed=seed, options=options or None)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        with self.state.inside():
            return self.env.step(action)

    def render(self) -> Any:
        with self.state.inside():
            return self.env.render()

    def close(self) -> None:
        with self.state.inside():
            self.env.close()


def episode_seed(seed: int, index: int, episode: int) -> int:
    """Return a seed in [0, 2^31) that differs for every episode of every environment."""
    return int(np.random.SeedSequence([seed, index, episode]).generate_state(1)[0] >> 1)
