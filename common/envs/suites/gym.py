"""Any registered Gymnasium environment: gym_<id>, such as gym_CartPole-v1 or gym_ALE/Pong-v5.

gym_<module>:<id> first imports the module, which registers the id. The module may be in the current directory.
"""

import contextlib
import difflib
import importlib
import os
import sys
from typing import Any

import gymnasium

from common.envs.adapt.adapter import adapt_env
from common.envs.adapt.gym_compat import GymCompat
from common.errors import UserError, error_text
from common.signals import pass_on_interrupt


def make(name: str, config: dict) -> gymnasium.Env:
    """Make the registered environment with normalized spaces; `time_limit` replaces the registered limit.

    Raises:
        UserError: unknown id, missing dependency, unsupported space.
    """
    if name.startswith("ALE/"):
        importlib.import_module("ale_py")  # registers the games
    if ":" in name:
        add_import_folder(os.getcwd())
    try:
        env = make_registered(name, config)
    except gymnasium.error.DependencyNotInstalled as error:
        raise UserError(f"Gymnasium's {name} needs another package: {error}") from error
    except BaseException as error:  # the environment's constructor may raise anything
        pass_on_interrupt(error)
        reason = f"{type(error).__name__}: {error_text(error)}".rstrip(".")
        raise UserError(f"Gymnasium cannot make {name!r}: {reason}.{_hint(name, error)}") from error
    return adapt_env(GymCompat(env), config)


def _hint(name: str, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name != name.partition(":")[0]:
        return f" Try pip install {error.name}."
    unknown = isinstance(error, gymnasium.error.UnregisteredEnv | gymnasium.error.DeprecatedEnv)
    near = difflib.get_close_matches(name, gymnasium.registry, n=3, cutoff=0.3) if unknown else []
    return f" Nearest: {', '.join(f'gym_{close}' for close in near)}." if near else ""


def make_registered(name: str, config: dict) -> gymnasium.Env:
    """Make the environment by its id, with `render_mode` rgb_array if it is to be filmed and accepts that."""
    # -1 removes the registered limit, None keeps it.
    options: dict[str, Any] = {"max_episode_steps": -1 if config["time_limit"] else None, "disable_env_checker": True}
    if config.get("film"):
        with contextlib.suppress(TypeError):  # it has no render_mode
            return gymnasium.make(name, render_mode="rgb_array", **options)
    return gymnasium.make(name, **options)


def add_import_folder(folder: str) -> None:
    """Add a folder to the import path, before installed packages, but after Python's own modules and this code.

    Worker processes import this code again, so a user's module must not shadow it.
    """
    if folder not in sys.path:
        installed = [index for index, path in enumerate(sys.path) if path.endswith(("site-packages", "dist-packages"))]
        sys.path.insert(min(installed, default=len(sys.path)), folder)
