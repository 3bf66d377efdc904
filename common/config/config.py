"""Configs: nested dicts resolved from layers, where later layers win.

Layers: part defaults, the version's file, the environment's block, the version's block of the same name, `--configs`
blocks, `--features`, flags. A value has the type of the default that it replaces. Unknown keys raise an error with the
nearest valid name.
"""

import copy
import difflib
import fnmatch
import io
import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.events import AliasEvent

from common.config import foreign_keys, parts, ranges
from common.config.annealing import parse_schedule
from common.errors import UserError
from common.safe_io import read_bytes

MAX_YAML_BYTES = 100_000
MAX_YAML_VALUES = 100_000
MAX_YAML_DEPTH = 50
MAX_INTEGER_BITS = 1000
MAX_YAML_ALIASES = 10  # a few dozen aliases that merge each other would become millions of values

#: Numbers that may also be schedules of agent steps, such as "linear(0.1, 0, 2.5e6)".
SCHEDULE_KEYS = ("actor.entropy", "explore.amount", "grad_cont.mix", "grad_disc.mix")


def read(path: str | Path) -> dict:
    """Read a YAML 1.2 file safely. Raises UserError for a syntax error, and for values that no config has."""
    try:
        text = read_bytes(Path(path), MAX_YAML_BYTES).decode()
        if _bracket_depth(text) > MAX_YAML_DEPTH:
            raise ValueError("it is too deeply nested")
        if text.count("*") > MAX_YAML_ALIASES and _count_aliases(text) > MAX_YAML_ALIASES:
            raise ValueError(f"it uses more than {MAX_YAML_ALIASES} aliases; write the values out")
        tree = YAML(typ="safe", pure=True).load(text) or {}
        _check_plain(tree, [MAX_YAML_VALUES])
        return tree
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error


def _bracket_depth(text: str) -> int:
    steps = (1 if letter in "[{" else -1 for letter in re.findall(r"[\[\]{}]", text))
    return max(itertools.accumulate(steps), default=0)


def _count_aliases(text: str) -> int:
    """Return the number of references to anchors, counted without building any values."""
    return sum(isinstance(event, AliasEvent) for event in YAML(typ="safe", pure=True).parse(text))


def _check_plain(tree: Any, left: list[int], depth: int = 0) -> None:
    """Raise ValueError unless the tree is names, numbers, lists and dicts, at most `left[0]` of them."""
    left[0] -= 1
    if left[0] < 0 or depth > MAX_YAML_DEPTH:
        raise ValueError("it is too large, too deeply nested or contains itself")
    if isinstance(tree, dict | list):
        for child in [*tree, *tree.values()] if isinstance(tree, dict) else tree:
            _check_plain(child, left, depth + 1)
    elif isinstance(tree, int) and tree.bit_length() > MAX_INTEGER_BITS:
        raise ValueError(f"it has a number of more than {MAX_INTEGER_BITS} bits")
    elif not isinstance(tree, str | int | float | None):
        raise ValueError(f"{tree!r} is a {type(tree).__name__}, which no config value can be")


def write(path: str | Path, config: dict) -> None:
    """Write a config so that `read` returns an equal one."""
    Path(path).write_text(dump(config))


def dump(config: dict) -> str:
    """Return a config as YAML."""
    yaml, text = YAML(typ="safe", pure=True), io.StringIO()
    for option, value in {"default_flow_style": False, "width": 120, "sort_base_mapping_type_on_output": False}.items():
        setattr(yaml, option, value)
    yaml.dump(config, text)
    return text.getvalue()


