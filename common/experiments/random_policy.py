"""Scores of a random policy, as a baseline."""

import numpy as np
from gymnasium import spaces

from common.envs import make_envs


def random_scores(config: dict, episodes: int = 10, seed: int = 12345) -> list[float]:
    """Return the returns of episodes with uniform actions."""
    rng = np.random.default_rng(seed)
    scores: list[float] = []
    total = 0.0
    with make_envs(config["task"], config["env"], 1, seed, "none") as envs:
        space = envs.act_space
        space.seed(seed)
        envs.reset()
        while len(scores) < episodes:
            action = (
                rng.uniform(-1, 1, (1, *space.shape)).astype(np.float32)
                if isinstance(space, spaces.Box)
                else np.asarray(space.sample())[None]
            )
            record = envs.step(action)
            total += float(record["reward"][0])
            if record["is_last"][0]:
                scores.append(total)
                total = 0.0
    return scores
