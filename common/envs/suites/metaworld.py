"""Meta-World from states: metaworld_<task>, such as metaworld_reach-v3; every episode has its own goal.

Its 500 steps end an episode as truncated. `log_success` is 1 where the task is solved.
"""

import difflib
from typing import Any

import gymnasium
import metaworld
import mujoco

from common.envs.suites.gym import adapt_env
from common.errors import UserError


def make(name: str, config: dict) -> gymnasium.Env:
    """The task with normalised spaces.

    Raises:
        UserError: unknown task, pixels asked for, or a release of mujoco that Meta-World does not run with.
    """
    known = list(metaworld.ALL_V3_ENVIRONMENTS)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known[:3]
        raise UserError(f"Meta-World has no {name!r}. Nearest: {', '.join(f'metaworld_{close}' for close in near)}.")
    if config["obs"] != "vector":
        raise UserError("Meta-World is offered from states: --env.obs vector.")
    try:
        env = metaworld.ALL_V3_ENVIRONMENTS[name]()
    except ValueError as error:
        raise UserError(
            f"Meta-World does not run with mujoco {mujoco.__version__} ({error}). `pip install metaworld` brings the "
            "one it needs; dm_control may not run beside it, so give it an environment of its own."
        ) from error
    return adapt_env(SeededGoals(env), config)


class SeededGoals(gymnasium.Wrapper):
    """Draws a goal for every episode from its seed, and shows it."""

    def __init__(self, env: Any):
        super().__init__(env)
        env._set_task_called, env._partially_observable = True, False
        env._freeze_rand_vec, env.seeded_rand_vec = False, True

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.env.unwrapped.seed(seed)
        return self.env.reset()

    def step(self, action):
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, reward, terminated, truncated, {"log_success": info["success"]}
