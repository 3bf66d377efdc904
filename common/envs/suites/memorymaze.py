"""Memory Maze: memorymaze_9x9, memorymaze_11x11, memorymaze_13x13, memorymaze_15x15.

Images only, so it needs a renderer, as dm_control does.
"""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gymnasium

from common.envs.adapt.adapter import adapt_env
from common.envs.adapt.dm_env import DmEnv
from common.envs.suites import unknown_task
from common.envs.suites.dmc import load_suite, working_backend

SIZES = ("9x9", "11x11", "13x13", "15x15")
GYM_MODULES = {f"gym{name}": f"gymnasium{name}" for name in ("", ".envs", ".envs.registration")}


def make(name: str, config: dict) -> gymnasium.Env:
    """Make the maze with normalized spaces; `time_limit` can end its episodes before its own limit.

    Raises:
        UserError: unknown size, or no renderer works.
    """
    if name not in SIZES:
        raise unknown_task("memorymaze", name, SIZES)
    load_suite(working_backend())
    with gymnasium_for_gym():
        tasks = importlib.import_module("memory_maze.tasks")
    return adapt_env(Maze(partial(getattr(tasks, f"memory_maze_{name}"), image_only_obs=True)), config)


class Maze(DmEnv):
    """observation uint8 (64, 64, 3), action Discrete(6). Every episode is a new environment, made from its seed."""

    def __init__(self, build: Callable):
        super().__init__(build(seed=1))
        self.build = build

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        gymnasium.Env.reset(self, seed=seed)
        self.env.close()
        self.env = self.build(seed=int(self.np_random.integers(2**31)))
        return self.env.reset().observation, {}


@contextlib.contextmanager
def gymnasium_for_gym() -> Iterator[None]:
    """Replace the old gym by Gymnasium in a block. The package imports gym, but only to register its tasks."""
    missing = {old: importlib.import_module(new) for old, new in GYM_MODULES.items() if old not in sys.modules}
    sys.modules.update(missing)
    try:
        yield
    finally:
        for old in missing:
            del sys.modules[old]
