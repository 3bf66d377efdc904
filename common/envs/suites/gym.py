"""Any registered Gymnasium environment: gym_<id>, such as gym_CartPole-v1 or gym_ALE/Pong-v5.

gym_<module>:<id> first imports the module, which registers the id. The module may be in the current directory. The ids
of ale-py need no module.
"""

import contextlib
import copy
import difflib
import importlib
import os
import pkgutil
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium.envs import registration

from common.envs.adapt.adapter import adapt_env
from common.envs.adapt.any_interface import as_gymnasium
from common.envs.faults import describe_error, missing_module_hint
from common.envs.suites.gym_hints import unknown_id_hint
from common.errors import UserError
from common.signals import pass_on_interrupt

UNKNOWN_ID = (gymnasium.error.UnregisteredEnv, gymnasium.error.DeprecatedEnv)


def make(name: str, config: dict) -> gymnasium.Env:
    """Make the registered environment with normalized spaces; `time_limit` replaces the registered limit.

    Raises:
        UserError: unknown module or id, missing dependency, unsupported space.
    """
    module, _, env_id = name.rpartition(":")
    if module:
        import_registering(module)
    if env_id not in gymnasium.registry:
        _register_atari(env_id)
    try:
        env, note = make_registered(env_id, config)
        adapted = adapt_env(env, config)
    except UserError:
        raise
    except UNKNOWN_ID as error:
        hint = unknown_id_hint(module, env_id, lambda other: make_registered(other, config)[0])
        raise UserError(f"No environment is registered as {env_id!r}.{hint}") from error
    except gymnasium.error.DependencyNotInstalled as error:
        raise UserError(f"Gymnasium's {name} needs another package: {error}") from error
    except BaseException as error:  # the environment's constructor may raise anything
        pass_on_interrupt(error)
        reason = f"{describe_error(error)}.{missing_module_hint(error)}"
        raise UserError(f"Gymnasium cannot make {name!r}: {reason}") from error
    adapted.get_wrapper_attr("space_notes").extend(filter(None, [note]))
    return adapted


def import_registering(module: str) -> None:
    """Import a module that registers ids. Raises UserError if it does not exist or cannot be imported."""
    add_import_folder(os.getcwd())
    try:
        importlib.import_module(module)
    except BaseException as error:
        pass_on_interrupt(error)
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            near = difflib.get_close_matches(module, {found.name for found in pkgutil.iter_modules()}, n=2, cutoff=0.8)
            similar = f" Modules of a similar name: {', '.join(near)}." if near else ""
            raise UserError(
                f"The module {module!r} is neither in {os.getcwd()} nor installed. Correct its name, or install the "
                f"package that has it.{similar}"
            ) from error
        reason = f"{describe_error(error)}.{missing_module_hint(error)}"
        raise UserError(f"The module {module!r} could not be imported from {os.getcwd()}: {reason}") from error


def _register_atari(env_id: str) -> None:
    """Let ale-py register its ids. Raises UserError if the id is in its namespace and it cannot be imported."""
    try:
        importlib.import_module("ale_py")
    except ImportError as error:
        if env_id.startswith("ALE/"):
            raise UserError(f"{env_id} needs another package: pip install ale-py ({error}).") from error


def make_registered(env_id: str, config: dict) -> tuple[gymnasium.Env, str]:
    """Make the environment by its id, with `render_mode` rgb_array if it is to be filmed.

    Returns the environment and a note if it can only be made without that, else an empty text.
    """
    # -1 removes the registered limit, None keeps it.
    options: dict[str, Any] = {"max_episode_steps": -1 if config["time_limit"] else None, "disable_env_checker": True}
    spec, note = find_spec(env_id), ""
    if config.get("film"):
        try:
            return gymnasium.make(spec, render_mode="rgb_array", **options), ""
        except BaseException as error:
            pass_on_interrupt(error)
            if not (isinstance(error, TypeError) and "render_mode" in str(error)):  # else it has no such argument
                note = f"It is not filmed: with render_mode rgb_array it failed with {describe_error(error)}."
    return gymnasium.make(spec, **options), note


def find_spec(env_id: str) -> Any:
    """Return the specification of an id, whose environment may have any interface that `as_gymnasium` accepts.

    The environment is converted before Gymnasium adds its wrappers, such as a time limit. An id without a version
    means its latest one.

    Raises:
        gymnasium.error.Error: no such id.
    """
    namespace, name, version = registration.parse_env_id(env_id)
    if version is None and (latest := registration.find_highest_version(namespace, name)) is not None:
        env_id = registration.get_env_id(namespace, name, latest)
    spec = copy.copy(gymnasium.spec(env_id))
    spec.entry_point = _converting(spec.entry_point, env_id)
    return spec


def _converting(entry_point: Any, env_id: str) -> Callable:
    """Return a function that makes the environment of an entry point and converts it."""
    create: Any = entry_point if callable(entry_point) else registration.load_env_creator(entry_point)

    def convert(**options: Any) -> gymnasium.Env:
        return as_gymnasium(create(**options), env_id)

    with contextlib.suppress(AttributeError):
        convert.metadata = create.metadata  # type: ignore[attr-defined]  # Gymnasium reads the render modes there
    return convert


def add_import_folder(folder: str) -> None:
    """Add a folder to the import path, before installed packages, but after Python's own modules and this code.

    Worker processes import this code again, so a user's module must not shadow it.
    """
    if folder not in sys.path:
        installed = [index for index, path in enumerate(sys.path) if path.endswith(("site-packages", "dist-packages"))]
        sys.path.insert(min(installed, default=len(sys.path)), folder)
