"""Any registered Gymnasium environment: gym_<id>, for example gym_CartPole-v1 or gym_ALE/Pong-v5.

gym_<module>:<id> imports the module first, which may lie in the current directory, so that it registers its own.
"""

import contextlib
import difflib
import importlib
import os
import sys

import gymnasium

from common.envs.adapt.adapter import Adapter
from common.envs.adapt.gym_compat import GymCompat
from common.envs.adapt.wrappers import ActionRepeat
from common.errors import UserError, error_text
from common.signals import pass_on_interrupt


def make(name: str, config: dict) -> gymnasium.Env:
    """The registered environment with normalised spaces; `time_limit` replaces the registered one.

    Raises:
        UserError: unknown id, missing dependency, or a space that is not supported.
    """
    if name.startswith("ALE/"):
        importlib.import_module("ale_py")  # registers them
    if ":" in name:
        add_import_folder(os.getcwd())
    try:
        env = make_registered(name, config)
    except gymnasium.error.DependencyNotInstalled as error:
        raise UserError(f"Gymnasium's {name} needs another package: {error}") from error
    except BaseException as error:  # whatever the environment's own constructor raises
        pass_on_interrupt(error)
        reason = f"{type(error).__name__}: {error_text(error)}".rstrip(".")
        raise UserError(f"Gymnasium cannot make {name!r}: {reason}.{_hint(name, error)}") from error
    return adapt_env(GymCompat(env), config)


def _hint(name, error):
    if isinstance(error, ModuleNotFoundError) and error.name != name.partition(":")[0]:
        return f" Try pip install {error.name}."
    unknown = isinstance(error, gymnasium.error.UnregisteredEnv | gymnasium.error.DeprecatedEnv)
    near = difflib.get_close_matches(name, gymnasium.registry, n=3, cutoff=0.3) if unknown else []
    return f" Nearest: {', '.join(f'gym_{close}' for close in near)}." if near else ""


def make_registered(name: str, config: dict) -> gymnasium.Env:
    """The environment as it is registered; one that is to be filmed draws itself, if it can."""
    # -1 takes the registered limit away, None keeps it.
    options: dict = {"max_episode_steps": -1 if config["time_limit"] else None, "disable_env_checker": True}
    if config.get("film"):
        with contextlib.suppress(TypeError):  # it knows no render_mode
            return gymnasium.make(name, render_mode="rgb_array", **options)
    return gymnasium.make(name, **options)


def adapt_env(env: gymnasium.Env, config: dict) -> gymnasium.Env:
    """A raw Gymnasium environment with action repeat, time limit, and the hub's spaces."""
    frames = ActionRepeat(env, config["repeat"], config["time_limit"])
    return Adapter(frames, config["size"], config["gray"], config["resize"], config["action_scale"])


def add_import_folder(folder: str) -> None:
    """Lets modules that lie in a folder be imported.

    They go before installed packages of the same name, as where Python runs a file, but not before Python's own modules
    and this code, which worker processes import anew.
    """
    if folder not in sys.path:
        installed = [place for place, path in enumerate(sys.path) if path.endswith(("site-packages", "dist-packages"))]
        sys.path.insert(min(installed, default=len(sys.path)), folder)
