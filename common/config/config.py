"""Configs: nested dicts resolved from layers, later ones winning.

Layers: part defaults, the version's file, the environment's block, the version's block of that name, `--configs`
blocks, `--features`, flags. Values are typed by the default they replace; unknown keys stop with the nearest valid
name.
"""

import copy
import difflib
import fnmatch
import io
import itertools
import pathlib
import re

from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.events import AliasEvent

from common.config import parts, ranges
from common.config.annealing import parse_schedule
from common.errors import UserError
from common.safe_io import read_bytes

MAX_YAML_BYTES = 100_000  # bytes of a file, and values in it
MAX_YAML_DEPTH = 50  # levels of a file
MAX_INTEGER_BITS = 1000  # of a whole number
MAX_YAML_ALIASES = 10  # uses of anchors in a file: some dozens, merged into each other, would become millions of values

#: Numbers that may also be schedules of agent steps, such as "linear(0.1, 0, 2.5e6)".
SCHEDULE_KEYS = ("actor.entropy", "explore.amount", "grad_cont.mix", "grad_disc.mix")


def read(path) -> dict:
    """Reads a YAML 1.2 file safely. Raises UserError with the place of a syntax error, and for what no config holds."""
    try:
        text = read_bytes(pathlib.Path(path), MAX_YAML_BYTES).decode()
        if bracket_depth(text) > MAX_YAML_DEPTH:
            raise ValueError("it is too deeply nested")
        if text.count("*") > MAX_YAML_ALIASES and count_aliases(text) > MAX_YAML_ALIASES:
            raise ValueError(f"it uses more than {MAX_YAML_ALIASES} aliases; write the values out")
        tree = YAML(typ="safe", pure=True).load(text) or {}
        check_plain(tree, [MAX_YAML_BYTES])
        return tree
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error


def bracket_depth(text: str) -> int:
    """How deeply brackets are nested."""
    steps = (1 if letter in "[{" else -1 for letter in re.findall(r"[\[\]{}]", text))
    return max(itertools.accumulate(steps), default=0)


def count_aliases(text: str) -> int:
    """How often a file refers to an anchor, counted without building anything."""
    return sum(isinstance(event, AliasEvent) for event in YAML(typ="safe", pure=True).parse(text))


def check_plain(tree, left: list[int], depth: int = 0):
    """Raises ValueError unless all is names, numbers, lists and dicts of them, and no more than `left` of these."""
    left[0] -= 1
    if left[0] < 0 or depth > MAX_YAML_DEPTH:
        raise ValueError("it is too large, too deeply nested or holds itself")
    if isinstance(tree, dict | list):
        for child in [*tree, *tree.values()] if isinstance(tree, dict) else tree:
            check_plain(child, left, depth + 1)
    elif isinstance(tree, int) and tree.bit_length() > MAX_INTEGER_BITS:
        raise ValueError(f"it holds a number of more than {MAX_INTEGER_BITS} bits")
    elif not isinstance(tree, str | int | float | None):
        raise ValueError(f"{tree!r} is a {type(tree).__name__}, which no setting is")


def write(path, config: dict):
    """Writes a config so that `read` gives it back."""
    with open(path, "w") as file:
        file.write(dump(config))


def dump(config: dict) -> str:
    """A config as YAML."""
    yaml, text = YAML(typ="safe", pure=True), io.StringIO()
    for option, value in {"default_flow_style": False, "width": 120, "sort_base_mapping_type_on_output": False}.items():
        setattr(yaml, option, value)
    yaml.dump(config, text)
    return text.getvalue()


def flatten(tree: dict, prefix="") -> dict:
    """{'a': {'b': 1}} -> {'a.b': 1}."""
    flat: dict = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def resolve(recipe, defaults: dict, layers: list[dict]) -> dict:
    """Recipe, the version file's defaults and further layers -> complete config.

    A layer holds nested or dotted keys, globs such as "mlp.*.units" included. Replacing the part at a seam first
    brings in the new part's own defaults. Raises UserError for unknown keys, values of the wrong type or out of range.
    """
    config = {seam: part_defaults(getattr(recipe, seam)) for seam in parts.PARTS}
    config |= {key: copy.deepcopy(value) for key, value in defaults.items() if key not in parts.PARTS}
    own = {key: value for key, value in defaults.items() if key in parts.PARTS}
    for layer in (own, *layers):
        apply_layer(config, layer)
    ranges.check_values(flatten(config))
    return config


