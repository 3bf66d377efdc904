"""Your own environment: <module>:<Class>, a class or a function without arguments that makes an environment.

It has Gymnasium's interface, that of the old gym, or dm_env's. The module may be installed, or lie in the current
directory: my_env:MyEnv, my/env.py:MyEnv, my.package.env:make.
"""

import difflib
import importlib
import os

import gymnasium

from common.envs.control import Control
from common.envs.foreign import Answers, Foreign
from common.envs.gym import allow_current_folder, normalised
from common.errors import UserError


def make(name: str, config: dict) -> gymnasium.Env:
    """The user's environment with normalised spaces.

    Raises:
        UserError: no such module or class, it fails when made, or it is no environment.
    """
    path, _, attribute = name.partition(":")
    factory = _find(path.removesuffix(".py").replace("/", "."), attribute)
    try:
        env = factory()
    except (Exception, SystemExit) as error:
        raise UserError(f"{name} could not be made: {type(error).__name__}: {error}") from error
    return normalised(as_gymnasium(env, name), config)


def as_gymnasium(env, name: str) -> gymnasium.Env:
    """An environment of any interface as Gymnasium's. Raises UserError for what is none, and says what it lacks."""
    if callable(getattr(env, "action_spec", None)) and callable(getattr(env, "observation_spec", None)):
        return Control(env)
    parts = ("observation_space", "action_space", "reset", "step")
    absent = [part for part in parts if getattr(env, part, None) is None]
    if absent or isinstance(env, gymnasium.vector.VectorEnv):
        lack = f"has no {' and no '.join(absent)}" if absent else "is a vector of environments"
        raise UserError(
            f"{name} made a {type(env).__name__}, which {lack}. It must be one environment with Gymnasium's interface, "
            "the old gym's, or dm_env's: docs/custom_env.md has an example."
        )
    return Answers(env if isinstance(env, gymnasium.Env) else Foreign(env))


def _find(module, attribute):
    allow_current_folder()
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"The module {module!r} could not be imported from {os.getcwd()}: {reason}") from error
    if not callable(getattr(found, attribute, None)):
        near = difflib.get_close_matches(attribute, [key for key in vars(found) if not key.startswith("_")], n=1)
        hint = f" Did you mean {module}:{near[0]}?" if near else f" Give it as {module}:Class."
        raise UserError(f"The module {module!r} has no class or function {attribute!r}.{hint}")
    return getattr(found, attribute)
