"""Environments by task name, one suite per file, all with the same Gymnasium interface.

    dmc_<domain>_<task>   DeepMind Control suite                       dmc_walker_walk, dmc_cup_catch
    atari_<game>          Arcade Learning Environment                  atari_pong
    atari100k_<game>      the same games; the config has the protocol
    crafter_reward        Crafter; crafter_noreward omits the rewards
    minigrid_<id>         MiniGrid and BabyAI                          minigrid_DoorKey-5x5-v0
    bsuite_<name>/<n>     the behaviour suite                          bsuite_catch/0
    metaworld_<task>      Meta-World from states                       metaworld_reach-v3
    memorymaze_<size>     Memory Maze                                  memorymaze_9x9
    gym_<id>              any registered Gymnasium environment         gym_CartPole-v1, gym_ALE/Pong-v5
    <module>:<Class>      your own environment or factory              my_env:MyEnv, my.package:make, ./my_env.py:MyEnv
    dummy[_<kind>]        built-in tasks, see suites/dummy.py

An observation is a dict. Images are uint8 (H, W, C), all other entries are float32 (n,) or ().
An action is Box(-1, 1, (A,)), Discrete(n) or MultiDiscrete([...]).
To add a suite, follow docs/add_an_environment_suite.md.
"""

import importlib
import importlib.metadata
import os
from functools import partial
from typing import Any, NamedTuple

import gymnasium

from common.config import foreign_code, python_objects
from common.envs import task_hints
from common.envs.adapt.adapter import find_adapter
from common.envs.adapt.process_state import ProcessState
from common.envs.adapt.wrappers import Seeded, episode_seed
from common.envs.faults import ContainedCalls, describe_error, hidden_arguments, missing_module_hint
from common.envs.suites import not_installable
from common.envs.vector.vector_env import Envs
from common.errors import UserError
from common.signals import pass_on_interrupt

__all__ = ["DEFAULTS", "Envs", "make_env", "make_envs"]


class Suite(NamedTuple):
    """A suite of tasks: the module with its function `make`, the package to install, the name of one of its tasks.

    obs: `env.obs` if it is not set.
    """

    module: str
    package: str
    example: str
    obs: str = "vector"


#: Prefix of the task name -> suite.
SUITES = {
    "dmc": Suite("common.envs.suites.dmc", "dm_control", "dmc_walker_walk"),
    "atari": Suite("common.envs.suites.atari", "ale-py", "atari_pong", "image"),
    "atari100k": Suite("common.envs.suites.atari", "ale-py", "atari100k_pong", "image"),
    "crafter": Suite("common.envs.suites.crafter", "crafter", "crafter_reward"),
    "minigrid": Suite("common.envs.suites.minigrid", "minigrid", "minigrid_DoorKey-5x5-v0"),
    "bsuite": Suite("common.envs.suites.bsuite", "bsuite", "bsuite_catch/0"),
    "metaworld": Suite("common.envs.suites.metaworld", "metaworld", "metaworld_reach-v3"),
    "memorymaze": Suite("common.envs.suites.memorymaze", "memory-maze", "memorymaze_9x9"),
    "gym": Suite("common.envs.suites.gym", "gymnasium", "gym_CartPole-v1"),
    "dummy": Suite("common.envs.suites.dummy", "numpy", "dummy"),
}
CUSTOM = Suite("common.envs.suites.custom", "gymnasium", "my_module:MyEnv")
UNKNOWN_TASK = "unknown"  # of a run that was imported without a task

#: Options of an environment, the block `env` of a config.
DEFAULTS: dict[str, Any] = {
    "repeat": 1,  # frames per agent step, their rewards summed
    "size": 64,  # side of an image; 0 keeps the environment's own size
    "gray": False,  # one channel instead of three
    "time_limit": 0,  # frames; 0 = the environment's own
    "obs": "vector",  # dmc, minigrid: image | vector | both; atari: image | ram | both
    "camera": -1,  # dmc: -1 = the usual one of the domain
    "render": "full",  # dmc: full | fast | ray
    "sticky": 0.0,  # atari: probability that a frame repeats the previous action
    "actions": "full",  # atari: full | minimal
    "noops": 0,  # atari: maximum number of no-ops after a reset
    "least_noops": 0,  # atari: minimum number of no-ops after a reset
    "resize": "area",  # area | bilinear
    "life_loss": "ignore",  # atari: ignore | end
    "timeout_terminal": False,  # atari: the time limit counts as a terminal state
    "action_scale": 1.0,  # range of actions without bounds
    "max_failures": 10,  # failures in a row of one environment before the run stops
    "timeout": 300.0,  # seconds that a reset or a step may take; 0 = no limit
}

CHOICES = {
    "obs": ("image", "vector", "both", "ram"),
    "render": ("full", "fast", "ray"),
    "actions": ("full", "minimal"),
    "resize": ("area", "bilinear"),
    "life_loss": ("ignore", "end"),
}
MINIMUMS = {"repeat": 1, "size": 0, "time_limit": 0, "noops": 0, "least_noops": 0, "max_failures": 0, "timeout": 0}


#: Environment variables of films: pygame draws without a window, opens no sound device and prints no greeting.
FILM_VARIABLES = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy", "PYGAME_HIDE_SUPPORT_PROMPT": "1"}


