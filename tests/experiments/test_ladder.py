"""Ladders end at the other version, and each rung is an agent that learns.

To save time, most tests do not build agents to check whether a step is possible.
"""

import itertools

import pytest

import dreamer
from common.config import config as configs
from common.config import features
from common.errors import UserError
from common.experiments.ladder import Climb, LadderStep, build_ladder, concept_of, ladder_steps
from common.experiments.variant import Setting
from common.storage.logdir import MAY_CHANGE
from tests.helpers.variants import MIXED, PICTURES, VECTORS, check_command_lines, losses, request, setting

pytestmark = pytest.mark.xdist_group("ladder")  # they share a slow fixture

PAIRS = list(itertools.permutations(dreamer.ALGOS, 2))
CLIMBS = [(*pair, MIXED) for pair in PAIRS] + [("v1", "v2", "atari_pong"), ("v3", "v2", "dmc_walker_walk")]


class PermissiveSetting(Setting):
    """Treats each step as possible."""

    def problem(self, configs):
        return ""


def climb(*algos, task=MIXED, by="feature", kind=PermissiveSetting):
    return build_ladder({algo: request(algo) for algo in algos}, kind({task: 1000}), by)


@pytest.fixture(scope="module")
def rungs():
    """Return the ladder through three versions, with the configs of its rungs."""
    found = climb("v1", "v2", "v3", kind=Setting).rungs
    return [(rung, setting(MIXED).configs(rung.request)[MIXED]) for rung in found]


@pytest.mark.parametrize(("low", "high", "task"), CLIMBS)
def test_the_features_lead_to_the_other_version(low, high, task):
    """All features in order give its config, except the name and the keys that may change within a run."""
    blocks = ("debug",) if task == MIXED else ()
    steps = Climb(request(low, blocks), request(high, blocks), PermissiveSetting({task: 0}))
    found = steps.rungs(ladder_steps("feature"))
    reached = steps.request().config(low, task=task)
    goal = request(high, blocks).config(high, task=task)
    assert set(configs.differences(reached, goal)) <= MAY_CHANGE | {"algo"}
    assert found[-1].request.config(high, task=task) == goal


@pytest.mark.parametrize(("low", "high"), [("v1", "v2"), ("v2", "v3")])
def test_the_features_lead_to_bit_equal_losses(low, high):
    steps = Climb(request(low), request(high), PermissiveSetting({MIXED: 1000}))
    steps.rungs(ladder_steps("concept"))
    reached, goal = steps.request().config(low, task=MIXED), request(high).config(high, task=MIXED)
    facts = setting(MIXED).facts(goal)
    assert losses(reached, facts, 2) == losses(goal, facts, 2)


def test_every_rung_is_an_agent_that_learns(rungs):
    """With images and vectors together, the losses of an update are finite."""
    for _, config in rungs:
        losses(config, setting(MIXED).facts(config))
    assert len(rungs) > 50


@pytest.mark.parametrize("algos", [("v3", "v2", "v1"), ("v1", "v3-2023", "v3")])
def test_other_ladders_learn_too(algos):
    rungs = climb(*algos, task=PICTURES, by="concept", kind=Setting).rungs
    assert len(rungs) > 10
    for rung in rungs[1::3]:
        config = setting(PICTURES).configs(rung.request)[PICTURES]
        losses(config, setting(PICTURES).facts(config))


def test_names_are_unique_and_versions_are_rungs(rungs):
    names = [rung.name for rung, _ in rungs]
    assert len(set(names)) == len(names)
    assert [name.split(" ")[0] for name in names if "=" not in name] == ["v1", "v2", "v3"]


def test_each_rung_changes_only_its_own_feature(rungs):
    """The keys that differ between two rungs belong to the named features, or have no effect."""
    for (_, before), (rung, after) in itertools.pairwise(rungs):
        assert set(setting(MIXED).effects({MIXED: before}, {MIXED: after})) == set(rung.changes)
        named = rung.name.partition("=")[0] if "=" in rung.name else rung.name.split("(")[1][:-1]
        keys = {key for name in named.split("+") for side in (before, after) for key in features.keys(name, side)}
        assert set(rung.changes) <= keys


