"""Your own environment: <module>:<Class>, a gymnasium.Env class or a function without arguments that makes one.

The module may be installed, or lie in the current directory: my_env:MyEnv, my/env.py:MyEnv, my.package.env:make.
"""

import difflib
import importlib
import os
import sys

import gymnasium

from common.envs.gym import normalised
from common.errors import UserError


def make(name: str, config: dict) -> gymnasium.Env:
    """The user's environment with normalised spaces.

    Raises:
        UserError: no such module or class, it fails when made, or it is not a gymnasium.Env.
    """
    path, _, attribute = name.partition(":")
    factory = _find(path.removesuffix(".py").replace("/", "."), attribute)
    try:
        env = factory()
    except (Exception, SystemExit) as error:
        raise UserError(f"{name} could not be made: {type(error).__name__}: {error}") from error
    if not isinstance(env, gymnasium.Env):
        raise UserError(f"{name} made a {type(env).__name__}; it must be a gymnasium.Env (not the old gym's).")
    return normalised(env, config)


def _find(module, attribute):
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
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
