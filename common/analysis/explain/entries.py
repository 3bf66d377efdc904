"""The explanations in configs/explain/: one entry for every config key and every part."""

import fnmatch
import functools
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from common.config import parts
from common.config.config import flatten, read, unknown_name
from common.errors import UserError

ROOT = Path(__file__).parents[3]
FILES = ("setting", "world_model", "behavior", "optimiser")  # in the order of the output


class Explanation(NamedTuple):
    """Description of a key or a part, with formula and source (paper or official code).

    only: name of the condition without which it has no effect, see `conditions`. file: implementing file of a key that
    is not in a part. All but `concept` and `what` may be empty.
    """

    concept: str
    what: str
    formula: str = ""
    source: str = ""
    only: str = ""
    file: str = ""


@functools.cache
def entries() -> dict[str, Explanation]:
    """Return key, SEAM.CLASS or glob -> explanation, concept by concept."""
    found: dict[str, Explanation] = {}
    for name in FILES:
        for concept, group in read(ROOT / "configs" / "explain" / f"{name}.yaml").items():
            for key, fields in group.items():
                found[key] = Explanation(concept, **({"what": fields} if isinstance(fields, str) else fields))
    return found


def find_entry(name: str) -> Explanation:
    """Return the explanation of a config key or SEAM.CLASS: its own, or that of the first matching glob.

    Raises UserError for an unknown name.
    """
    known = entries()
    patterns = [name] if name in known else [glob for glob in known if fnmatch.fnmatchcase(name, glob)]
    if not patterns:
        raise UserError(unknown_name("key", name, known))
    return known[patterns[0]]


def sort_keys(keys: Iterable[str]) -> list[str]:
    """Return config keys in the order of their entries; keys without an entry come last."""
    places, last = {name: i for i, name in enumerate(entries())}, len(entries())
    place = lambda key: places.get(key, min((places[g] for g in places if fnmatch.fnmatchcase(key, g)), default=last))
    return sorted(keys, key=lambda key: (place(key), key))


def part_names() -> list[str]:
    """Return SEAM.CLASS of every part."""
    return [f"{seam}.{parts.short_name(seam, path)}" for seam, paths in parts.PARTS.items() for path in paths]


def part_keys(name: str) -> list[str]:
    """Return the config keys of the part SEAM.CLASS."""
    seam, _, cls = name.partition(".")
    return list(flatten({seam: {"use": cls} | parts.options(parts.find(seam, cls))}))


def part_file(name: str) -> str:
    """Return the file of the part SEAM.CLASS, relative to the repository if it is in it."""
    seam, _, cls = name.partition(".")
    file = Path(inspect.getfile(parts.find(seam, cls)))
    return str(file.relative_to(ROOT) if file.is_relative_to(ROOT) else file)


def every_key(configs: Iterable[dict]) -> list[str]:
    """Return all keys of configs and of all parts, used or not."""
    keys = {key for config in configs for key in flatten(config)}
    return sort_keys(keys | {key for name in part_names() for key in part_keys(name)})
