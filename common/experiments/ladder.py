"""Ladders: from one version to another, one feature at a time. The last rung is the other version itself.

The features come concept by concept, as configs/explain/ orders them, and within a concept those of single keys before
those of whole parts. One that cannot be changed yet waits for others; those that only fit together change together.
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

MAX_COMBINED_STEPS = 3  # steps at most that are tried as one, where none can be made alone
CADENCE_FEATURE = "cadence"  # the feature that says how often is logged and evaluated: the same for all runs


class LadderStep(NamedTuple):
    """Features that change together, and their name."""

    name: str
    features: list[str]


class Ladder(NamedTuple):
    """Variants from the lowest rung to the highest, and features that change on the way without any effect here."""

    rungs: list[Variant]
    silent: list[str]


def build_ladder(versions: dict[str, Request], setting: Setting, by: str = "feature") -> Ladder:
    """The ladder through several versions, each with its request, in the setting given.

    by: feature, or concept for all features of a concept together. Raises UserError where no order of steps works.
    """
    names = list(versions)
    equal = {name: with_cadence_of(request, names[-1]) for name, request in versions.items()}
    rungs, silent = [Variant(names[0], "the version itself", equal[names[0]], {})], []
    for low, high in itertools.pairwise(equal.values()):
        climb = Climb(low, high, setting)
        rungs += climb.rungs(ladder_steps(by))
        silent += climb.silent
    return Ladder(rungs, silent)


def with_cadence_of(request: Request, last: str) -> Request:
    """The request with the cadence of the last version."""
    return request if request.algo == last else request._replace(borrowed=request.borrowed | {CADENCE_FEATURE: last})


def ladder_steps(by: str) -> list[LadderStep]:
    """All steps there may be, in the order in which they are tried."""
    order = list(dict.fromkeys(known.concept for known in entries().values()))
    place = lambda name: (order.index(concept_of(name)), features.covers_whole_group(name))
    names = sorted(itertools.filterfalse(is_combined, features.FEATURES), key=place)
    if by == "feature":
        return [LadderStep(name, [name]) for name in names]
    return [LadderStep(key.lower(), list(group)) for key, group in itertools.groupby(names, concept_of)]


def concept_of(name: str) -> str:
    """Concept of a feature: that of the first entry of its first key."""
    glob = features.FEATURES[name][1][0]
    return next(known.concept for key, known in entries().items() if fnmatch.fnmatchcase(key, glob))


def is_combined(name: str) -> bool:
    """Whether a feature is nothing but several other ones together."""
    globs = features.FEATURES[name][1]
    return len(globs) > 1 and all(any([glob] == other for _, other in features.FEATURES.values()) for glob in globs)


class Climb:
    """The way from one version's request to another's.

    now, goal: task -> config reached, and to be reached. taken: features that have changed, silent: those of them that
    have no effect here.
    """

    def __init__(self, low: Request, high: Request, setting: Setting):
        self.low, self.high, self.setting = low, high, setting
        self.now, self.goal = setting.configs(low), setting.configs(high)
        self.layers = {task: feature_values(config) for task, config in self.goal.items()}
        self.taken: list[str] = []
        self.silent: list[str] = []

    def rungs(self, waiting: list[LadderStep]) -> list[Variant]:
        """Variants after each step that has an effect. The last one is the higher version."""
        found = []
        while waiting := [step for step in waiting if self.differing(step)]:
            made = self.possible(waiting)
            names = [name for step in made for name in self.differing(step)]
            before, self.now = self.now, self.moved(names)
            self.taken += names
            if changes := self.setting.effects(before, self.now):
                name = "+".join(step.name for step in made)
                what = ", ".join(features.FEATURES[name][0] for name in names)
                found.append(Variant(f"{name}={self.high.algo}", what, self.request(), changes))
            else:
                self.silent += [f"{name}={self.high.algo}" for name in names]
        self.check()
        if found:
            name = f"{self.high.algo} ({found[-1].name.partition('=')[0]})"
            found[-1] = found[-1]._replace(name=name, request=self.high)
        return found

    def differing(self, step: LadderStep) -> list[str]:
        """Features of a step that are not yet as in the higher version."""
        return [name for name in step.features if any(self.open(name, task) for task in self.goal)]

    def open(self, name: str, task: str) -> bool:
        return any(configs.get(self.now[task], key) != value for key, value in self.layers[task][name].items())

    def possible(self, waiting: list[LadderStep]) -> tuple[LadderStep, ...]:
        """The first step that leads to agents that can be; several at once where no single one does."""
        problem = ""
        for some in (some for n in range(1, MAX_COMBINED_STEPS + 1) for some in itertools.combinations(waiting, n)):
            try:
                after = self.moved([name for step in some for name in self.differing(step)])
                problem = self.setting.problem(after)
            except UserError as error:
                problem = str(error)
            if not problem:
                return some
        names = ", ".join(step.name for step in waiting)
        raise UserError(f"No way from {self.low.algo} to {self.high.algo} is left with {names}: {problem}")

    def moved(self, names: list[str]) -> dict[str, dict]:
        """Configs by task with these features as in the higher version. Raises UserError if they have no place yet."""
        after = copy.deepcopy(self.now)
        for task, config in after.items():
            configs.apply_layer(
                config, {key: value for name in names for key, value in self.layers[task][name].items()}
            )
        return after

    def request(self) -> Request:
        """A request of the lower version that makes the configs reached, with the features taken among its own.

        Keys in which the two requests themselves differ from their versions are set one by one.
        """
        names = sorted(
            self.taken, key=features.covers_whole_group, reverse=True
        )  # parts first, then what their options are
        borrowed = {name: str(self.high.algo) for name in names}
        shared = {key: value for key, value in self.low.flags.items() if self.high.flags.get(key) == value}
        request = self.low._replace(borrowed=self.low.borrowed | borrowed, flags=shared)
        return request._replace(flags=shared | self.rest(request))

    def rest(self, request: Request) -> dict[str, Any]:
        """Keys with their values in which the configs of a request are not those reached."""
        found: dict[str, Any] = {}
        for task, config in self.setting.configs(request).items():
            for key, (_, new) in configs.differences(config, self.now[task]).items():
                if new is not None and found.setdefault(key, new) != new:
                    raise UserError(f"{key} differs between the tasks: climb one at a time.")
        return found

    def check(self) -> None:
        """Raises UserError if the configs reached are not the goal but for what may change within a run."""
        for task, config in self.now.items():
            left = set(configs.differences(config, self.goal[task])) - MAY_CHANGE - {"algo"}
            if left:
                raise UserError(
                    f"No feature of common/config/features.py has {', '.join(sorted(left))}, so no ladder ends."
                )


def feature_values(goal: dict) -> dict[str, dict[str, Any]]:
    """Feature -> flat keys that it has in a config, with their values."""
    flat = configs.flatten(goal)
    return {name: {key: flat[key] for key in features.keys(name, goal)} for name in features.FEATURES}
