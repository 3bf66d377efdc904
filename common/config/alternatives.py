"""Options of parts that a version does not choose, where it has values of its own: `alternatives` in its file.

`alternatives: {Plan2Explore: {lr: 3e-4}}` at the top level holds always, in a block only with that block.
"""

from collections.abc import Iterable
from typing import Any

from common.config.config import flatten

ALTERNATIVES = "alternatives"
Options = dict[str, dict[str, Any]]  # class -> option -> value


def split(block: dict) -> tuple[dict[str, Any], Options]:
    """Return the flat keys of a block, and its options of parts that are not chosen."""
    keys: dict[str, Any] = {}
    found: Options = {}
    for key, value in flatten(block).items():
        first, *path = key.split(".", 2)
        if first == ALTERNATIVES and len(path) == 2:
            found.setdefault(path[0], {})[path[1]] = value
        else:
            keys[key] = value
    return keys, found


def merge(several: Iterable[Options]) -> Options:
    """Return all options; later values win."""
    merged: Options = {}
    for one in several:
        for name, options in one.items():
            merged[name] = merged.get(name, {}) | options
    return merged
