"""Meta-World from states: metaworld_<task>, such as metaworld_reach-v3.

Every episode has its own goal and is truncated after 500 steps. `log_success` is 1 if the task is solved.
"""

from typing import Any

import gymnasium
import metaworld
import mujoco

from common.envs.adapt.adapter import adapt_env
from common.envs.suites import unknown_task
from common.errors import UserError


def make(name: str, config: dict) -> gymnasium.Env:
    """Make the task with normalized spaces.

    Raises:
        UserError: unknown task, images requested, or a release of mujoco that Meta-World does not support.
    """
    if name not in metaworld.ALL_V3_ENVIRONMENTS:
        raise unknown_task("metaworld", name, metaworld.ALL_V3_ENVIRONMENTS)
    if config["obs"] != "vector":
        raise UserError("Meta-World is available from states only: --env.obs vector.")
    try:
        env = metaworld.ALL_V3_ENVIRONMENTS[name]()
    except ValueError as error:
        raise UserError(
            f"Meta-World does not run with mujoco {mujoco.__version__} ({error}). `pip install metaworld` installs the "
            "release that it needs. dm_control may not run with that release, so use a separate virtual environment."
        ) from error
    return adapt_env(SeededGoals(env), config)


class SeededGoals(gymnasium.Wrapper):
    """Draws the goal of every episode from its seed, and shows it in the observation."""

    def __init__(self, env: Any):
        super().__init__(env)
        env._set_task_called, env._partially_observable = True, False
        env._freeze_rand_vec, env.seeded_rand_vec = False, True

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        task: Any = self.env.unwrapped
        if seed is not None:
            task.seed(seed)
        return self.env.reset()

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, reward, terminated, truncated, {"log_success": info["success"]}
