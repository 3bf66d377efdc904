"""`explain`: print what config keys do and where versions differ, with formula, source and file.

    explain [VERSION | LOGDIR | FILE ...] [--key KEY ...] [--feature NAME ...] [--format text|md] [--table true]

One version, run or config file is explained; of several, the differences are. Without arguments, these are the
differences of all versions. --key and --feature choose the keys; --table prints the table of features.
"""

import fnmatch
from collections.abc import Iterable

from common.analysis.explain import feature_table
from common.analysis.explain.entries import every_key
from common.analysis.explain.rows import differing, rows
from common.analysis.explain.text import markdown, terminal
from common.config import config as configs
from common.config import features, parts
from common.config.arguments import Option, Options
from common.config.request import Request
from common.errors import UserError, check_choice
from common.storage.logdir import CONFIG_FILE, stored_config
from common.storage.run_source import find_run

OPTIONS: Options = {
    "key": Option([], "config keys or globs to explain", "KEY ..."),
    "feature": Option([], "features to explain", "NAME ..."),
    "format": Option("text", "text or md", "FORMAT"),
    "table": Option(False, "print the table of features instead"),
}
EXAMPLES = (
    "explain v2 v3 --configs atari",
    "explain --key latent.unimix 'kl.*' --format md",
    "explain logs/walker v3",
)


def explain(request: Request) -> None:
    """Print the explanation. Raises UserError for unknown versions, folders, keys and features."""
    check_choice("--format", request.options["format"], ("text", "md"))
    found = configs_to_explain(request)
    try:
        print(feature_table.render(found) if request.options["table"] else text(request.options, found))
    except (TypeError, LookupError, AttributeError, ValueError) as error:
        if set(found) <= set(request.algos):
            raise
        names = ", ".join(name for name in found if name not in request.algos)
        raise UserError(
            f"Incomplete config: {names} ({error!r}). `python dreamer.py config` prints a complete one."
        ) from error


def text(options: dict, found: dict[str, dict]) -> str:
    """Return the output for configs by name: a title, then the explained keys."""
    names, keys = list(found), keys_to_explain(options, list(found.values()))
    if len(names) == 1 or options["key"] or options["feature"]:
        title = " ".join([*(f"{name}: {features.FEATURES[name][0]}." for name in options["feature"]), ", ".join(names)])
    else:
        title = f"{' → '.join(names) if len(names) == 2 else ', '.join(names)}: {len(keys)} keys differ"
    render = markdown if options["format"] == "md" else terminal
    return f"{title}\n\n{render(names, rows(list(found.values()), keys))}".rstrip()


def configs_to_explain(request: Request) -> dict[str, dict]:
    """Return name -> config of each version, run and file on the command line."""
    names = request.positionals or ([request.algo] if request.algo else list(request.algos))
    paths = [name for name in names if name not in request.algos]
    if feature := next((name for name in paths if name in features.FEATURES), ""):
        raise UserError(f"{feature!r} is a feature. Type --feature {feature}.")
    if len(paths) == len(names) and (request.flags or request.blocks or request.borrowed):
        raise UserError("Configs of runs and files cannot be changed here: omit --configs, --features and config keys.")
    return {name: read_config(name, request.algos) if name in paths else request.config(name) for name in names}


def read_config(name: str, algos: Iterable[str]) -> dict:
    """Return the config of a run, or of a file as `python dreamer.py config` prints it."""
    path = find_run(name)
    if path.is_dir():
        return stored_config(path)
    if not path.is_file():
        hint = configs.unknown_name("version", name, algos)
        raise UserError(f"{hint} There is no file or folder of this name. Give versions, logdirs or config files.")
    config = configs.read(path)
    if not isinstance(config, dict) or "algo" not in config:
        raise UserError(f"{path} is not a config. `python dreamer.py config` prints one; a run stores {CONFIG_FILE}.")
    return parts.with_current_names(config)


def keys_to_explain(options: dict, found: list[dict]) -> list[str]:
    """Return the keys chosen by --key and --feature; else all keys of a single config, or the differing keys."""
    if not options["key"] and not options["feature"]:
        return list(configs.flatten(found[0])) if len(found) == 1 else differing(found)
    chosen = [key for glob in options["key"] for key in matching_keys(glob, found)]
    chosen += [key for name in options["feature"] for config in found for key in features.keys(name, config)]
    return list(dict.fromkeys(chosen))


def matching_keys(glob: str, found: list[dict]) -> list[str]:
    """Return the keys that match a glob. Raises UserError if there are none."""
    keys = every_key(found)
    matching = [key for key in keys if fnmatch.fnmatchcase(key, glob)]
    if not matching:
        raise UserError(configs.unknown_name("key", glob, keys))
    return matching
