"""Ablations: a version without a feature, by `configs/ablations.yaml`, or with the feature of another version."""

import fnmatch
import functools
from pathlib import Path
from typing import Any, NamedTuple

from common.config import config as configs
from common.config import features, parts
from common.config.request import Request
from common.errors import UserError
from common.experiments.variant import Setting, Variant

ABLATIONS_FILE = Path(__file__).parents[2] / "configs" / "ablations.yaml"


class Ablation(NamedTuple):
    """A way to remove something from a version.

    what: the result, in a few words. has: key -> values, one of which a version must have. keys: key -> new value.
    versions: version -> its own keys, instead of `keys`. like: feature -> version that lends it. feature: the feature
    that the ablation belongs to. source: the publication. also: other names.
    """

    what: str
    has: dict[str, list] = {}  # noqa: RUF012 (read only)
    keys: dict[str, Any] = {}  # noqa: RUF012
    versions: dict[str, dict[str, Any]] = {}  # noqa: RUF012
    like: dict[str, str] = {}  # noqa: RUF012
    feature: str = ""
    source: str = ""
    also: list[str] = []  # noqa: RUF012


class AblationSuite(NamedTuple):
    """Published ablations of a version. drop: name of the variant -> ablations to apply, joined by +."""

    version: str
    source: str
    drop: dict[str, str]


@functools.cache
def ablations() -> dict[str, Ablation]:
    """Return all ablations by name, including their other names."""
    named = {name: Ablation(**fields) for name, fields in configs.read(ABLATIONS_FILE)["ablations"].items()}
    return named | {other: ablation for ablation in named.values() for other in ablation.also}


@functools.cache
def ablation_suites() -> dict[str, AblationSuite]:
    """Return all suites of ablations by name."""
    return {name: AblationSuite(**fields) for name, fields in configs.read(ABLATIONS_FILE)["suites"].items()}


def make_variants(request: Request, wanted: dict[str, str], setting: Setting) -> tuple[list[Variant], list[str]]:
    """Return the variants of a request, and the names of those without effect in this setting.

    wanted: name -> changes, such as "unimix", "retnorm=v2", "kl_balance+free_bits". Raises UserError if a version does
    not have the feature, or if no agent can be built without it.
    """
    before = setting.configs(request)
    made = [make_variant(request, name, what, setting, before) for name, what in wanted.items()]
    return [one for one in made if one.changes], [one.name for one in made if not one.changes]


def make_variant(request: Request, name: str, wanted: str, setting: Setting, before: dict[str, dict]) -> Variant:
    """Return one variant. before: configs of the request by task."""
    changed, what = request, []
    for word in sorted(wanted.split("+"), key=features.covers_whole_group, reverse=True):
        changed, note = borrow(changed, word) if "=" in word else drop(changed, word, before)
        what.append(note)
    try:
        after = setting.configs(changed)
    except UserError as error:
        raise UserError(f"{request.algo} cannot be changed to {name}: {error}") from None
    if not any(configs.differences(before[task], after[task]) for task in after):
        raise UserError(f"{name} would change nothing in {request.algo}. Omit it.")
    if problem := setting.problem(after):
        raise UserError(f"{name} does not work: {problem}")
    return Variant(name, "; ".join(what), changed, setting.effects(before, after))


def borrow(request: Request, word: str) -> tuple[Request, str]:
    """Return the request with a feature of another version, and its description. word: FEATURE=VERSION."""
    name, _, version = word.partition("=")
    if name not in features.FEATURES:
        raise UserError(configs.unknown_name("feature", name, features.FEATURES))
    note = f"{features.FEATURES[name][0]} as in {version}"
    return request._replace(borrowed=request.borrowed | {name: version}), note


def drop(request: Request, word: str, before: dict[str, dict]) -> tuple[Request, str]:
    """Return the request with an ablation applied, and its description. word: name of the ablation."""
    known = ablations()
    if word not in known:
        hint = f" To change this feature, give a version: {word}=VERSION." if word in features.FEATURES else ""
        raise UserError(configs.unknown_name("ablation", word, known) + hint)
    found = known[word]
    for flat in map(configs.flatten, before.values()):
        for key, values in found.has.items():
            if flat[key] not in values:
                raise UserError(f"{request.algo} has no {word} to drop: {key} is {flat[key]}.")
    keys = found.versions.get(str(request.algo), found.keys)
    each = [resolve_keys(keys, config) for config in before.values()]
    if any(flags != each[0] for flags in each):
        raise UserError(f"Without {word}, {', '.join(before)} need different values. Ablate one task at a time.")
    request = request._replace(borrowed=request.borrowed | found.like, flags=request.flags | each[0])
    return request, found.what


def resolve_keys(keys: dict[str, Any], config: dict) -> dict[str, Any]:
    """Return the keys of an ablation as flags for a config.

    References are resolved. A replaced part keeps the options that it shares with the old part.
    """
    flat = configs.flatten(config)
    flags = {key: resolve_reference(value, flat) for key, value in keys.items()}
    for key, value in keys.items():
        seam, _, option = key.partition(".")
        if option == "use":
            names = configs.flatten({seam: parts.options(parts.find(seam, value))})
            given = lambda name: any(fnmatch.fnmatchcase(name, glob) for glob in keys)
            flags |= {name: flat[name] for name in names if name in flat and not given(name)}
    return flags


def resolve_reference(value: Any, flat: dict[str, Any]) -> Any:
    """Return the sum of the config keys in "=KEY+KEY", any other value unchanged. Raises UserError for unknown keys."""
    if not (isinstance(value, str) and value.startswith("=")):
        return value
    names = value[1:].split("+")
    if missing := [name for name in names if name not in flat]:
        raise UserError(f"This config has no {' and no '.join(missing)}.")
    return sum(flat[name] for name in names)


def resolve_addition(word: str, request: Request, setting: Setting) -> str:
    """Complete a word of --add to FEATURE=VERSION, joined by +. Default: the next version with a different feature."""
    complete = lambda name: f"{name}={next_version_with(name, request, setting)}"
    return "+".join(one if "=" in one else complete(feature_of(one)) for one in word.split("+"))


def feature_of(name: str) -> str:
    """Return the feature with this name, or the feature of the ablation with this name."""
    if name in features.FEATURES:
        return name
    if (found := ablations().get(name)) and found.feature:
        return found.feature
    raise UserError(configs.unknown_name("feature", name, features.FEATURES))


def next_version_with(name: str, request: Request, setting: Setting) -> str:
    """Return the first later version in which a feature differs. Raises UserError if there is none.

    The later version is resolved without the user's flags, which may not apply to it.
    """
    values = lambda config: {key: configs.get(config, key) for key in features.keys(name, config)}
    current = setting.configs(request)
    for version in request.algos[request.algos.index(str(request.algo)) + 1 :]:
        other = setting.configs(request._replace(algo=version, flags={}))
        if any(values(current[task]) != values(other[task]) for task in current):
            return version
    raise UserError(f"No later version than {request.algo} has another {name}. Name a version: {name}=VERSION.")
