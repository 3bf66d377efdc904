"""Command lines: the flags that a command declares, and the values that a user typed.

A flag is one of `--algo`, `--configs` and `--features`, a flag of the command (`Option`), or a config key.
"""

import argparse
import dataclasses
import fnmatch
import functools
import re
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from common.config import config as configs
from common.config import parts
from common.errors import UserError

LIST_FLAGS = ("configs", "features")  # flags of every command that take several values
ONE_DASH = re.compile(r"(?:-|[–—])(?!inf\b|nan\b)([A-Za-z]\w*)")


@dataclasses.dataclass(frozen=True)
class Option:
    """A flag of one command.

    The default decides the type: a bool flag may be typed alone, a list flag takes several values. In the help,
    `metavar` is the name of the value and `group` the heading.
    """

    default: Any
    help: str
    metavar: str = ""
    group: str = ""


class ParsedArguments(NamedTuple):
    """The words after a command.

    words: those before the first flag. algo: the version, or None. blocks: --configs. borrowed: --features, as
    feature -> version. flags: all others, as typed.
    """

    words: list[str]
    algo: str | None
    blocks: list[str]
    borrowed: dict[str, str]
    flags: dict[str, Any]


Options = Mapping[str, Any]  # name -> Option, or a default alone


def default_values(options: Options) -> dict[str, Any]:
    """Return the default of each option."""
    return {name: option.default if isinstance(option, Option) else option for name, option in options.items()}


def check_minima(options: Mapping[str, Any], minima: Mapping[str, float]) -> None:
    """Raise UserError for a value below the least one of its flag."""
    for key, least in minima.items():
        if options[key] < least:
            raise UserError(f"--{key} must be at least {least}, got {options[key]}.")


def with_help(options: Options, **changed: str) -> dict[str, Any]:
    """Return the options of another command with some help texts changed, by name with underscores for dashes."""
    texts = {name.replace("_", "-"): text for name, text in changed.items()}
    return {**options, **{name: dataclasses.replace(options[name], help=text) for name, text in texts.items()}}


