"""The table of features: what each version does for every named feature, as Markdown made from the configs."""

import fnmatch

from common.config import features, parts
from common.config.config import flatten
from common.config.formatting import format_value


def render(configs: dict[str, dict]) -> str:
    """Return the Markdown table of all features, with a column for each resolved config. configs: by name."""
    head = ["feature", "what it is", *configs]
    rows = [[f"`{name}`", what, *_cells(globs, configs)] for name, (what, globs) in features.FEATURES.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _cells(globs: list[str], configs: dict[str, dict]) -> list[str]:
    """Return one text per config: the values of the parts and keys that match `globs`."""
    names = [glob.removesuffix(".*") for glob in globs]
    short = [name.rsplit(".", 1)[-1] for name in names]
    titles = short if len(set(short)) == len(short) else names
    flats = [flatten(config) for config in configs.values()]
    differing = {key for flat in flats for key in flat if len({repr(other.get(key)) for other in flats}) > 1}
    cells = []
    for config in configs.values():
        texts = [_part(config[name]) if name in parts.PARTS else _keys(name, config, differing) for name in names]
        titled = [
            f"{title} {text}" if len(names) > 1 else text for title, text in zip(titles, texts, strict=True) if text
        ]
        cells.append("; ".join(titled) or "–")
    return cells


def _keys(name: str, config: dict, differing: set[str]) -> str:
    """Return the value of the keys that match the glob `name`, or the differing values of the group `name`."""
    flat = flatten(config)
    group = {key: value for key, value in flat.items() if key.startswith(f"{name}.")}
    if group:
        shown = {key: value for key, value in group.items() if key in differing} or group
        return ", ".join(f"{key.removeprefix(f'{name}.')} {format_value(value)}" for key, value in shown.items())
    found = {key: value for key, value in flat.items() if fnmatch.fnmatchcase(key, name)}
    return format_value(found) if found else ""


def _part(block: dict) -> str:
    """Return the class of a part with its options, except those that are switched off."""
    options = [
        key if value is True else f"{key} {format_value(value)}"
        for key, value in block.items()
        if key != "use" and value is not False
    ]
    return f"{block['use']} ({', '.join(options)})" if options else block["use"]
