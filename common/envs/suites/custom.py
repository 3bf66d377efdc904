"""Your own environment: <module>:<Class>, a class or a function without arguments.

Its interface is Gymnasium's, the old gym's or dm_env's. The module is installed or in the current directory:
my_env:MyEnv, my/env.py:MyEnv, my.package.env:make. A name that starts with a dot, a slash or ~ is a file:
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
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium

from common.envs.adapt.adapter import adapt_env
from common.envs.adapt.dm_env import DmEnv
from common.envs.adapt.gym_compat import DuckTypedEnv, GymCompat
from common.envs.suites.gym import add_import_folder
from common.errors import UserError, error_text
from common.signals import pass_on_interrupt


def make(name: str, config: dict) -> gymnasium.Env:
    """Make the user's environment with normalized spaces.

    Raises:
        UserError: the module or class does not exist, its constructor fails, or the result is not an environment.
    """
    path, _, attribute = name.partition(":")
    factory = _find_factory(path, attribute)
    try:
        env = factory(**_film_options(factory, config))
    except BaseException as error:
        pass_on_interrupt(error)
        hint = ". Name a function without arguments that makes it." if _needs_arguments(factory) else ""
        raise UserError(f"{name} could not be made: {type(error).__name__}: {error_text(error)}{hint}") from error
    return adapt_env(as_gymnasium(env, name), config)


def names_module(name: str) -> bool:
    """Whether the part before the colon is a module that exists, and the part after it can name one of its classes."""
    path, _, attribute = name.partition(":")
    add_import_folder(os.getcwd())
    try:
        return attribute.isidentifier() and importlib.util.find_spec(_dotted(path)) is not None
    except (ImportError, ValueError):
        return False


def as_gymnasium(env: Any, name: str) -> gymnasium.Env:
    """Return an environment of any interface as Gymnasium's. Raises UserError with the parts that it lacks."""
    if callable(getattr(env, "action_spec", None)) and callable(getattr(env, "observation_spec", None)):
        return DmEnv(env)
    parts = ("observation_space", "action_space", "reset", "step")
    absent = [part for part in parts if getattr(env, part, None) is None]
    problem = f"has no {' and no '.join(absent)}" if absent else ""
    if isinstance(env, gymnasium.vector.VectorEnv):
        problem = "is a vector of environments"
    elif not absent and callable(env.observation_space):  # PettingZoo's
        problem = "has several agents"
    if problem:
        raise UserError(
            f"{name} made a {type(env).__name__}, which {problem}. It must be one environment with Gymnasium's "
            "interface, the old gym's or dm_env's: docs/custom_env.md has an example."
        )
    return GymCompat(env if isinstance(env, gymnasium.Env) else DuckTypedEnv(env))


def _film_options(factory: Callable, config: dict) -> dict:
    """Return `render_mode` rgb_array for an environment that is to be filmed, if its factory accepts that."""
    with contextlib.suppress(TypeError, ValueError):  # no signature
        if config.get("film") and "render_mode" in inspect.signature(factory).parameters:
            return {"render_mode": "rgb_array"}
    return {}


def _needs_arguments(factory: Callable) -> bool:
    try:
        inspect.signature(factory).bind()
    except TypeError:
        return True
    except ValueError:  # no signature
        return False
    return False


def _find_factory(path: str, attribute: str) -> Callable:
    try:
        module = _import(path)
    except UserError:
        raise
    except BaseException as error:
        pass_on_interrupt(error)
        reason = f"{type(error).__name__}: {error_text(error)}"
        raise UserError(f"The module {path!r} could not be imported from {os.getcwd()}: {reason}") from error
    if not callable(getattr(module, attribute, None)):
        hint = _attribute_hint(module, path, attribute)
        raise UserError(f"The module {path!r} has no class or function {attribute!r}.{hint}")
    return getattr(module, attribute)


def _attribute_hint(module: ModuleType, path: str, attribute: str) -> str:
    """Return a hint: a file of that name which another module shadows, or a similar name in the module."""
    file = Path(_dotted(path).replace(".", "/") + ".py")
    if file.is_file() and Path(getattr(module, "__file__", None) or "").resolve() != file.resolve():
        return f" The name means another module than the file in this folder: use ./{file}:{attribute}."
    names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    near = difflib.get_close_matches(attribute, names, n=1)
    return f" Did you mean {path}:{near[0]}?" if near else f" Give it as {path}:Class."


def _import(path: str) -> ModuleType:
    if path.startswith((".", "/", "~")):
        return _load_file(Path(path).expanduser().resolve())
    add_import_folder(os.getcwd())
    return importlib.import_module(_dotted(path))


def _dotted(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


@functools.cache
def _load_file(path: Path) -> ModuleType:
    """Load the module in a file. It can import its neighbours, as if Python ran the file."""
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [file.name for file in path.parent.glob("*.py")], n=1)
        hint = f"Did you mean {path.with_name(near[0])}?" if near else "Give it as ./my_env.py:MyEnv."
        raise UserError(f"There is no file {path}. {hint}")
    spec = importlib.util.spec_from_file_location(str(path), path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is not a Python file: its name must end in .py.")
    add_import_folder(str(path.parent))
    module = sys.modules[str(path)] = importlib.util.module_from_spec(spec)  # dataclasses look there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[str(path)]
        raise
    return module
