"""`explain`: what a version is, and what differs between versions, configs or runs, with formula, source and file.

    explain WORDS [--key KEY ...] [--feature NAME ...] [--format text|md] [--table true]

A word is a version, the logdir of a run, or a file with a config. One is explained, of several the differences; without
words, those of all versions. --key and --feature choose what is explained; --table prints the table of features.
"""

import fnmatch

from common.analysis.explain.entries import every_key
from common.analysis.explain.rows import differing, rows
from common.analysis.explain.text import markdown, terminal
from common.commands import table
from common.config import config as configs
from common.config import features
from common.config.request import Request
from common.errors import UserError, check_choice
from common.safe_io import expand_path
from common.storage.logdir import CONFIG_FILE, stored_config

OPTIONS: dict = {"key": [], "feature": [], "format": "text", "table": False}


def explain(request: Request) -> None:
    """Prints the explanation. Raises UserError for unknown versions, folders, keys and features."""
    check_choice("--format", request.options["format"], ("text", "md"))
    found = configs_to_explain(request)
    try:
        print(table.render(found) if request.options["table"] else text(request.options, found))
    except (TypeError, LookupError, AttributeError, ValueError) as error:
        if set(found) <= set(request.algos):
            raise
        names = ", ".join(name for name in found if name not in request.algos)
        raise UserError(f"No complete config: {names} ({error!r}). `python dreamer.py config` prints one.") from error


def text(own: dict, found: dict[str, dict]) -> str:
    """What is printed about configs by name."""
    names, some = list(found), list(found.values())
    keys = keys_to_explain(own, some)
    return "\n\n".join([title(names, own, keys), body(own["format"], names, some, keys)]).rstrip()


def configs_to_explain(request: Request) -> dict[str, dict]:
    """Name -> config of everything that the words mean."""
    words = request.positionals or ([request.algo] if request.algo else list(request.algos))
    paths = [word for word in words if word not in request.algos]
    if len(paths) == len(words) and (request.flags or request.blocks or request.borrowed):
        raise UserError("The configs of runs and files are as they are: leave --configs, --features and keys away.")
    return {word: stored(word, request.algos) if word in paths else request.config(word) for word in words}


def stored(word: str, algos) -> dict:
    """Config of a run, or of a file as `python dreamer.py config` prints it."""
    path = expand_path(word)
    if path.is_dir():
        return stored_config(path)
    if not path.is_file():
        hint = configs.unknown_name("version", word, algos)
        raise UserError(f"{hint} It is no folder and no file either: give versions, logdirs, or files with a config.")
    config = configs.read(path)
    if not isinstance(config, dict) or "algo" not in config:
        raise UserError(f"{path} holds no config. `python dreamer.py config` prints one; a run has {CONFIG_FILE}.")
    return config


def keys_to_explain(own: dict, found: list[dict]) -> list[str]:
    """Keys to explain: those asked for, all of a single config, or else what differs."""
    asked = [key for glob in own["key"] for key in matching_keys(glob, found)]
    asked += [key for name in own["feature"] for config in found for key in features.keys(name, config)]
    if own["key"] or own["feature"]:
        return list(dict.fromkeys(asked))
    return list(configs.flatten(found[0])) if len(found) == 1 else differing(found)


def matching_keys(glob: str, found: list[dict]) -> list[str]:
    """Keys that a glob fits. Raises UserError if there are none."""
    keys = every_key(found)
    matching = [key for key in keys if fnmatch.fnmatchcase(key, glob)]
    if not matching:
        raise UserError(configs.unknown_name("key", glob, keys))
    return matching


def title(names: list[str], own: dict, keys: list[str]) -> str:
    """What the output is about."""
    about = [f"{name}: {features.FEATURES[name][0]}." for name in own["feature"]]
    if len(names) == 1 or own["key"] or own["feature"]:
        return " ".join([*about, ", ".join(names)])
    return f"{' → '.join(names) if len(names) == 2 else ', '.join(names)}: {len(keys)} keys differ"


def body(style: str, names: list[str], found: list[dict], keys: list[str]) -> str:
    made = rows(found, keys)
    return markdown(names, made) if style == "md" else terminal(names, made)
