"""The behaviour suite: bsuite_<experiment>/<setting>; bsuite_catch is bsuite_catch/0.

A task is one environment of an experiment. The suite's summary scores over many environments are not computed here.
"""

from typing import Any

import bsuite
import gymnasium
import numpy as np
from bsuite import sweep

from common.envs.adapt.adapter import adapt_env
from common.envs.adapt.dm_env import DmEnv
from common.envs.suites import unknown_task


def make(name: str, config: dict) -> gymnasium.Env:
    """Make the environment with normalized spaces.

    Raises:
        UserError: unknown experiment or setting.
    """
    task = name if "/" in name else f"{name}/0"
    if task not in sweep.SETTINGS:
        raise unknown_task("bsuite", task, sweep.SETTINGS)
    return adapt_env(SeededExperiment(bsuite.load(task.split("/")[0], sweep.SETTINGS[task])), config)


class SeededExperiment(DmEnv):
    """An environment of the suite, seeded for every episode. Its mapping of actions stays that of the setting."""

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        env = self.env
        while env is not None and seed is not None:  # the environment, and the noise wrapped around it
            if hasattr(env, "_rng"):
                env._rng = np.random.RandomState(seed)
            env = vars(env).get("_env")
        return super().reset()
