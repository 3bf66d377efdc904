"""`make_config`: the config that a command line makes, from Python values."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from common.commands import command_options, misspelled_flags
from common.commands.command_line import FLAG_ALIASES, command_input, names_of_flags, without_version
from common.config import notices, parts, python_objects
from common.config.config import flatten, unknown_name
from common.config.versions import ALGOS, DEFAULT_ALGO, resolve
from common.errors import UserError


def make_config(
    algo: str = DEFAULT_ALGO,
    *,
    env: Any = None,
    configs: str | Iterable[str] = (),
    features: Mapping[str, str] | None = None,
    parts: Mapping[str, Any] | None = None,
    **keys: Any,
) -> dict[str, Any]:
    """Return the complete config of a training, as `python dreamer.py config` prints it.

    env: a class or function that makes your environment, in place of `task`; a dict sets the config keys `env.*`.
    configs: config blocks, the later ones win. features: feature -> version. parts: seam -> class, or its name.
    keys: task, steps, seed, logdir, and any config key or flag, nested as in `run={"envs": 4}` or dotted as in
    `**{"run.envs": 4}`.

    Raises UserError for unknown names and wrong values.
    """
    flags = flags_of("train", keys, env=env, parts=parts)
    blocks = [configs] if isinstance(configs, str) else list(configs)
    config = command_input("train", [], algo, blocks, dict(features or {}), flags)
    assert isinstance(config, dict)
    return config


def completed_config(given: str | Mapping[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    """Return the config for a version's name or a config, with the keyword arguments of `make_config` applied."""
    if isinstance(given, str):
        return make_config(**{"algo": given} | keys)
    if absent := [key for key in ("algo", "task") if key not in given]:
        raise UserError(f"A config needs {' and '.join(absent)}: make it with make_config, or give a version: 'v3'.")
    if layers := [key for key in ("algo", "configs", "features") if key in keys]:
        raise UserError(f"Give {layers[0]} to make_config: a config is complete, and only keys can change it.")
    changes = {key: keys.pop(key, None) for key in ("env", "parts")}
    flags = flags_of("train", keys, **changes)
    return resolve(str(given["algo"]), flags=flatten(dict(given)) | flags)


def flags_of(
    command: str, keys: Mapping[str, Any], *, env: Any = None, parts: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the flags of a command line for keyword arguments. Raises UserError for a misspelled one.

    Underscores stand for dashes in the command's own flags, as on the command line.
    """
    notices.drop_all()  # of a call that ended with an error
    nested = {"env": dict(env)} if isinstance(env, Mapping) else {}
    own = command_options(command)
    typed = {name_of_flag(key, own): plain(value) for key, value in flatten({**keys, **nested}).items()}
    misspelled_flags.check((without_version(key, tuple(ALGOS)) for key in typed), *names_of_flags(command))
    if env is not None and not nested:
        typed["task"] = environment_name(env)
    return typed | {f"{seam}.use": part_name(seam, part) for seam, part in (parts or {}).items()}


def name_of_flag(key: str, own: Iterable[str]) -> str:
    """Return the full name of a flag: of an alias, or of a flag of the command with underscores."""
    dashed = key.replace("_", "-")
    return dashed if dashed in own else FLAG_ALIASES.get(key, key)


def plain(value: Any) -> Any:
    """Return a value as the command line has it: paths as text, sequences as lists."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return list(map(plain, value)) if isinstance(value, list | tuple) else value


def environment_name(env: Any, name: Callable[[str, Any], str] = python_objects.name_of) -> str:
    """Return the task of an environment's class or factory. Raises UserError for an environment that is already made.

    name: returns the name of an object of a kind.
    """
    if not callable(env):
        what = "a name: give it as task=" if isinstance(env, str) else f"an object of {type(env).__name__}"
        raise UserError(f"env takes a class, or a function without arguments that makes an environment, got {what}.")
    return name(python_objects.ENVIRONMENT, env)


def part_name(seam: str, part: Any, name: Callable[[str, Any], str] = python_objects.name_of) -> str:
    """Return the name of a part in configs, from its class or its name. Raises UserError for anything else."""
    if seam not in parts.PARTS:
        raise UserError(unknown_name("seam", seam, parts.PARTS))
    if isinstance(part, str):
        return part
    if not isinstance(part, type):
        raise UserError(f'parts takes classes: parts={{"{seam}": {type(part).__name__}}}, not an object of one.')
    path = f"{part.__module__}:{part.__qualname__}"
    return parts.short_name(seam, path) if path in parts.PARTS[seam] else name(seam, part)
