"""The behaviour suite: bsuite_<experiment>/<setting>, such as bsuite_catch/0 or bsuite_deep_sea/3; bsuite_catch is /0.

One task is one environment of an experiment. What the suite makes of the scores of all is not computed here.
"""

import difflib

import bsuite
import gymnasium
import numpy as np
from bsuite import sweep

from common.envs.adapt.dm_env import DmEnv
from common.envs.suites.gym import adapt_env
from common.errors import UserError


def make(name: str, config: dict) -> gymnasium.Env:
    """The environment with normalised spaces.

    Raises:
        UserError: unknown experiment or setting.
    """
    full = name if "/" in name else f"{name}/0"
    if full not in sweep.SETTINGS:
        near = difflib.get_close_matches(full, sweep.SETTINGS, n=3, cutoff=0.3) or list(sweep.SETTINGS)[:3]
        raise UserError(f"bsuite has no {full!r}. Nearest: {', '.join(f'bsuite_{close}' for close in near)}.")
    return adapt_env(SeededExperiment(bsuite.load(full.split("/")[0], sweep.SETTINGS[full])), config)


class SeededExperiment(DmEnv):
    """An environment of the suite, reseeded for every episode; its mapping of actions stays as the setting has it."""

    def reset(self, *, seed=None, options=None):
        env = self.env
        while env is not None and seed is not None:  # the environment, and the noise wrapped around it
            if hasattr(env, "_rng"):
                env._rng = np.random.RandomState(seed)
            env = vars(env).get("_env")
        return super().reset()
