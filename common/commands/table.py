"""`table`: what each version does for every named feature, as a Markdown table made from the configs.

The same as `explain --table true`; the README's table is this one.
"""

import fnmatch

from common.config import features, parts
from common.config.config import flatten
from common.config.formatting import format_value
from common.config.request import Request

OPTIONS: dict = {}


def show(request: Request) -> None:
    """Prints the table of the versions named, or of all, one column each."""
    names = request.positionals or ([request.algo] if request.algo else request.algos)
    print(render({name: request.config(name) for name in names}))


def render(configs: dict[str, dict]) -> str:
    """Name -> resolved config; the Markdown table of all features."""
    head = ["feature", "what it is", *configs]
    rows = [[f"`{name}`", what, *cells(globs, configs)] for name, (what, globs) in features.FEATURES.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def cells(globs: list[str], configs: dict[str, dict]) -> list[str]:
    """One text for each config: the parts and keys that `globs` name, with their values."""
    names = [glob.removesuffix(".*") for glob in globs]
    short = [name.rsplit(".", 1)[-1] for name in names]
    titles = short if len(set(short)) == len(short) else names
    flats = [flatten(config) for config in configs.values()]
    telling = {key for flat in flats for key in flat if len({repr(other.get(key)) for other in flats}) > 1}
    return ["; ".join(entries(names, titles, config, telling)) or "–" for config in configs.values()]


def entries(names: list[str], titles: list[str], config: dict, telling: set[str]) -> list[str]:
    """Text of each seam, group or key that `config` has; with its title if there are several."""
    texts = [part(config[name]) if name in parts.PARTS else plain(name, config, telling) for name in names]
    titled = [f"{title} {text}" for title, text in zip(titles, texts, strict=True) if text]
    return titled if len(names) > 1 else list(filter(None, texts))


def plain(name: str, config: dict, telling: set[str]) -> str:
    """Value of a key, or of the keys that a glob fits; in a group with its name, unless all are alike."""
    flat = flatten(config)
    group = {key: value for key, value in flat.items() if key.startswith(f"{name}.")}
    if group:
        shown = {key: value for key, value in group.items() if key in telling} or group
        return ", ".join(f"{key.removeprefix(f'{name}.')} {format_value(value)}" for key, value in shown.items())
    found = {key: value for key, value in flat.items() if fnmatch.fnmatchcase(key, name)}
    return format_value(found) if found else ""


def part(block: dict) -> str:
    """Class of a part with its options, but for those switched off."""
    options = [
        key if value is True else f"{key} {format_value(value)}" for key, value in block.items() if value is not False
    ]
    return f"{block['use']} ({', '.join(options[1:])})" if options[1:] else block["use"]
