"""Ladders end at the other version, by steps that are all possible."""

import itertools

import pytest
from variant_tools import MIXED, PICTURES, VECTORS, check_words, losses, request, setting

import dreamer
from common import config as configs
from common import features
from common.errors import UserError
from common.ladder import Climb, Step, concept, ladder, steps
from common.logdir import MAY_CHANGE
from common.variant import Setting

PAIRS = list(itertools.permutations(dreamer.ALGOS, 2))


def climb(*algos, task=MIXED, by="feature", blocks=("debug",)):
    return ladder({algo: request(algo, blocks) for algo in algos}, setting(task), by)


@pytest.fixture(scope="module")
def full():
    """The ladder through all versions."""
    return climb(*dreamer.ALGOS)


class Trusting(Setting):
    """Takes every step as possible, to be quick."""

    def problem(self, configs):
        return ""


@pytest.mark.parametrize(("low", "high"), PAIRS)
@pytest.mark.parametrize("task", [MIXED, "dmc_walker_walk", "atari_pong"])
def test_the_features_lead_to_the_other_version(low, high, task, monkeypatch):
    """All features one after the other make its config, but for the name and what may change within a run."""
    monkeypatch.setattr(Setting, "effects", lambda *_: {"some": (0, 1)})
    blocks = ("debug",) if task == MIXED else ()
    way = Climb(request(low, blocks), request(high, blocks), Trusting({task: 0}))
    rungs = way.rungs(steps("feature"))
    reached = way.request().config(low, task=task)
    goal = request(high, blocks).config(high, task=task)
    assert set(configs.differences(reached, goal)) <= MAY_CHANGE | {"algo"}
    assert rungs[-1].request.config(high, task=task) == goal


def test_the_rungs_lead_to_bit_equal_losses():
    for low, high in (("v1", "v2"), ("v2", "v3"), ("v3", "v3-2023")):
        place = setting(MIXED)
        way = Climb(request(low), request(high), place)
        way.rungs(steps("feature"))
        reached, goal = way.request().config(low, task=MIXED), request(high).config(high, task=MIXED)
        facts = place.facts(goal)
        assert losses(reached, facts, 3) == losses(goal, facts, 3)


def test_every_rung_is_an_agent_that_learns(full):
    """Images and vectors at once: the losses of an update are finite."""
    place, seen = setting(MIXED), []
    for rung in full.rungs:
        config = place.configs(rung.request)[MIXED]
        seen.append(losses(config, place.facts(config)))
    assert len(seen) > 70


@pytest.mark.parametrize(("algos", "task"), [(("v3", "v2", "v1"), PICTURES), (("v1", "v3"), VECTORS)])
def test_ladders_down_and_over_a_version_learn_too(algos, task):
    place = setting(task)
    for rung in climb(*algos, task=task).rungs[::3]:
        config = place.configs(rung.request)[task]
        losses(config, place.facts(config))


def test_names_are_unique_and_versions_are_rungs(full):
    names = [rung.name for rung in full.rungs]
    assert len(set(names)) == len(names)
    assert names[0] == "v1"
    assert [name.split(" ")[0] for name in names if "=" not in name] == list(dreamer.ALGOS)


def test_each_rung_changes_its_own_feature_only(full):
    """The keys between two rungs are those of the features named, or without any effect."""
    place = setting(MIXED)
    for before, after in itertools.pairwise(full.rungs):
        pair = [place.configs(rung.request) for rung in (before, after)]
        found = set(place.effects(*pair))
        assert found == set(after.changes)
        named = after.name.partition("=")[0] if "=" in after.name else after.name.split("(")[1][:-1]
        keys = {key for name in named.split("+") for side in pair for key in features.keys(name, side[MIXED])}
        assert found <= keys


def test_the_command_lines_have_the_configs_of_the_rungs(full):
    check_words({rung.name: rung.request for rung in full.rungs[::4]}, MIXED)