def test_the_command_lines_give_the_configs_of_the_rungs(rungs):
    check_command_lines({rung.name: rung.request for rung, _ in rungs[::5]}, MIXED)


def test_features_without_effect_have_no_run():
    found = climb("v2", "v3", task=VECTORS)
    changed = {rung.name.partition("=")[0] for rung in found.rungs}
    assert {"conv", "image"} <= {name.partition("=")[0] for name in found.silent}
    assert not {"conv", "image"} & changed
    assert "symlog" in changed
    assert "symlog=v3" in climb("v2", "v3", task=PICTURES).silent


def test_steps_wait_until_they_are_possible():
    """Replayed values with a gradient need all losses at once, so one step waits for the other in both directions."""
    names = ("critic", "optimiser")
    seen = lambda *algos: [name for rung in climb(*algos, by="concept", kind=Setting).rungs for name in names
                           if name in rung.name]  # fmt: skip
    assert seen("v2", "v3") == ["optimiser", "critic"]
    assert seen("v3", "v2") == ["critic", "optimiser"]


def test_steps_that_only_work_together_are_one_rung():
    class Picky(Setting):
        def problem(self, found):
            return "x" * any((one["net"]["act"] == "silu") != (one["net"]["norm"] == "rms") for one in found.values())

    assert climb("v2", "v3", kind=Picky).rungs[-1].name == "v3 (act+norm)"  # tried when no single step is possible


def test_an_impossible_ladder_names_the_remaining_steps():
    class Steep(Setting):
        def problem(self, found):
            return "it is too steep"

    with pytest.raises(
        UserError,
        match=r"The ladder from v3 to v3-2023 cannot be completed. Remaining: actor, optimiser. it is too steep",
    ):
        Climb(request("v3"), request("v3-2023"), Steep({MIXED: 0})).rungs(ladder_steps("concept")[-2:])


def test_a_key_without_a_feature_is_an_error(monkeypatch):
    left = {name: found for name, found in features.FEATURES.items() if name != "discount"}
    monkeypatch.setattr(features, "FEATURES", left)
    with pytest.raises(UserError, match=r"No feature covers discount"):
        climb("v2", "v3", by="concept")


def test_concepts_give_fewer_steps_to_the_same_goal(rungs):
    found = climb("v1", "v2", "v3", by="concept").rungs
    assert len(found) < len(rungs) / 2
    assert found[-1].request == rungs[-1][0].request
    assert "kl loss=v3" in [rung.name for rung in found]


def test_concepts_contain_all_features_except_combined_ones():
    held = [name for step in ladder_steps("concept") for name in step.features]
    assert sorted(held) == sorted(set(features.FEATURES) - {"twohot"})
    assert [step for step in ladder_steps("feature") if step.name == "unimix"] == [LadderStep("unimix", ["unimix"])]
    assert held.index("unimix") < held.index("latent")
    assert concept_of("twohot") == "Predictions"


def test_all_rungs_log_and_evaluate_equally_often(rungs):
    keys = [
        key for key in configs.flatten(dreamer.resolve("v3")) if key.startswith("run.eval") or key.endswith("_every")
    ]
    found = [[configs.get(config, key) for key in keys] for _, config in rungs]
    assert all(values == found[-1] for values in found)


def test_flags_of_single_versions_apply_until_the_ladder_replaces_their_part():
    """Flags that only one version has end at the rung that replaces their part."""
    low = request("v2", flags={"schedule.steps": 7, "discount": 0.5})
    high = request("v3", flags={"schedule.ratio": 8, "discount": 0.5})
    found = build_ladder({"v2": low, "v3": high}, PermissiveSetting({VECTORS: 1000})).rungs
    made = [setting(VECTORS).configs(rung.request)[VECTORS] for rung in found]
    at = [rung.name for rung in found].index("schedule=v3")
    assert all(config["schedule"] == {"use": "Every", "steps": 7, "updates": 1} for config in made[:at])
    assert all(config["schedule"] == {"use": "Ratio", "ratio": 8.0} for config in made[at:])
    assert all(config["discount"] == 0.5 for config in made)
    check_command_lines({rung.name: rung.request for rung in found[at - 1 : at + 1]}, VECTORS)
