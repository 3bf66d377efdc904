"""Version files that extend the file of another version: `extends: v3` at the top level.

Defaults and blocks of the other version hold unless the file has its own value. Where the recipes choose different
parts, only the options that the new part has are inherited.
"""

from typing import Any

from common.config import parts
from common.config.config import flatten

EXTENDS = "extends"


def extend(own: dict, base: dict, recipe: Any, base_recipe: Any) -> dict:
    """Return the blocks of a version file with those of the version that it extends. Neither is changed.

    own: the file, without `extends`. base: the complete blocks of the other version.
    """
    replaced = {seam for seam in parts.PARTS if getattr(recipe, seam) is not getattr(base_recipe, seam)}
    options = {seam: {f"{seam}.{name}" for name in flatten(parts.options(getattr(recipe, seam)))} for seam in replaced}
    inherits = lambda key: key.split(".")[0] not in replaced or key in options[key.split(".")[0]]
    merged = {}
    for name in {**base, **own}:
        values = flatten(own.get(name) or {})
        inherited = {key: value for key, value in flatten(base.get(name) or {}).items() if inherits(key)}
        merged[name] = {key: value for key, value in inherited.items() if key not in values} | values
    return merged | {"defaults": _nested(_ordered(merged["defaults"], base["defaults"]))}


def _ordered(flat: dict[str, Any], base: dict) -> dict[str, Any]:
    """Return flat keys in the order of the extended defaults; new keys come last."""
    return {key: flat[key] for key in flatten(base) if key in flat} | flat


def _nested(flat: dict[str, Any]) -> dict:
    """{'a.b': 1} -> {'a': {'b': 1}}."""
    tree: dict = {}
    for key, value in flat.items():
        *path, last = key.split(".")
        node = tree
        for name in path:
            node = node.setdefault(name, {})
        node[last] = value
    return tree
