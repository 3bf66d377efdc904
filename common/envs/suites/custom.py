"""Your own environment: <module>:<Class>, a class or a function without arguments.

Its interface is Gymnasium's, the old gym's or dm_env's. The module is installed or in the current directory:
my_env:MyEnv, my/env.py:MyEnv, my.package.env:make. A name that starts with a dot, a slash or ~ is a file:
./my_env.py:MyEnv, ../other/my_env.py:MyEnv, /home/me/my_env.py:MyEnv. A Python program may also give the class or
function itself, see config/python_objects.py.
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

from common.config import python_objects
from common.envs.adapt.adapter import adapt_env
from common.envs.adapt.any_interface import as_gymnasium
from common.envs.faults import describe_error, missing_module_hint
from common.envs.suites.gym import add_import_folder
from common.errors import UserError
from common.signals import pass_on_interrupt


def make(name: str, config: dict) -> gymnasium.Env:
    """Make the user's environment with normalized spaces.

    Raises:
        UserError: the module or class does not exist, its constructor fails, or the result is not an environment.
    """
    factory = _find_factory(name)
    try:
        env, note = _make_from(factory, _film_options(factory, config))
        adapted = adapt_env(as_gymnasium(env, name), config)
    except UserError:
        raise
    except BaseException as error:
        pass_on_interrupt(error)
        hint = " Name a function without arguments that makes it." if _needs_arguments(factory) else ""
        hint += missing_module_hint(error)
        raise UserError(f"{name} could not be made: {describe_error(error)}.{hint}") from error
    adapted.get_wrapper_attr("space_notes").extend(filter(None, [note]))
    return adapted


def _make_from(factory: Callable, film: dict) -> tuple[Any, str]:
    """Return the environment, made without `film` if it fails with it, and a note in that case, else an empty text."""
    try:
        return factory(**film), ""
    except BaseException as error:
        pass_on_interrupt(error)
        if not film:
            raise
        return factory(), f"It is not filmed: with render_mode rgb_array it failed with {describe_error(error)}."


def names_module(name: str) -> bool:
    """Whether the part before the colon is a module that exists, and the part after it can name one of its classes."""
    path, _, attribute = name.partition(":")
    add_import_folder(os.getcwd())
    try:
        return attribute.isidentifier() and importlib.util.find_spec(_dotted(path)) is not None
    except (ImportError, ValueError):
        return False
    except BaseException as error:  # of its package, which exists
        pass_on_interrupt(error)
        return True


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


def _find_factory(name: str) -> Callable:
    if python_objects.is_local(name):
        return python_objects.find(python_objects.ENVIRONMENT, name)
    path, _, attribute = name.partition(":")
    try:
        module = _import(path)
    except UserError:
        raise
    except BaseException as error:
        pass_on_interrupt(error)
        reason = f"{describe_error(error)}.{_import_hint(error, path)}"
        raise UserError(f"The module {path!r} could not be imported from {os.getcwd()}: {reason}") from error
    if not callable(getattr(module, attribute, None)):
        hint = _attribute_hint(module, path, attribute)
        raise UserError(f"The module {path!r} has no class or function {attribute!r}.{hint}")
    return getattr(module, attribute)


def _import_hint(error: BaseException, path: str) -> str:
    """Return what to install if a module that the user's own module imports is missing."""
    own = isinstance(error, ModuleNotFoundError) and f"{_dotted(path)}.".startswith(f"{error.name}.")
    return "" if own else missing_module_hint(error)


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
