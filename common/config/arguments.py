"""The words of a command line, before anything is known of versions and configs."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from common.config import config as configs
from common.errors import UserError

LIST_FLAGS = ("configs", "features")  # flags of every command that take several values


class ParsedArguments(NamedTuple):
    """What stands behind a command.

    words: what comes before the first flag. algo: the version, or None. blocks: --configs. borrowed: --features, as
    feature -> version. flags: all others, as typed.
    """

    words: list[str]
    algo: Any
    blocks: list[str]
    borrowed: dict[str, str]
    flags: dict[str, Any]


def parse(argv: list[str], own: Mapping[str, Any], aliases: Mapping[str, str], *, words: bool) -> ParsedArguments:
    """Sorts what stands behind a command: `--key VALUE`, `--key=VALUE`; of flags with one value the last one counts.

    own: flags that only this command takes, with their defaults; a flag alone is true where that is a bool, and takes
    several values where it is a list. aliases: short flag -> config key. words: whether words may come first.

    Raises:
        UserError: a word in the wrong place, or too few or too many values.
    """
    first = next((place for place, word in enumerate(argv) if word.startswith("--")), len(argv)) if words else 0
    several = {*LIST_FLAGS, *_list_flags(own)}
    groups = _values_by_flag(argv[first:], several, lambda name: name if name in own else aliases.get(name, name))
    blocks, borrowed = _pop_list(groups, "configs"), dict(map(_parse_feature, _pop_list(groups, "features")))
    given = {key: values or ["true"] * isinstance(own.get(key), bool) for key, values in groups.items()}
    flags = {key: values if key in several else _single_value(key, values) for key, values in given.items()}
    return ParsedArguments(argv[:first], flags.pop("algo", None), blocks, borrowed, flags)


def split_own_flags(flags: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[dict, dict]:
    """The command's own flags, typed by their defaults, and the others. Several values may have commas between them.

    Raises:
        UserError: a value of another type, or none at all.
    """
    given = {key: [v for word in flags[key] for v in word.split(",") if v] for key in _list_flags(own) if key in flags}
    if empty := [key for key, values in given.items() if not values]:
        raise UserError(f"--{empty[0]} needs at least one value.")
    cast = lambda key, old: configs.cast(f"--{key}", old, given.get(key, flags.get(key, old)))
    typed = {key: cast(key, old) for key, old in own.items()}
    return typed, {key: value for key, value in flags.items() if key not in own}


def _values_by_flag(argv, several, meaning):
    """Flag -> the words behind it; `meaning` turns what was typed into the name of a flag."""
    groups: dict[str, list[str]] = {}
    for word in argv:
        if word.startswith("--") and len(word) > 2:
            name, _, value = word[2:].partition("=")
            key = meaning(name)
            before = groups.pop(key, [])
            kept = before if key in several else []
            groups[key] = [*kept, value] if value else kept
        elif groups:
            groups[list(groups)[-1]].append(word)
        else:
            raise UserError(f"Expected --key VALUE after the command, got {word!r}.")
    return groups


def _list_flags(own):
    return [key for key, old in own.items() if isinstance(old, list)]


def _single_value(key, values):
    if len(values) != 1:
        raise UserError(f"--{key} takes one value, got {' '.join(values) or 'none'}.")
    return values[0]


def _pop_list(groups, key):
    """Takes the values of a flag that may have several out of `groups`."""
    if groups.get(key) == []:
        raise UserError(f"--{key} needs at least one value. `python dreamer.py --help` lists them.")
    return groups.pop(key, [])


def _parse_feature(text):
    """'retnorm=v2' -> ('retnorm', 'v2')."""
    feature, _, algo = text.partition("=")
    if not feature or not algo:
        raise UserError(f"--features takes NAME=VERSION, such as retnorm=v2, got {text!r}.")
    return feature, algo
