"""Environments by task name: one suite per file, all behind the same Gymnasium interface.

    dmc_<domain>_<task>   DeepMind Control suite                       dmc_walker_walk, dmc_cup_catch
    atari_<game>          Arcade Learning Environment                  atari_pong
    atari100k_<game>      the same games; the protocol is in the config
    crafter_reward        Crafter; crafter_noreward is without its rewards
    minigrid_<id>         MiniGrid and BabyAI                          minigrid_DoorKey-5x5-v0
    bsuite_<name>/<n>     the behaviour suite                          bsuite_catch/0
    metaworld_<task>      Meta-World from states                       metaworld_reach-v3
    memorymaze_<size>     Memory Maze                                  memorymaze_9x9
    gym_<id>              any registered Gymnasium environment         gym_CartPole-v1, gym_ALE/Pong-v5
    <module>:<Class>      your own environment or factory              my_env:MyEnv, my.package:make, ./my_env.py:MyEnv
    dummy[_<kind>]        built in, see dummy.py

An observation is a dict: images are uint8 (H, W, C), everything else is float32 (n,) or ().
An action is Box(-1, 1, (A,)), Discrete(n) or MultiDiscrete([...]).
"""

import difflib
import importlib
from functools import partial

import gymnasium

from common.envs.adapt.adapter import find_adapter
from common.envs.adapt.wrappers import Seeded
from common.envs.vector.vector_env import Envs
from common.errors import UserError

__all__ = ["DEFAULTS", "Envs", "make_env", "make_envs"]

SUITES = {
    "dmc": ("common.envs.suites.dmc", "dm_control", "dmc_walker_walk"),
    "atari": ("common.envs.suites.atari", "ale-py", "atari_pong"),
    "atari100k": ("common.envs.suites.atari", "ale-py", "atari100k_pong"),
    "crafter": ("common.envs.suites.crafter", "crafter", "crafter_reward"),
    "minigrid": ("common.envs.suites.minigrid", "minigrid", "minigrid_DoorKey-5x5-v0"),
    "bsuite": ("common.envs.suites.bsuite", "bsuite", "bsuite_catch/0"),
    "metaworld": ("common.envs.suites.metaworld", "metaworld", "metaworld_reach-v3"),
    "memorymaze": ("common.envs.suites.memorymaze", "memory-maze", "memorymaze_9x9"),
    "gym": ("common.envs.suites.gym", "gymnasium", "gym_CartPole-v1"),
    "dummy": ("common.envs.suites.dummy", "numpy", "dummy"),
}

DEFAULTS = {
    "repeat": 1,  # frames per agent step, their rewards summed
    "size": 64,  # side of an image; 0 keeps the environment's own size
    "gray": False,  # one channel instead of three
    "time_limit": 0,  # frames; 0 = the environment's own
    "obs": "vector",  # dmc, minigrid: image | vector | both
    "camera": -1,  # dmc: -1 = the usual one of the domain
    "render": "full",  # dmc: full | fast | ray
    "sticky": 0.0,  # atari: probability that a frame repeats the previous action
    "actions": "full",  # atari: full | minimal
    "noops": 0,  # atari: at most this many no-ops after a reset
    "least_noops": 0,  # atari: and at least so many
    "resize": "area",  # area | bilinear
    "life_loss": "ignore",  # atari: ignore | end
    "timeout_terminal": False,  # atari: the time limit counts as a terminal state
    "action_scale": 1.0,  # how far actions without bounds go
    "max_failures": 10,  # episodes an environment may break in a row before the run stops
    "timeout": 300.0,  # seconds that an environment may take for a reset or a step; 0 = no limit
}

CHOICES = {
    "obs": ("image", "vector", "both"),
    "render": ("full", "fast", "ray"),
    "actions": ("full", "minimal"),
    "resize": ("area", "bilinear"),
    "life_loss": ("ignore", "end"),
}
MINIMUMS = {"repeat": 1, "size": 0, "time_limit": 0, "noops": 0, "least_noops": 0, "max_failures": 0, "timeout": 0}


def make_env(task: str, env: dict | None = None, seed: int = 0, index: int = 0) -> gymnasium.Env:
    """One environment with normalised spaces; episode k is a function of (seed, index, k) and the actions.

    Raises:
        UserError: unknown task or option, missing package or renderer, a space that is not supported.
    """
    config = DEFAULTS | (env or {})
    _check(config)
    module, package, name = _suite(task)
    try:
        return Seeded(importlib.import_module(module).make(name, config), seed, index)
    except ModuleNotFoundError as error:
        raise UserError(f"Task {task!r} needs a package: pip install {package} ({error}).") from error


