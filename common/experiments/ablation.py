"""Ablations: a version without a feature, as configs/ablations.yaml says what is left then, or with one of another."""

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
    """What is left without something, and how: keys, of all versions or of some, or features as in a version.

    has: key -> values, one of which a version must have. feature: the feature that it belongs to. source: where it was
    published. also: its other names.
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
    """Published ablations of a version: name of the variant -> what is dropped."""

    version: str
    source: str
    drop: dict[str, str]


@functools.cache
def ablations() -> dict[str, Ablation]:
    """Name -> ablation; other names lead to the same one."""
    named = {name: Ablation(**fields) for name, fields in configs.read(ABLATIONS_FILE)["ablations"].items()}
    return named | {other: ablation for ablation in named.values() for other in ablation.also}


@functools.cache
def ablation_suites() -> dict[str, AblationSuite]:
    """Name -> suite."""
    return {name: AblationSuite(**fields) for name, fields in configs.read(ABLATIONS_FILE)["suites"].items()}


def make_variants(request: Request, wanted: dict[str, str], setting: Setting) -> tuple[list[Variant], list[str]]:
    """Variants of a request, and the names of those that would do the same as it in this setting.

    wanted: name -> what it is, such as "unimix", "retnorm=v2", "kl_balance+free_bits". Raises UserError for what is not
    there to drop, or cannot be without.
    """
    before = setting.configs(request)
    made = [make_variant(request, name, what, setting, before) for name, what in wanted.items()]
    return [one for one in made if one.changes], [one.name for one in made if not one.changes]


def make_variant(request: Request, name: str, wanted: str, setting: Setting, before: dict[str, dict]) -> Variant:
    """One variant; before: configs of the request by task."""
    changed, what = request, []
    for word in sorted(wanted.split("+"), key=features.covers_whole_group, reverse=True):
        changed, note = (borrow if "=" in word else drop)(changed, word, before)
        what.append(note)
    try:
        after = setting.configs(changed)
    except UserError as error:
        raise UserError(f"{request.algo} cannot be changed to {name}: {error}") from None
    if not any(configs.differences(before[task], after[task]) for task in after):
        raise UserError(f"{name} would change nothing: {request.algo} is like that already.")
    if problem := setting.problem(after):
        raise UserError(f"{name} cannot be: {problem}")
    return Variant(name, "; ".join(what), changed, setting.effects(before, after))


def borrow(request: Request, word: str, before: dict[str, dict]) -> tuple[Request, str]:
    """The request with a feature as in another version, and what that is. word: FEATURE=VERSION."""
    name, _, version = word.partition("=")
    if name not in features.FEATURES:
        raise UserError(configs.unknown_name("feature", name, features.FEATURES))
    note = f"{features.FEATURES[name][0]} as in {version}"
    return request._replace(borrowed=request.borrowed | {name: version}), note


def drop(request: Request, word: str, before: dict[str, dict]) -> tuple[Request, str]:
    """The request without something, and what is left. word: name of an ablation."""
    known = ablations()
    if word not in known:
        hint = f" Give a version to change this feature: {word}=VERSION." if word in features.FEATURES else ""
        raise UserError(configs.unknown_name("ablation", word, known) + hint)
    found = known[word]
    check_present(request, word, found, before)
    keys = found.versions.get(str(request.algo), found.keys)
    each = [resolve_keys(keys, config) for config in before.values()]
    if any(flags != each[0] for flags in each):
        raise UserError(f"Without {word}, {', '.join(before)} need different values: ablate them one at a time.")
    request = request._replace(borrowed=request.borrowed | found.like, flags=request.flags | each[0])
    return request, found.what


def check_present(request: Request, word: str, found: Ablation, before: dict[str, dict]) -> None:
    """Raises UserError if a request has not what is to be dropped."""
    for config in before.values():
        flat = configs.flatten(config)
        for key, values in found.has.items():
            if flat[key] not in values:
                raise UserError(f"{request.algo} has no {word} to drop: {key} is {flat[key]}.")


def resolve_keys(keys: dict[str, Any], config: dict) -> dict[str, Any]:
    """Keys of an ablation as flags for a config: references resolved, shared options of replaced parts kept."""
    flat = configs.flatten(config)
    flags = {key: resolve_reference(value, flat) for key, value in keys.items()}
    for key in keys:
        seam, _, option = key.partition(".")
        if option == "use":
            names = configs.flatten({seam: parts.options(parts.find(seam, keys[key]))})
            given = lambda name: any(fnmatch.fnmatchcase(name, glob) for glob in keys)
            flags |= {name: flat[name] for name in names if name in flat and not given(name)}
    return flags


def resolve_reference(value: Any, flat: dict[str, Any]) -> Any:
    """A value of the file: as it is, or the sum of the keys that "=KEY+KEY" names. UserError if one is not there."""
    if not (isinstance(value, str) and value.startswith("=")):
        return value
    names = value[1:].split("+")
    if missing := [name for name in names if name not in flat]:
        raise UserError(f"There is no {' and no '.join(missing)} here.")
    return sum(flat[name] for name in names)


def resolve_addition(word: str, request: Request, setting: Setting) -> str:
    """FEATURE=VERSION for each part of a word of --add; without a version, the next one that has it otherwise."""
    whole = lambda name: f"{name}={next_version_with(name, request, setting)}"
    return "+".join(one if "=" in one else whole(feature_of(one)) for one in word.split("+"))


def feature_of(name: str) -> str:
    """The feature that a name means: its own, or that of an ablation."""
    known = ablations()
    if name in features.FEATURES:
        return name
    if name in known and known[name].feature:
        return known[name].feature
    raise UserError(configs.unknown_name("feature", name, features.FEATURES))


def next_version_with(name: str, request: Request, setting: Setting) -> str:
    """The first later version in which a feature differs, with its own numbers: flags may fit one version only. Raises
    UserError if there is none."""
    own = setting.configs(request)
    following = request.algos[request.algos.index(str(request.algo)) + 1 :]
    for version in following:
        other = setting.configs(request._replace(algo=version, flags={}))
        if any(feature_values(name, own[task]) != feature_values(name, other[task]) for task in own):
            return version
    raise UserError(f"No later version than {request.algo} has another {name}. Name a version: {name}=VERSION.")


def feature_values(name: str, config: dict) -> dict[str, Any]:
    flat = configs.flatten(config)
    return {key: flat[key] for key in features.keys(name, config)}
