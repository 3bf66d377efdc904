"""Tasks to type in place of one that no suite has: walker_walk is dmc_walker_walk, Pong is atari_pong.

Each was made once before it is printed.
"""

import difflib
import importlib
import re
from collections.abc import Callable, Iterable, Iterator

import gymnasium

from common.envs.suites.gym_hints import TRIAL_SECONDS, nearest_ids
from common.signals import deadline, pass_on_interrupt

MAX_HINTS = 3
MIN_SIMILARITY = 0.75  # of names, from 0 to 1
MISSING_PACKAGE = (gymnasium.error.DependencyNotInstalled, ModuleNotFoundError)
OTHER_SUITES = ("minigrid", "bsuite", "metaworld", "memorymaze", "crafter")


def nearest_tasks(task: str, suites: Iterable[str], make: Callable[[str], gymnasium.Env]) -> list[str]:
    """Return up to three tasks of a similar name that can be made; the same name in another suite comes first.

    suites: the prefixes of tasks. make: makes a task by its full name.
    """
    prefix, _, rest = task.partition("_")
    near = difflib.get_close_matches(prefix, suites, n=1)
    names = [task, rest] if near and rest else [task]
    groups = (
        (f"{suite}_{rest}" if rest else suite for suite in near),
        (same for name in names for same in same_names(name)),
        (f"{suite}_{spelled}" for suite in OTHER_SUITES for spelled in (task.removeprefix("MiniGrid-"), snake(task))),
        (similar for name in names for similar in similar_names(name)),
    )
    for group in groups:
        if found := can_be_made(group, make):
            return found
    return []


def same_names(name: str) -> list[str]:
    """Return the tasks of DeepMind Control, Atari and Gymnasium that have this name without their prefix."""
    game = re.sub(r"(NoFrameskip|Deterministic)?-v\d+$", "", name.removeprefix("ALE/"))
    found = [f"dmc_{snake(name)}"] if snake(name) in dmc_names() else []
    found += [f"atari_{snake(game)}"] if snake(game) in atari_names() else []
    ids = gym_ids()
    same = [name] if name in ids else nearest_ids(name, [known for known in ids if same_id(name, known)])[:1]
    return [*found, *(f"gym_{known}" for known in same)]


def similar_names(name: str) -> Iterator[str]:
    """Yield tasks of DeepMind Control, Atari and Gymnasium with a similar name, the nearest first."""
    known = {bare: f"dmc_{bare}" for bare in dmc_names()} | {bare: f"atari_{bare}" for bare in atari_names()}
    near = difflib.get_close_matches(snake(name), known, MAX_HINTS, MIN_SIMILARITY)
    yield from (
        known[bare] for bare in dict.fromkeys([*near, *(key for key in known if key.startswith(f"{snake(name)}_"))])
    )
    yield from (f"gym_{known_id}" for known_id in nearest_ids(name, gym_ids()))


def can_be_made(tasks: Iterable[str], make: Callable[[str], gymnasium.Env]) -> list[str]:
    """Return the first tasks whose environment can be made, or lacks only an optional package."""
    found: list[str] = []
    for task in dict.fromkeys(tasks):
        try:
            with deadline(TRIAL_SECONDS):
                make(task).close()
        except BaseException as error:  # the code of a suite's package may raise anything
            pass_on_interrupt(error)
            if not (task.startswith("gym_") and isinstance(error.__cause__, MISSING_PACKAGE)):
                continue
        found.append(task)
        if len(found) == MAX_HINTS:
            break
    return found


def snake(name: str) -> str:
    """'MsPacman' and 'ms-pacman' -> 'ms_pacman'."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()


def same_id(name: str, known: str) -> bool:
    """Return whether `known` is the id `name`, in any case and perhaps of another version."""
    bare = lambda env_id: re.sub(r"-v\d+$", "", env_id).lower()
    return bare(name) == bare(known)


def dmc_names() -> list[str]:
    """Return the tasks of DeepMind Control without their prefix; none if it is not installed."""
    try:
        pairs = importlib.import_module("common.envs.suites.dmc").load_suite("disable").ALL_TASKS
    except Exception:  # packages of other versions may raise anything
        return []
    return [f"{domain}_{task}" for domain, task in pairs]


def atari_names() -> list[str]:
    """Return the games of ale-py; none if it is not installed."""
    try:
        return importlib.import_module("ale_py.roms").get_all_rom_ids()
    except ImportError:
        return []


def gym_ids() -> list[str]:
    """Return the ids that Gymnasium knows, those of ale-py included if it is installed."""
    atari_names()  # importing ale-py registers them
    return list(gymnasium.registry)