def make_envs(task: str, env: dict | None, n: int, seed: int = 0, parallel: str = "auto") -> Envs:
    """`n` environments stepped together.

    parallel: `none` plays them in this process, `process` in a worker process each, `native` games of Atari in the
    threads of ale-py. `auto` takes `native` for several games that it plays the same, else processes for several
    environments with images: states are faster without. Workers are spawned, so a script of your own that asks for
    them needs `if __name__ == "__main__":`.

    Raises:
        UserError: as `make_env`, an unknown `parallel`, or `native` where that would not play the same.
    """
    if parallel not in ("auto", "none", "process", "native"):
        raise UserError(f"parallel must be auto, none, process or native, not {parallel!r}.")
    config = DEFAULTS | (env or {})
    probe = make_env(task, config, seed)
    try:
        native = None
        if parallel == "native" or (parallel == "auto" and n > 1):
            native = _native(task, config, n, seed, probe, must=parallel == "native")
        return native or _python(task, config, n, seed, probe, parallel)
    finally:
        probe.close()


def _native(task, config, n, seed, probe, must):
    """`n` games of Atari as one environment of ale-py; without `must`, None where that would not play the same."""
    module, _, name = _suite(task)
    if module != "common.envs.suites.atari":
        if must:
            raise UserError(f"run.parallel native plays atari_ and atari100k_ tasks, not {task}: --run.parallel auto.")
        return None
    native = importlib.import_module("common.envs.vector.ale_vector")
    if why := native.refusal_message(name, config, probe, seed):
        if must:
            raise UserError(why)
        return None
    return native.AleVectorEnvs(name, config, n, probe.observation_space, probe.action_space, seed=seed)


def _python(task, config, n, seed, probe, parallel):
    assert isinstance(probe.observation_space, gymnasium.spaces.Dict)
    images = any(len(space.shape or ()) == 3 for space in probe.observation_space.values())
    return Envs(
        [partial(make_env, task, config, seed, index) for index in range(n)],
        probe.observation_space,
        probe.action_space,
        processes=parallel == "process" or (parallel == "auto" and n > 1 and images),
        repeat=config["repeat"],
        max_failures=config["max_failures"],
        raw=raw_spaces(probe),
        messages=space_notes(probe),
        timeout=config["timeout"],
    )


def raw_spaces(env: gymnasium.Env) -> tuple[gymnasium.Space, gymnasium.Space] | None:
    """Observation and action space before the adapter; None where more than the adapter lies between."""
    inner = find_adapter(env)
    return (inner.env.observation_space, inner.env.action_space) if inner else None


def space_notes(env: gymnasium.Env) -> list[str]:
    """What a person should know of how the spaces of an environment are read."""
    return env.get_wrapper_attr("remarks") if env.has_wrapper_attr("remarks") else []


def _check(config):
    for key, choices in CHOICES.items():
        if config[key] not in choices:
            raise UserError(f"env.{key} must be one of {', '.join(choices)}, not {config[key]!r}.")
    for key, least in MINIMUMS.items():
        if config[key] < least:
            raise UserError(f"env.{key} must be at least {least}, not {config[key]}.")


def _is_module(task):
    """Whether gym_maze:MazeEnv names a module gym_maze; gym_maze:Maze-v0 is an id, registered by the module maze."""
    return importlib.import_module("common.envs.suites.custom").names_module(task)


def _suite(task):
    """(module of a task's suite, package it needs, the task's name inside the suite)."""
    if ":" in task and (not task.startswith("gym_") or _is_module(task)):
        return "common.envs.suites.custom", "gymnasium", task
    prefix, _, name = task.partition("_")
    if prefix not in SUITES:
        near = difflib.get_close_matches(prefix, SUITES, n=1)
        hint = f" Did you mean {'_'.join(filter(None, [near[0], name]))!r}?" if near else ""
        examples = ", ".join(example for _, _, example in SUITES.values())
        raise UserError(f"No suite has the task {task!r}.{hint} Examples: {examples}, my_module:MyEnv.")
    module, package, _ = SUITES[prefix]
    return module, package, name
