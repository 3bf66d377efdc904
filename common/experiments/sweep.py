"""Sweeps: variants of a version with several values of a key: `--sweep schedule.ratio=64,256,512`.

Several sweeps make all combinations of their values. `configs` sweeps over config blocks, such as sizes.
"""

import itertools
import re
from pathlib import Path

from common.config import config as configs
from common.config.arguments import Option
from common.config.request import Request
from common.errors import UserError
from common.experiments.grid.experiment import run_experiment
from common.experiments.variant import Setting, Variant, describe_variants
from common.experiments.version_flags import refuse_shared_key, with_own_flags

SWEEP = Option([], "a variant for each value; several multiply (search: command sweep)", "KEY=A,B ...")
FIRST_WORD = re.compile(r"[\w.*?\[\]-]+=.")  # KEY= and the first value; other words are further values

Choice = dict[str, str]  # key -> value


def run_versions(kind: str, versions: dict[str, Request], tasks: dict[str, int], folder: str) -> None:
    """Run each version, or its variants by --sweep, on each task with each seed, and report on them.

    versions: name -> request. folder: of the results without --logdir; that of a sweep also has its keys. Raises
    UserError as `run_experiment` does, and for a sweep that does not work.
    """
    options = next(request.options for request in versions.values())
    sweeps = parse_sweeps(options["sweep"])
    path = Path(options["logdir"] or "-".join([folder, *map(configs_slug, sweeps)]))
    if not sweeps:
        run_experiment(kind, versions, tasks, path)
        return
    frames = {task: steps * (options["match"] == "frames") for task, steps in tasks.items()}
    setting = Setting(frames, options["episodes"] > 0)
    several, found = len(versions) > 1, []
    for version, request in versions.items():
        base, *others = sweep_variants(version, request, combinations(sweeps), setting, several)
        print(describe_variants([f"{base.name}: {base.what}, the baseline"], others, [], tasks))
        found += [(base, others)]
    runs = {one.name: one.request for base, others in found for one in [base, *others]}
    run_experiment(kind, runs, tasks, path, None if several else found[0][0].name)


def configs_slug(key: str) -> str:
    """Return a key as a part of a folder's name."""
    return key.replace("*", "all")


def parse_sweeps(words: list[str]) -> dict[str, list[str]]:
    """Return key -> values for the words of --sweep, which were split at commas. Raises UserError for other forms."""
    found: dict[str, list[str]] = {}
    key = ""
    for word in join_brackets(words):
        value = word
        if FIRST_WORD.match(word):
            key, _, value = word.partition("=")
        if not key:
            raise UserError(f"--sweep takes KEY=VALUE,VALUE, such as schedule.ratio=64,256, got {word!r}.")
        found.setdefault(key, []).append(value)
    for key, values in found.items():
        if len(set(values)) < max(2, len(values)):
            raise UserError(f"--sweep {key} needs two or more different values, got {', '.join(values)}.")
    return found


def join_brackets(words: list[str]) -> list[str]:
    """Return the words with those joined that a comma inside brackets has split, as in linear(0.1, 0, 1e6)."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1].count("(") > joined[-1].count(")"):
            joined[-1] += f",{word}"
        else:
            joined.append(word)
    return joined


def combinations(sweeps: dict[str, list[str]]) -> list[Choice]:
    """Return all combinations of the values, in order."""
    return [dict(zip(sweeps, values, strict=True)) for values in itertools.product(*sweeps.values())]


def sweep_variants(
    version: str, request: Request, choices: list[Choice], setting: Setting, several: bool = False
) -> list[Variant]:
    """Return a variant of the version for each choice, first the baseline, then the others with changes from it.

    The baseline is the choice of the version's own values, else the first one. several: whether other versions are
    compared, so that names need the version. Raises UserError for keys that all runs share, for wrong values, for
    values without effect on the tasks, and if no agent can be built.
    """
    for key in choices[0]:
        refuse_shared_key(f"sweep {key}", key, request.options)
        if key in request.own:
            raise UserError(f"{key} is in --sweep and in --{version}.{key}. Omit one of them.")
    names = [" ".join([version] * several + [label(*pair) for pair in choice.items()]) for choice in choices]
    requests = [with_choice(request, choice) for choice in choices]
    found = [resolve_variant(name, one, setting) for name, one in zip(names, requests, strict=True)]
    own = setting.configs(request)
    same = [place for place, each in enumerate(found) if not any(configs.differences(own[t], each[t]) for t in own)]
    first = same[0] if same else 0
    order = [first, *(place for place in range(len(found)) if place != first)]
    changes = {place: setting.effects(found[first], found[place]) for place in order}
    for one, two in itertools.combinations(order, 2):
        if changes[one] == changes[two]:
            where = ", ".join(setting.tasks)
            raise UserError(
                f"--sweep: {names[one]} and {names[two]} have the same effect on {where}. Omit one of them."
            )
    return [Variant(names[place], version, requests[place], changes[place]) for place in order]


def with_choice(request: Request, choice: Choice) -> Request:
    """Return the request with the values of a choice."""
    own = {key: [value] if key == "configs" else value for key, value in choice.items()}
    return with_own_flags(request, own)._replace(own=request.own)


def resolve_variant(name: str, request: Request, setting: Setting) -> dict[str, dict]:
    """Return task -> config of a variant. Raises UserError if it has a wrong value or no agent can be built from it."""
    try:
        found = setting.configs(request)
        problem = setting.problem(found)
    except UserError as error:
        problem = str(error)
    if problem:
        raise UserError(f"--sweep: {name} does not work with {request.algo}. {problem}")
    return found


def label(key: str, value: str) -> str:
    """Return the name of a value: `schedule.ratio=64`, and of a config block its own name."""
    return value if key == "configs" else f"{key}={value}"
