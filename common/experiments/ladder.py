"""Ladders from one version to another, one feature at a time. The last rung is the other version itself.

Features are ordered by concept, as in configs/explain/. Within a concept, features of single keys precede those of
whole parts. A feature waits until its requirements are met; features that only work together change together.
"""

import copy
import fnmatch
import itertools
from typing import Any, NamedTuple

from common.analysis.explain.entries import entries
from common.config import config as configs
from common.config import features
from common.config.request import Request
from common.errors import UserError
from common.experiments.variant import Setting, Variant
from common.storage.logdir import MAY_CHANGE

MAX_COMBINED_STEPS = 3  # tried as one step if no single step is possible
CADENCE_FEATURE = "cadence"  # the intervals of logging and evaluation: the same for all runs


class LadderStep(NamedTuple):
    """Features that change together, and their name."""

    name: str
    features: list[str]


class Ladder(NamedTuple):
    """Variants from the lowest rung to the highest, and the features that change without effect in this setting."""

    rungs: list[Variant]
    silent: list[str]


def build_ladder(versions: dict[str, Request], setting: Setting, by: str = "feature") -> Ladder:
    """Return the ladder through several versions, each with its request.

    by: "feature", or "concept" to change all features of a concept together. Raises UserError if no order works.
    """
    last = list(versions)[-1]
    lend = lambda request: request._replace(borrowed=request.borrowed | {CADENCE_FEATURE: last})
    equal = [request if request.algo == last else lend(request) for request in versions.values()]
    rungs, silent = [Variant(next(iter(versions)), "the version itself", equal[0], {})], []
    for low, high in itertools.pairwise(equal):
        climb = Climb(low, high, setting)
        rungs += climb.rungs(ladder_steps(by))
        silent += climb.silent
    return Ladder(rungs, silent)


def ladder_steps(by: str) -> list[LadderStep]:
    """Return all steps, in the order in which they are tried."""
    order = list(dict.fromkeys(known.concept for known in entries().values()))
    rank = lambda name: (order.index(concept_of(name)), features.covers_whole_group(name))
    names = sorted(itertools.filterfalse(is_combined, features.FEATURES), key=rank)
    if by == "feature":
        return [LadderStep(name, [name]) for name in names]
    return [LadderStep(key.lower(), list(group)) for key, group in itertools.groupby(names, concept_of)]


def concept_of(name: str) -> str:
    """Return the concept of a feature: that of the first entry of its first key."""
    glob = features.FEATURES[name][1][0]
    return next(known.concept for key, known in entries().items() if fnmatch.fnmatchcase(key, glob))


def is_combined(name: str) -> bool:
    """Whether a feature consists of several other features."""
    globs = features.FEATURES[name][1]
    return len(globs) > 1 and all(any([glob] == other for _, other in features.FEATURES.values()) for glob in globs)


class Climb:
    """The steps from the request of one version to that of another.

    now, goal: task -> current config, and config to reach. taken: features changed so far. silent: those of them
    without effect in this setting.
    """

    def __init__(self, low: Request, high: Request, setting: Setting):
        self.low, self.high, self.setting = low, high, setting
        self.now, self.goal = setting.configs(low), setting.configs(high)
        self.layers = {task: feature_values(config) for task, config in self.goal.items()}
        self.taken: list[str] = []
        self.silent: list[str] = []

    def rungs(self, waiting: list[LadderStep]) -> list[Variant]:
        """Return the variants after each step that has an effect. The last one is the higher version."""
        found = []
        while waiting := [step for step in waiting if self.open_features(step)]:
            made = self.next_step(waiting)
            names = [name for step in made for name in self.open_features(step)]
            before, self.now = self.now, self.with_features(names)
            self.taken += names
            if changes := self.setting.effects(before, self.now):
                name = "+".join(step.name for step in made)
                what = ", ".join(features.FEATURES[name][0] for name in names)
                found.append(Variant(f"{name}={self.high.algo}", what, self.request(), changes))
            else:
                self.silent += [f"{name}={self.high.algo}" for name in names]
        self.check_goal()
        if found:
            name = f"{self.high.algo} ({found[-1].name.partition('=')[0]})"
            found[-1] = found[-1]._replace(name=name, request=self.high)
        return found

    def open_features(self, step: LadderStep) -> list[str]:
        """Return the features of a step that still differ from the higher version."""
        differs = lambda name, task: any(
            configs.get(self.now[task], key) != value for key, value in self.layers[task][name].items()
        )
        return [name for name in step.features if any(differs(name, task) for task in self.goal)]

    def next_step(self, waiting: list[LadderStep]) -> tuple[LadderStep, ...]:
        """Return the first step that gives agents that can be built; several steps at once if no single one does."""
        problem = ""
        for some in (some for n in range(1, MAX_COMBINED_STEPS + 1) for some in itertools.combinations(waiting, n)):
            try:
                problem = self.setting.problem(
                    self.with_features([name for step in some for name in self.open_features(step)])
                )
            except UserError as error:
                problem = str(error)
            if not problem:
                return some
        names = ", ".join(step.name for step in waiting)
        raise UserError(
            f"The ladder from {self.low.algo} to {self.high.algo} cannot be completed. Remaining: {names}. {problem}"
        )

    def with_features(self, names: list[str]) -> dict[str, dict]:
        """Return the current configs with these features of the higher version. Raises UserError if they do not fit."""
        after = copy.deepcopy(self.now)
        for task, config in after.items():
            values = {key: value for name in names for key, value in self.layers[task][name].items()}
            configs.apply_layer(config, values)
        return after

    def request(self) -> Request:
        """Return a request of the lower version that borrows the features taken and gives the current configs.

        Keys that the two requests themselves set differently become flags.
        """
        names = sorted(self.taken, key=features.covers_whole_group, reverse=True)  # parts before their options
        borrowed = {name: str(self.high.algo) for name in names}
        shared = {key: value for key, value in self.low.flags.items() if self.high.flags.get(key) == value}
        request = self.low._replace(borrowed=self.low.borrowed | borrowed, flags=shared)
        return request._replace(flags=shared | self.missing_flags(request))

    def missing_flags(self, request: Request) -> dict[str, Any]:
        """Return the keys and values in which the configs of a request differ from the current ones."""
        found: dict[str, Any] = {}
        for task, config in self.setting.configs(request).items():
            for key, (_, new) in configs.differences(config, self.now[task]).items():
                if new is not None and found.setdefault(key, new) != new:
                    raise UserError(f"{key} differs between the tasks. Climb with one task at a time.")
        return found

    def check_goal(self) -> None:
        """Raise UserError if the current configs differ from the goal in keys that may not change within a run."""
        for task, config in self.now.items():
            left = set(configs.differences(config, self.goal[task])) - MAY_CHANGE - {"algo"}
            if left:
                raise UserError(f"No feature covers {', '.join(sorted(left))}. Add it to common/config/features.py.")


def feature_values(config: dict) -> dict[str, dict[str, Any]]:
    """Return feature -> its flat keys in a config, with their values."""
    flat = configs.flatten(config)
    return {name: {key: flat[key] for key in features.keys(name, config)} for name in features.FEATURES}
