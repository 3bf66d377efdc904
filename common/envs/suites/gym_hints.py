"""Ids to type in place of one that Gymnasium does not know. Each was made once before it is printed."""

import difflib
from collections.abc import Callable

import gymnasium
from gymnasium.envs import registration

from common.signals import deadline, pass_on_interrupt

KNOWN_MODULES = ("gymnasium.", "ale_py.")  # their ids need no module
MAX_HINTS, MAX_TRIED = 3, 8
TRIAL_SECONDS = 10.0
MIN_SIMILARITY = 0.75  # of names, from 0 to 1


def unknown_id_hint(module: str, env_id: str, make: Callable[[str], gymnasium.Env]) -> str:
    """Return the nearest ids that can be made, or how ids of other packages are named.

    module: registers the ids, may be empty. make: makes an environment by its id alone.
    """
    own = [known for known, spec in gymnasium.registry.items() if not str(spec.entry_point).startswith(KNOWN_MODULES)]
    shared = [known for known in gymnasium.registry if known not in set(own)]
    near = nearest_ids(env_id, own) + nearest_ids(env_id, shared) if module else nearest_ids(env_id, shared)
    if module and not near:
        near = own
    tasks = [f"gym_{module}:{found}" if found in own else f"gym_{found}" for found in can_be_made(near, make)]
    hint = f" Nearest: {', '.join(tasks)}." if tasks else ""
    if module:
        return hint or f" Importing {module!r} registers no id like it."
    return f"{hint} If another package registers it, give the module to import before the id: gym_MODULE:{env_id}."


def nearest_ids(env_id: str, known: list[str]) -> list[str]:
    """Return known ids of a similar name, the nearest first, of each the latest version first."""
    names: dict[str, list[str]] = {}
    for other in sorted(known, key=_version, reverse=True):
        names.setdefault(_name(other).lower(), []).append(other)
    near = difflib.get_close_matches(_name(env_id).lower(), names, n=MAX_HINTS, cutoff=MIN_SIMILARITY)
    return [other for name in near for other in names[name]]


def can_be_made(ids: list[str], make: Callable[[str], gymnasium.Env]) -> list[str]:
    """Return the first ids whose environment can be made, or lacks only an optional package, which is named then."""
    found: list[str] = []
    for env_id in ids[:MAX_TRIED]:
        try:
            with deadline(TRIAL_SECONDS):
                make(env_id).close()
        except gymnasium.error.DependencyNotInstalled:
            pass
        except BaseException as error:  # of an environment's constructor
            pass_on_interrupt(error)
            continue
        found.append(env_id)
        if len(found) == MAX_HINTS:
            break
    return found


def _name(env_id: str) -> str:
    """Return an id without its version; the id itself if it is malformed."""
    try:
        namespace, name, _ = registration.parse_env_id(env_id)
    except gymnasium.error.Error:
        return env_id
    return f"{namespace}/{name}" if namespace else name


def _version(env_id: str) -> int:
    version = env_id.rpartition("-v")[2]
    return int(version) if version.isdigit() else 0