def part_defaults(cls) -> dict:
    return {"use": cls.__name__} | copy.deepcopy(parts.options(cls))


def apply_layer(config: dict, layer: dict):
    """Sets the keys of one layer in place; parts are chosen before their options."""
    flat = flatten(layer)
    for key in sorted(flat, key=lambda key: not key.endswith(".use")):
        for name in matching_keys(config, key):
            assign(config, name, flat[key])


def matching_keys(config, key):
    """Full names of the config keys that `key` means: itself, or all that a glob fits."""
    if not isinstance(get(config, key), dict | None):
        return [key]
    names = flatten(config)
    found = fnmatch.filter(names, key) if set(key) & set("*?[") else []
    if not found:
        raise UserError(other_part_message(config, key) or unknown_name("key", key, names))
    return found


def get(config, key):
    """Value of a dotted key, a dict for a group of keys; None for one that is not there."""
    for name in key.split("."):
        config = config.get(name) if isinstance(config, dict) else None
    return config


def other_part_message(config, key):
    """Message for an option of another part of its seam than the chosen one; None for any other key."""
    seam, _, option = key.partition(".")
    paths = [path.split(":")[1] for path in parts.PARTS.get(seam, ())]
    owners = [name for name in paths if option in parts.options(parts.find(seam, name))]
    if not owners:
        return None
    return f"{key} is an option of {' and '.join(owners)}, but {seam}.use is {config[seam]['use']}."


def unknown_name(kind, name, known) -> str:
    """Message for an unknown name with the nearest valid ones."""
    last = [k for k in known if k.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]]
    near = difflib.get_close_matches(name, list(known), 3, 0.5) or last[:3]
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(sorted(known)[:40])}."
    return f"Unknown {kind} {name!r}. {hint}"


def assign(config, key, value):
    """Sets one existing key; `SEAM.use` swaps the part and its options."""
    *path, last = key.split(".")
    if last == "use" and path[0] in parts.PARTS:
        value = parts.current_name(path[0], value)
        if value != config[path[0]]["use"]:
            config[path[0]] = part_defaults(parts.find(path[0], value))
        return
    node = config
    for name in path:
        node = node[name]
    node[last] = cast(key, node[last], value)


def cast(key, old, new):
    """`new` as the type of `old`. Raises UserError when it is not one."""
    if type(new) is type(old):
        return check_schedule(key, new)
    try:
        return convert(key, old, new)
    except (ValueError, TypeError, OverflowError):
        kind = "true or false" if isinstance(old, bool) else type(old).__name__
        raise UserError(f"{key} expects {kind} (now {old!r}), got {new!r}.") from None


def convert(key, old, new):
    if isinstance(old, bool) or isinstance(new, bool):
        if isinstance(old, bool) and str(new).lower() in ("true", "false"):
            return str(new).lower() == "true"
        raise ValueError
    if isinstance(old, int):
        if float(new) != int(float(new)):
            raise ValueError
        return int(float(new))
    if key in SCHEDULE_KEYS and isinstance(new, str) and "(" in new:
        parse_schedule(new)
        return new
    if isinstance(old, float) or (key in SCHEDULE_KEYS and isinstance(old, str)):
        return float(new)
    raise ValueError


def check_schedule(key, value):
    if key in SCHEDULE_KEYS and isinstance(value, str):
        parse_schedule(value)
    return value


def differences(one: dict, two: dict) -> dict:
    """Flat key -> (value in one, value in two) where two configs differ; absent values are None."""
    one, two = flatten(one), flatten(two)
    return {key: (one.get(key), two.get(key)) for key in {**one, **two} if one.get(key) != two.get(key)}