def with_defaults(options: Options, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of another command with some defaults changed."""
    options = dict(options)
    for name, default in changed.items():
        option = options[name]
        if isinstance(option, Option):
            help_text = re.sub(r" \(default: .*?\)", "", option.help)
            options[name] = dataclasses.replace(option, default=default, help=help_text)
        else:
            options[name] = default
    return options


def parse(
    argv: list[str],
    own: Options,
    flag_aliases: Mapping[str, str],
    *,
    positionals: bool,
    versions: Collection[str] = (),
    check_key: Callable[[str], object] = lambda key: None,
) -> ParsedArguments:
    """Sort the words after a command: `--key VALUE` or `--key=VALUE`. The last one of a flag with one value counts.

    own: the flags that only this command takes. A flag without a value is true where the default is a bool.
    flag_aliases: alias -> config key. positionals: whether words may come before the first flag. versions: names
    that may be in front of a config key or of `configs`: `--v3.schedule.ratio 32`.
    check_key: raises UserError for an unknown config key; it is called before a wrong number of values is reported.

    Raises:
        UserError: a word in the wrong place, or too few or too many values.
    """
    defaults = default_values(own)
    flag_places = (place for place, word in enumerate(argv) if word.startswith("--"))
    first = next(flag_places, len(argv)) if positionals else 0
    several = {*LIST_FLAGS, *(name for name, default in defaults.items() if isinstance(default, list))}
    several |= {f"{version}.configs" for version in versions}
    full_name = functools.partial(_full_name, own=own, aliases=flag_aliases, versions=versions)
    groups = _values_by_flag(argv[first:], several, full_name)
    blocks, borrowed = _pop_list(groups, "configs"), dict(map(_parse_feature, _pop_list(groups, "features")))
    given = {key: values or ["true"] * isinstance(defaults.get(key), bool) for key, values in groups.items()}
    for key, values in given.items():
        if key not in several and key not in own and len(values) != 1:
            version, dot, rest = key.partition(".")
            check_key(rest if dot and version in versions else key)
    flags: dict[str, Any] = {
        key: values if key in several else _single_value(key, values) for key, values in given.items()
    }
    return ParsedArguments(argv[:first], flags.pop("algo", None), blocks, borrowed, _with_current_parts(flags))


def split_own_flags(flags: Mapping[str, Any], own: Options) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the command's own flags, typed by their defaults, and all others. Lists may also have commas.

    Raises:
        UserError: a value of another type, or a list without values.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    add_options(parser, own)
    values = {name: flags[name] if isinstance(flags[name], list) else [flags[name]] for name in own if name in flags}
    typed = vars(parser.parse_args([f"--{name}={value}" for name, given in values.items() for value in given]))
    defaults = default_values(own)
    if empty := [name for name in values if isinstance(defaults[name], list) and not typed.get(name)]:
        raise UserError(f"--{empty[0]} needs at least one value.")
    return defaults | typed, {key: value for key, value in flags.items() if key not in own}


def add_options(parser: argparse.ArgumentParser, options: Options, heading: str = "flags") -> None:
    """Declare options to argparse, under their headings. `heading` is that of the options without one."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    for name, option in options.items():
        option = option if isinstance(option, Option) else Option(option, "")
        title = option.group or heading
        groups[title] = groups.get(title) or parser.add_argument_group(title)
        default = option.default
        evident = default is False or default in ("", []) or f"{default}:" in option.help
        shown = "" if evident else f" (default: {default})"
        kind = "N" if isinstance(default, int) else "TEXT ..." if isinstance(default, list) else "TEXT"
        metavar = option.metavar or ("" if isinstance(default, bool) else kind)
        convert = (
            _split_at_commas if isinstance(default, list) else functools.partial(configs.cast, f"--{name}", default)
        )
        action: Any = "extend" if isinstance(default, list) else "store"
        groups[title].add_argument(
            f"--{name}",
            dest=name,
            action=action,
            type=convert,
            metavar=metavar,
            help=(option.help + shown).replace("%", "%%"),
        )


def _split_at_commas(text: str) -> list[str]:
    return [value for value in text.split(",") if value]


def _values_by_flag(argv: list[str], several: set[str], full_name: Callable[[str], str]) -> dict[str, list[str]]:
    """Return the words after each flag, under the flag's full name, in the order of the last use."""
    groups: dict[str, list[str]] = {}
    for word in argv:
        if found := ONE_DASH.match(word):
            raise UserError(f"Flags start with two dashes. Type --{found[1]} instead of {word}.")
        if word.startswith("--") and len(word) > 2:
            name, _, value = word[2:].partition("=")
            key = full_name(name)
            before = groups.pop(key, [])
            kept = before if key in several else []
            groups[key] = [*kept, value] if value else kept
        elif groups:
            groups[list(groups)[-1]].append(word)
        else:
            key, equals, value = word.partition("=")
            hint = f" Type --{key} {value}." if key and equals else ""
            raise UserError(f"Expected --key VALUE after the command, got {word!r}.{hint}")
    return groups


def _full_name(name: str, own: Options, aliases: Mapping[str, str], versions: Collection[str]) -> str:
    """Return the name of a flag for one of its spellings: an alias, or a flag of the command with underscores."""
    version, dot, key = name.partition(".")
    if dot and version in versions:
        return f"{version}.{aliases.get(key, key)}"
    dashed = name.replace("_", "-")
    return name if name in own else dashed if dashed in own else aliases.get(name, name)


def _single_value(key: str, values: list[str]) -> str:
    if len(values) != 1:
        raise UserError(f"--{key} takes one value, got {' '.join(values) or 'none'}.")
    return values[0]


def _pop_list(groups: dict[str, list[str]], key: str) -> list[str]:
    """Remove a flag that takes several values from `groups` and return its values, which may be joined by commas."""
    values = [value.strip() for word in groups.get(key, []) for value in word.split(",") if value.strip()]
    if key in groups and not values:
        raise UserError(f"--{key} needs at least one value. `python dreamer.py train --help` lists them.")
    groups.pop(key, None)
    return values


def _parse_feature(text: str) -> tuple[str, str]:
    """'retnorm=v2' -> ('retnorm', 'v2')."""
    feature, _, algo = text.partition("=")
    if not feature or not algo:
        raise UserError(f"--features takes NAME=VERSION, such as retnorm=v2, got {text!r}.")
    return feature, algo


def _with_current_parts(flags: dict[str, Any]) -> dict[str, Any]:
    """Replace former names of parts, with a notice on stderr for each."""
    for key in [key for key in flags if key.endswith(".use")]:
        seams = [seam for seam in parts.FORMER_NAMES if fnmatch.fnmatchcase(f"{seam}.use", key)]
        old = flags[key]
        new = next((name for seam in seams if (name := parts.FORMER_NAMES[seam].get(old, old)) != old), old)
        if new != old:
            print(f"{key} {old} is now {new}.", file=sys.stderr)
            flags[key] = new
    return flags
