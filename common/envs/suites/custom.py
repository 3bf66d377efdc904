"""Your own environment: <module>:<Class>, a class or a function without arguments that makes an environment.

It has Gymnasium's interface, that of the old gym, or dm_env's. The module may be installed, or lie in the current
directory: my_env:MyEnv, my/env.py:MyEnv, my.package.env:make. What begins with a dot, a slash or ~ is a file:
./my_env.py:MyEnv, ../other/my_env.py:MyEnv, /home/me/my_env.py:MyEnv.
"""

import contextlib
import difflib
import functools
import importlib
import importlib.util
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType

import gymnasium

from common.envs.adapt.dm_env import DmEnv
from common.envs.adapt.gym_compat import DuckTypedEnv, GymCompat
from common.envs.suites.gym import adapt_env, add_import_folder
from common.errors import UserError, error_text
from common.signals import pass_on_interrupt


def make(name: str, config: dict) -> gymnasium.Env:
    """The user's environment with normalised spaces.

    Raises:
        UserError: no such module or class, it fails when made, or it is no environment.
    """
    path, _, attribute = name.partition(":")
    factory = _find(path, attribute)
    try:
        env = factory(**_filmed(factory, config))
    except BaseException as error:
        pass_on_interrupt(error)
        hint = ". Name a function without arguments that makes it." if _demanding(factory) else ""
        raise UserError(f"{name} could not be made: {type(error).__name__}: {error_text(error)}{hint}") from error
    return adapt_env(as_gymnasium(env, name), config)


def names_module(name: str) -> bool:
    """Whether the part before the colon is a module that is there, and the part after it could be a class of it."""
    path, _, attribute = name.partition(":")
    add_import_folder(os.getcwd())
    try:
        return attribute.isidentifier() and importlib.util.find_spec(_dotted(path)) is not None
    except (ImportError, ValueError):
        return False


def as_gymnasium(env, name: str) -> gymnasium.Env:
    """An environment of any interface as Gymnasium's. Raises UserError for what is none, and says what it lacks."""
    if callable(getattr(env, "action_spec", None)) and callable(getattr(env, "observation_spec", None)):
        return DmEnv(env)
    parts = ("observation_space", "action_space", "reset", "step")
    absent = [part for part in parts if getattr(env, part, None) is None]
    lack = f"has no {' and no '.join(absent)}" if absent else ""
    if isinstance(env, gymnasium.vector.VectorEnv):
        lack = "is a vector of environments"
    elif not absent and callable(env.observation_space):  # PettingZoo's
        lack = "has several agents"
    if lack:
        raise UserError(
            f"{name} made a {type(env).__name__}, which {lack}. It must be one environment with Gymnasium's interface, "
            "the old gym's, or dm_env's: docs/custom_env.md has an example."
        )
    return GymCompat(env if isinstance(env, gymnasium.Env) else DuckTypedEnv(env))


def _filmed(factory, config):
    """Of one that is to be filmed, Gymnasium's option to be drawn, if it takes that."""
    with contextlib.suppress(TypeError, ValueError):  # no signature
        if config.get("film") and "render_mode" in inspect.signature(factory).parameters:
            return {"render_mode": "rgb_array"}
    return {}


def _demanding(factory):
    """Whether it cannot be called without arguments."""
    try:
        inspect.signature(factory).bind()
    except TypeError:
        return True
    except ValueError:  # no signature
        return False
    return False


def _find(path, attribute):
    try:
        found = _module(path)
    except UserError:
        raise
    except BaseException as error:
        pass_on_interrupt(error)
        reason = f"{type(error).__name__}: {error_text(error)}"
        raise UserError(f"The module {path!r} could not be imported from {os.getcwd()}: {reason}") from error
    if not callable(getattr(found, attribute, None)):
        raise UserError(f"The module {path!r} has no class or function {attribute!r}.{_meant(found, path, attribute)}")
    return getattr(found, attribute)


def _meant(found, path, attribute):
    """A hint at what was to be found in a module: in a file of that name that Python's own stand before, or nearby."""
    file = Path(_dotted(path).replace(".", "/") + ".py")
    if file.is_file() and Path(getattr(found, "__file__", None) or "").resolve() != file.resolve():
        return f" It is not the one in this folder: give that as ./{file}:{attribute}."
    names = [key for key, value in vars(found).items() if callable(value) and not key.startswith("_")]
    near = difflib.get_close_matches(attribute, names, n=1)
    return f" Did you mean {path}:{near[0]}?" if near else f" Give it as {path}:Class."


def _module(path):
    if path.startswith((".", "/", "~")):
        return _loaded(Path(path).expanduser().resolve())
    add_import_folder(os.getcwd())
    return importlib.import_module(_dotted(path))


def _dotted(path):
    return path.removesuffix(".py").replace("/", ".")


@functools.cache
def _loaded(path: Path) -> ModuleType:
    """The module in a file. It may import its neighbours, as when Python runs it."""
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [file.name for file in path.parent.glob("*.py")], n=1)
        hint = f"Did you mean {path.with_name(near[0])}?" if near else "Give it as ./my_env.py:MyEnv."
        raise UserError(f"There is no file {path}. {hint}")
    spec = importlib.util.spec_from_file_location(str(path), path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is no Python file: its name must end in .py.")
    add_import_folder(str(path.parent))
    module = sys.modules[str(path)] = importlib.util.module_from_spec(spec)  # dataclasses look there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[str(path)]
        raise
    return module