def test_features_without_effect_have_no_run():
    found = climb("v2", "v3", task=VECTORS)
    changed = {rung.name.partition("=")[0] for rung in found.rungs}
    assert {"conv", "image"} <= {name.partition("=")[0] for name in found.silent}
    assert not {"conv", "image"} & changed
    assert "symlog" in changed
    assert "symlog=v3" in climb("v2", "v3", task=PICTURES).silent


def test_steps_wait_until_they_are_possible():
    """Replayed values with a gradient need all losses at once; so one waits for the other, up and down."""
    place = lambda rungs: [[name for name in ("order", "replay_value") if name in rung.name] for rung in rungs]
    assert sum(place(climb("v2", "v3").rungs), []) == ["order", "replay_value"]
    assert sum(place(climb("v3", "v2").rungs), []) == ["replay_value", "order"]


def test_steps_that_fit_only_together_are_one_rung(monkeypatch):
    both = lambda config: (config["net"]["act"] == "silu") != (config["net"]["norm"] == "rms")
    monkeypatch.setattr(Setting, "problem", lambda self, found: "x" * any(map(both, found.values())))
    assert "act+norm=v3" in [rung.name for rung in climb("v2", "v3").rungs]


def test_no_way_is_an_error_that_names_what_is_left(monkeypatch):
    monkeypatch.setattr(Setting, "problem", lambda self, found: "it is too steep")
    with pytest.raises(UserError, match=r"No way from v3 to v3-2023 is left with .*clip.*: it is too steep"):
        Climb(request("v3"), request("v3-2023"), setting(MIXED)).rungs(steps("concept")[-2:])


def test_a_key_that_no_feature_has_is_an_error(monkeypatch):
    monkeypatch.delitem(features.FEATURES, "discount")
    with pytest.raises(UserError, match="No feature of common/features.py has discount"):
        climb("v2", "v3", by="concept")


def test_concepts_are_fewer_steps_to_the_same_end(full):
    found = climb(*dreamer.ALGOS, by="concept")
    assert len(found.rungs) < len(full.rungs) / 2
    assert found.rungs[-1].request == full.rungs[-1].request
    assert "kl loss=v3" in [rung.name for rung in found.rungs]


def test_concepts_hold_all_features_but_those_that_others_make_up():
    held = [name for step in steps("concept") for name in step.features]
    assert sorted(held) == sorted(set(features.FEATURES) - {"twohot"})
    assert [step for step in steps("feature") if step.name == "unimix"] == [Step("unimix", ["unimix"])]
    assert held.index("unimix") < held.index("latent")
    assert concept("twohot") == "Predictions"


def test_all_rungs_are_logged_and_evaluated_alike(full):
    keys = [key for key in configs.flatten(dreamer.load("v3")) if key.startswith("run.eval") or key.endswith("_every")]
    place = setting(MIXED)
    found = [[configs.get(place.configs(rung.request)[MIXED], key) for key in keys] for rung in full.rungs]
    assert all(values == found[-1] for values in found)


def test_settings_of_single_versions_hold_on_the_way():
    """Flags that only one version has end where the ladder leaves what they belong to."""
    low = request("v2", flags={"schedule.steps": 7, "discount": 0.5})
    high = request("v3", flags={"schedule.ratio": 8, "discount": 0.5})
    rungs = ladder({"v2": low, "v3": high}, setting(VECTORS)).rungs
    made = [setting(VECTORS).configs(rung.request)[VECTORS] for rung in rungs]
    at = [rung.name for rung in rungs].index("schedule=v3")
    assert all(config["schedule"] == {"use": "Every", "steps": 7, "updates": 1} for config in made[:at])
    assert all(config["schedule"] == {"use": "Ratio", "ratio": 8.0} for config in made[at:])
    assert all(config["discount"] == 0.5 for config in made)
    check_words({rung.name: rung.request for rung in rungs[at - 1 : at + 1]}, VECTORS)
