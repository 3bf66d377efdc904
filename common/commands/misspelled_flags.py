"""Flags that a command does not have but that are spelled like one that it has."""

from collections.abc import Collection, Iterable
from difflib import SequenceMatcher

from common.config import foreign_keys, parts
from common.errors import UserError

MIN_SIMILARITY = 0.6  # of two names, from 0 to 1


def check(typed: Iterable[str], flags: Collection[str], keys: Collection[str]) -> None:
    """Raise UserError, with the flag that was meant, for the first unknown flag that is spelled like one.

    typed: the flags of a command line, without dashes. flags: those of the command. keys: the config keys that it
    takes. Other unknown names are reported when the config is resolved.
    """
    for name in typed:
        if not is_known(name, flags, keys) and (meant := nearest_flag(name, flags, keys)):
            raise UserError(f"Unknown flag --{name}. Did you mean --{meant}?")


def is_known(name: str, flags: Collection[str], keys: Collection[str]) -> bool:
    """Return whether a name is a flag, a config key, a glob, a part of keys, or has an explanation of its own."""
    if name in flags or name in keys or set(name) & set("*?[") or name.partition(".")[0] in parts.PARTS:
        return True
    return bool(keys and foreign_keys.advice(name)) or any(name in key.split(".") for key in keys)


def nearest_flag(name: str, flags: Collection[str], keys: Collection[str]) -> str:
    """Return the flag whose name is most similar, or an empty string if none is similar or a config key is more so."""
    similarity = lambda other: SequenceMatcher(None, name.lower(), other.lower()).ratio()
    best = max(flags, key=similarity, default="")
    nearest_key = max((similarity(key) for key in keys if key not in flags), default=0.0)
    return best if similarity(best) >= MIN_SIMILARITY and similarity(best) >= nearest_key else ""