def make_env(task: str, env: dict | None = None, seed: int = 0, index: int = 0) -> gymnasium.Env:
    """Make one environment with normalized spaces.

    Episode k is a function of (seed, index, k) and the actions.

    Raises:
        UserError: unknown task or option, missing package or renderer, unsupported space.
    """
    config = complete_options(task, env)
    _check_options(config)
    for name, value in FILM_VARIABLES.items() if config.get("film") else ():
        os.environ.setdefault(name, value)
    with hidden_arguments():
        suite, name = _find_suite(task)
        if config["obs"] == "ram" and suite.module != SUITES["atari"].module:
            raise UserError(f"env.obs ram is for Atari, and {task} is not: use --env.obs image, vector or both.")
        state = ProcessState()
        try:
            with state.inside(episode_seed(seed, index, 0)):
                made = importlib.import_module(suite.module).make(name, config)
            return ContainedCalls(Seeded(made, seed, index, state))
        except UserError:
            raise
        except BaseException as error:  # the code of a suite's package may raise anything
            pass_on_interrupt(error)
            raise UserError(_construction_error(task, suite, error)) from error


def complete_options(task: str, env: dict | None) -> dict:
    """Return the options of an environment, with defaults for those that are not in `env`."""
    suite = SUITES.get(task.partition("_")[0], CUSTOM)
    return DEFAULTS | {"obs": suite.obs} | (env or {})


def make_envs(task: str, env: dict | None, n: int, seed: int = 0, parallel: str = "auto") -> Envs:
    """Make `n` environments that are stepped together.

    parallel: `none` steps them in this process, `process` in one worker process each, `native` steps Atari games in
    the threads of ale-py. `auto` is `native` for two or more games that ale-py plays identically, else `process` for
    two or more environments with images, else `none`. An object that cannot be imported always is in this process.
    Workers are spawned: a script that uses them needs `if __name__ == "__main__":`.

    Raises:
        UserError: as `make_env`; unknown `parallel`; `native` for a task that ale-py would not play identically.
    """
    if parallel not in ("auto", "none", "process", "native"):
        raise UserError(f"parallel must be auto, none, process or native, not {parallel!r}.")
    if python_objects.is_local(task):
        if parallel == "process":
            raise UserError(f"Worker processes cannot import {task}: use run.parallel none, or write it in a module.")
        parallel = "none"
    config = complete_options(task, env)
    probe = make_env(task, config, seed)
    try:
        native = None
        if parallel == "native" or (parallel == "auto" and n > 1):
            native = _make_native(task, config, n, seed, probe, required=parallel == "native")
        return native or _make_python(task, config, n, seed, probe, parallel)
    finally:
        probe.close()


def _make_native(task: str, config: dict, n: int, seed: int, probe: gymnasium.Env, required: bool) -> Envs | None:
    """Make `n` Atari games as one environment of ale-py.

    If ale-py would not play identically, raise UserError if `required`, else return None.
    """
    suite, name = _find_suite(task)
    if suite.module != SUITES["atari"].module:
        if required:
            raise UserError(f"run.parallel native plays atari_ and atari100k_ tasks, not {task}: --run.parallel auto.")
        return None
    ale_vector = importlib.import_module("common.envs.vector.ale_vector")  # not earlier: it imports ale-py
    if message := ale_vector.refusal_message(name, config, probe, seed):
        if required:
            raise UserError(message)
        return None
    return ale_vector.AleVectorEnvs(name, config, n, probe.observation_space, probe.action_space, seed=seed)


def _make_python(task: str, config: dict, n: int, seed: int, probe: gymnasium.Env, parallel: str) -> Envs:
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
    """Return observation and action space before the adapter; None if another wrapper changes the observations."""
    adapter = find_adapter(env)
    return (adapter.env.observation_space, adapter.env.action_space) if adapter else None


def space_notes(env: gymnasium.Env) -> list[str]:
    """Return notes for the user about how the spaces of an environment are read."""
    return env.get_wrapper_attr("space_notes") if env.has_wrapper_attr("space_notes") else []


def _construction_error(task: str, suite: Suite, error: BaseException) -> str:
    """Return what a suite raised, with the package to install if a module is missing."""
    if isinstance(error, ModuleNotFoundError) and not is_installed(suite.package):
        return f"Task {task!r} needs a package: pip install {suite.package} ({error})."
    return f"Task {task!r} could not be made: {describe_error(error)}.{missing_module_hint(error)}"


def is_installed(package: str) -> bool:
    """Return whether a package is installed, in any version."""
    try:
        return bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


def _check_options(config: dict) -> None:
    for key, choices in CHOICES.items():
        if config[key] not in choices:
            raise UserError(f"env.{key} must be one of {', '.join(choices)}, not {config[key]!r}.")
    for key, minimum in MINIMUMS.items():
        if config[key] < minimum:
            raise UserError(f"env.{key} must be at least {minimum}, not {config[key]}.")


def _find_suite(task: str) -> tuple[Suite, str]:
    """Return the suite of a task and the task's name inside the suite.

    gym_maze:MazeEnv is a class if the module gym_maze exists; gym_maze:Maze-v0 is an id that the module maze registers.
    """
    if ":" in task:
        custom = importlib.import_module(CUSTOM.module)  # not earlier: it imports this package
        if not task.startswith("gym_") or custom.names_module(task):
            return CUSTOM, task
    if foreign_code.is_marked(task):
        raise foreign_code.refusal("task", task)
    if task == UNKNOWN_TASK:
        raise UserError("This run was imported without a task. Import it again with --task and another --out.")
    prefix, _, name = task.partition("_")
    if prefix in not_installable.NEEDS:
        raise not_installable.needs_error(prefix, name)
    if prefix not in SUITES:
        tasks = task_hints.nearest_tasks(task, SUITES, make_env)
        if tasks:
            raise UserError(f"No suite has the task {task!r}. Did you mean {' or '.join(tasks)}?")
        examples = ", ".join(suite.example for suite in [*SUITES.values(), CUSTOM])
        raise UserError(f"No suite has the task {task!r}. Examples: {examples}.")
    return SUITES[prefix], name