def flatten(tree: dict, prefix: str = "") -> dict[str, Any]:
    """{'a': {'b': 1}} -> {'a.b': 1}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def resolve(recipe: Any, defaults: dict, layers: Iterable[dict], alternatives: dict[str, dict] | None = None) -> dict:
    """Return the complete config of a recipe, the defaults of its version's file, and further layers.

    A layer has nested or dotted keys, or globs such as "mlp.*.units". Another part at a seam comes with its own
    defaults, before the layer sets its options. alternatives: class of another part -> options for which the version
    has values of its own. Raises UserError for unknown keys and for values of a wrong type or out of range.
    """
    config = {seam: part_defaults(seam, getattr(recipe, seam)) for seam in parts.PARTS}
    config |= {key: copy.deepcopy(value) for key, value in defaults.items() if key not in parts.PARTS}
    part_values = {key: value for key, value in defaults.items() if key in parts.PARTS}
    for layer in (part_values, *layers):
        apply_layer(config, layer, alternatives)
    ranges.check_values(flatten(config))
    return config


def part_defaults(seam: str, cls: type, name: str = "") -> dict:
    """Return the config block of a part with its default options. name: `use`, if not that of the class."""
    return {"use": name or parts.name_of(seam, cls)} | copy.deepcopy(parts.options(cls))


def apply_layer(config: dict, layer: dict, alternatives: dict[str, dict] | None = None) -> None:
    """Set the keys of one layer in place, the choice of parts before their options. alternatives: as in `resolve`."""
    flat = flatten(layer)
    for key in sorted(flat, key=lambda key: not key.endswith(".use")):
        for name in matching_keys(config, key):
            _assign(config, name, flat[key], alternatives or {})


def matching_keys(config: dict, key: str) -> list[str]:
    """Return the config keys that `key` names: itself, or all that match it as a glob. Raises UserError if none do."""
    if not isinstance(get(config, key), dict | None):
        return [key]
    found = fnmatch.filter(flatten(config), key) if set(key) & set("*?[") else []
    if not found:
        raise UserError(_group_message(config, key) or _other_part_message(config, key) or unknown_key(key, config))
    return found


def get(config: dict, key: str) -> Any:
    """Return the value of a dotted key, a dict for a group of keys, or None if there is no such key."""
    value: Any = config
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _group_message(config: dict, key: str) -> str:
    """Return a message with the keys of a group if `key` names one, else an empty string."""
    group = get(config, key)
    if not isinstance(group, dict):
        return ""
    keys = list(flatten(group, f"{key}."))
    return f"Unknown key {key!r}: it is a group. Its keys are {_listed(keys, 12)}.{_all_at_once(config, key, keys)}"


def _all_at_once(config: dict, name: str, keys: list[str]) -> str:
    """Return the glob that sets all `keys`, as a sentence, if they have one meaning."""
    globs = [f"{name}.*", *(re.sub(r"[^.]+$", "*", key) for key in keys[:1]), f"*.{name}"]
    globs += [re.sub(rf"\\.[^.]+\\.{re.escape(name)}$", f".*.{name}", key) for key in keys[:1]]
    fitting = [glob for glob in globs if set(fnmatch.filter(flatten(config), glob)) == set(keys)]
    alike = len({key.rsplit(".", 1)[-1] for key in keys}) == 1 or {type(get(config, key)) for key in keys} == {float}
    return f" --{fitting[-1]} VALUE sets all of them." if len(keys) > 1 and fitting and alike else ""


def unknown_key(key: str, config: dict) -> str:
    """Return a message about a key that `config` does not have: what to type in place of it."""
    names = list(flatten(config))
    if hint := foreign_keys.advice(key):
        return f"Unknown key {key!r}. {hint}"
    if inner := [name for name in names if key in name.split(".")]:
        return f"Unknown key {key!r}. Did you mean {_listed(inner, 12, ' or ')}?{_all_at_once(config, key, inner)}"
    if near := _nearest(key, names):
        return f"Unknown key {key!r}. Did you mean {' or '.join(near)}?"
    groups = sorted({name.split(".")[0] + ".*" * ("." in name) for name in names})
    return f"Unknown key {key!r}. Keys are {', '.join(groups)}. `python dreamer.py config` prints all of them."


def _listed(names: list[str], most: int, last: str = " and ") -> str:
    """Return names as `a, b and c`, at most `most` of them."""
    shown = names[:most]
    if len(shown) < len(names):
        return f"{', '.join(shown)}{last}{len(names) - most} more"
    return last.join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]


def _nearest(name: str, known: list[str]) -> list[str]:
    """Return up to three known names that are similar to `name`, or have the same last part."""
    same_end = [other for other in known if other.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]]
    return difflib.get_close_matches(name, known, 3, 0.5) or same_end[:3]


def _other_part_message(config: dict, key: str) -> str:
    """Return a message, with what to type, if the key is an option of another part; else an empty string."""
    seam, _, option = key.partition(".")
    names = [path.split(":")[1] for path in parts.PARTS.get(seam, ())]
    owners = [name for name in names if option in parts.options(parts.find(seam, name))]
    if not owners:
        return ""
    choose = " or ".join(f"--{seam}.use {owner}" for owner in owners)
    return f"{key} is an option of {' and '.join(owners)}, but {seam}.use is {config[seam]['use']}. Add {choose}."


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return a message about an unknown name, with the nearest known ones."""
    known = list(known)
    near, more = _nearest(name, known), f" and {len(known) - 40} more" * (len(known) > 40)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(sorted(known)[:40])}{more}."
    return f"Unknown {kind} {name!r}. {hint}"


def _assign(config: dict, key: str, value: Any, alternatives: dict[str, dict]) -> None:
    """Set one existing key. `SEAM.use` replaces the part and its options."""
    *path, last = key.split(".")
    if last == "use" and path[0] in parts.PARTS:
        value = parts.current_name(path[0], value)
        if value != config[path[0]]["use"]:
            config[path[0]] = part_defaults(path[0], parts.find(path[0], value), value)
            for option, own in alternatives.get(value, {}).items():
                _assign(config, f"{path[0]}.{option}", own, {})
        return
    node = config
    for name in path:
        node = node[name]
    node[last] = cast(key, node[last], value)


def cast(key: str, old: Any, new: Any) -> Any:
    """Return `new` as the type of `old`. Raises UserError if that is not possible."""
    if type(new) is type(old) and key not in SCHEDULE_KEYS:
        return new
    try:
        return _convert(key, old, new)
    except (ValueError, TypeError, OverflowError):
        kind = "true or false" if isinstance(old, bool) else type(old).__name__
        raise UserError(f"{key} expects {kind} (now {old!r}), got {new!r}.") from None


def _convert(key: str, old: Any, new: Any) -> bool | int | float | str:
    if isinstance(old, bool) or isinstance(new, bool):
        if isinstance(old, bool) and str(new).lower() in ("true", "false"):
            return str(new).lower() == "true"
        raise ValueError
    if isinstance(old, int):
        if float(new) != int(float(new)):
            raise ValueError
        return int(float(new))
    if key in SCHEDULE_KEYS and isinstance(new, str) and not _is_number(new) and (isinstance(old, str) or "(" in new):
        parse_schedule(new)
        return new
    if isinstance(old, float) or key in SCHEDULE_KEYS:
        return float(new)
    raise ValueError


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def differences(one: dict, two: dict) -> dict[str, tuple]:
    """Return {flat key: (value in one, value in two)} where two configs differ; an absent value is None."""
    one, two = flatten(one), flatten(two)
    return {key: (one.get(key), two.get(key)) for key in {**one, **two} if one.get(key) != two.get(key)}
