"""Memory Maze: memorymaze_9x9, 11x11, 13x13 and 15x15. Pictures only; it needs a renderer, as dm_control does."""

import contextlib
import importlib
import sys
from collections.abc import Callable
from functools import partial

import gymnasium

from common.envs.adapt.dm_env import DmEnv
from common.envs.suites.dmc import load_suite, working_backend
from common.envs.suites.gym import adapt_env
from common.errors import UserError

SIZES = ("9x9", "11x11", "13x13", "15x15")
GYM_MODULES = {"gym": "gymnasium", "gym.envs": "gymnasium.envs", "gym.envs.registration": "gymnasium.envs.registration"}


def make(name: str, config: dict) -> gymnasium.Env:
    """The maze with normalised spaces; `time_limit` stops its episodes earlier than its own limit.

    Raises:
        UserError: unknown size, or no renderer.
    """
    if name not in SIZES:
        raise UserError(f"There is no task memorymaze_{name}: memorymaze_{', memorymaze_'.join(SIZES)}.")
    load_suite(working_backend())
    with gymnasium_for_gym():
        tasks = importlib.import_module("memory_maze.tasks")
    return adapt_env(Maze(partial(getattr(tasks, f"memory_maze_{name}"), image_only_obs=True)), config)


class Maze(DmEnv):
    """observation uint8 (64, 64, 3), action Discrete(6). Every episode is a new environment: its seed rules it."""

    def __init__(self, build: Callable):
        super().__init__(build(seed=1))
        self.build = build

    def reset(self, *, seed=None, options=None):
        gymnasium.Env.reset(self, seed=seed)
        self.env.close()
        self.env = self.build(seed=int(self.np_random.integers(2**31)))
        return self.env.reset().observation, {}


@contextlib.contextmanager
def gymnasium_for_gym():
    """Lets Gymnasium stand in for the old gym, which the package imports and does without."""
    missing = {old: importlib.import_module(new) for old, new in GYM_MODULES.items() if old not in sys.modules}
    sys.modules.update(missing)
    try:
        yield
    finally:
        for old in missing:
            del sys.modules[old]
