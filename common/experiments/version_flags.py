"""Flags for one version of a comparison: `--v3.schedule.ratio 32` sets the key for V3 alone."""

import fnmatch
import re
from collections.abc import Sequence
from typing import Any

from common.config.request import Request
from common.errors import UserError

#: Key that is the same for all runs of a comparison -> what to type instead, if there is anything.
SHARED_KEYS = {
    "algo": "--algos",
    "task": "--tasks",
    "steps": "--steps",
    "seed": "--seeds and --first-seed",
    "logdir": "--logdir",
    "run.max_seconds": "--match time and --steps",
    "run.offline": "--run.offline",
    "run.eval_episodes": "--episodes",
    "features": "`ablate` or `ladder`",
}
VERSION_LIKE = re.compile(r"v\d[\w-]*")


def requests_by_version(request: Request, versions: Sequence[str]) -> dict[str, Request]:
    """Return version -> the request for it, with the flags of every version and, after them, its own ones.

    Raises UserError for a flag of a version that is not in the comparison, or for a key that all runs share.
    """
    own: dict[str, dict[str, Any]] = {version: {} for version in versions}
    shared: dict[str, Any] = {}
    for flag, value in request.flags.items():
        version, dot, key = flag.partition(".")
        if not dot or not (version in request.algos or VERSION_LIKE.fullmatch(version)):
            shared[flag] = value
            continue
        if version not in own:
            names = ", ".join(versions)
            raise UserError(f"--{flag} is for {version}, but the versions of this comparison are {names}. Omit it.")
        refuse_shared_key(flag, key, request.options)
        own[version][key] = value
    return {version: with_own_flags(request._replace(algo=version, flags=shared), own[version]) for version in versions}


def refuse_version_flags(request: Request, command: str) -> None:
    """Raise UserError for a flag of one version in a command whose variants all are of one version."""
    for flag in request.flags:
        version, dot, key = flag.partition(".")
        if dot and (version in request.algos or VERSION_LIKE.fullmatch(version)):
            raise UserError(f"All variants of {command} are of one version and share their keys. Use --{key}.")


def with_own_flags(request: Request, own: dict[str, Any]) -> Request:
    """Return the request with flags that no other version has; `configs` among them adds config blocks."""
    keys = {key: value for key, value in own.items() if key != "configs"}
    flags = {key: value for key, value in request.flags.items() if key not in keys} | keys  # own ones last, for globs
    return request._replace(blocks=[*request.blocks, *own.get("configs", [])], flags=flags, own=own)


def refuse_shared_key(flag: str, key: str, options: dict[str, Any]) -> None:
    """Raise UserError if a key, or a glob that matches one, is the same for all runs of a comparison."""
    shared = {name: f"--{name}" for name in options} | SHARED_KEYS
    for name, instead in shared.items():
        if fnmatch.fnmatchcase(name, key):
            raise UserError(f"--{flag}: {name} is the same for all runs of a comparison. Use {instead}.")
