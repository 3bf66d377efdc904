"""The entries of configs/explain/: one for every config key and every part."""

import fnmatch
import functools
import inspect
from pathlib import Path
from typing import NamedTuple

from common.config import parts
from common.config.config import flatten, read, unknown_name
from common.errors import UserError

ROOT = Path(__file__).parents[3]
FILES = ("setting", "world_model", "behavior", "optimiser")  # in this order


class Explanation(NamedTuple):
    """What is known of a key or a part.

    formula, source (paper or official code), only (what it has no effect without, a name in `conditions`) and file (for
    what is no part) may be empty.
    """

    concept: str
    what: str
    formula: str = ""
    source: str = ""
    only: str = ""
    file: str = ""


@functools.cache
def entries() -> dict[str, Explanation]:
    """Key, SEAM.CLASS or a glob of them -> entry, concept by concept."""
    found: dict[str, Explanation] = {}
    for name in FILES:
        for concept, group in read(ROOT / "configs" / "explain" / f"{name}.yaml").items():
            texts = {key: {"what": text} if isinstance(text, str) else text for key, text in group.items()}
            found |= {key: Explanation(concept, **fields) for key, fields in texts.items()}
    return found


def pattern(name: str) -> str:
    """The entry that a config key or SEAM.CLASS has: its own, or a glob's. Raises UserError for anything unknown."""
    known = entries()
    globs = [name] if name in known else [glob for glob in known if fnmatch.fnmatchcase(name, glob)]
    if not globs:
        raise UserError(unknown_name("key", name, known))
    return globs[0]


def entry(name: str) -> Explanation:
    """Entry of a config key or SEAM.CLASS. Raises UserError for anything unknown."""
    return entries()[pattern(name)]


def in_order(keys) -> list[str]:
    """Config keys in the order of their entries; those without one come last."""
    places, last = {name: i for i, name in enumerate(entries())}, len(entries())
    place = lambda key: places.get(key, min((places[g] for g in places if fnmatch.fnmatchcase(key, g)), default=last))
    return sorted(keys, key=lambda key: (place(key), key))


def part_names() -> list[str]:
    """SEAM.CLASS of every part."""
    return [f"{seam}.{path.split(':')[1]}" for seam, paths in parts.PARTS.items() for path in paths]


def part_keys(name: str) -> list[str]:
    """Config keys that the part SEAM.CLASS has."""
    seam, cls = name.split(".")
    return list(flatten({seam: {"use": cls} | parts.options(parts.find(seam, cls))}))


def part_file(name: str) -> str:
    """File of the part SEAM.CLASS, from the root of the repository."""
    return str(Path(inspect.getfile(parts.find(*name.split(".")))).relative_to(ROOT))


def every_key(configs) -> list[str]:
    """Keys of configs, and of all parts whether they are used or not."""
    keys = {key for config in configs for key in flatten(config)}
    return in_order(keys | {key for name in part_names() for key in part_keys(name)})
