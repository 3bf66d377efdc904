"""Ablations change the keys that they define, and are refused if there is nothing to drop."""

import re

import pytest

import dreamer
from common.config import features
from common.errors import UserError
from common.experiments.ablation import ablation_suites, ablations, make_variants, resolve_addition, resolve_keys
from tests.helpers.variants import MIXED, PICTURES, VECTORS, check_command_lines, losses, request, setting

NAMES = [name for name, one in ablations().items() if name not in one.also]
REQUESTED = (
    "symlog twohot kl_balance free_bits free_nats retnorm unimix slow_critic critic_ema block_gru blockgru norm silu"
)
REQUESTED += " replay_value repval laprop agc"


def one(algo, wanted, task=MIXED, **options):
    """Return the only variant, with its config."""
    made, _ = make_variants(request(algo, **options), {"it": wanted}, setting(task))
    return made[0], setting(task).configs(made[0].request)[task]


@pytest.mark.parametrize("name", REQUESTED.split())
def test_popular_ablations_apply_to_v3(name):
    assert one("v3", name)[0].changes


@pytest.mark.parametrize("name", NAMES)
def test_each_ablation_applies_to_a_version_and_learns(name):
    task = PICTURES if name == "policy_reinforce" else MIXED
    made = [config for config in (attempt(algo, name, task) for algo in dreamer.ALGOS) if config]
    for config in made:
        losses(config, setting(task).facts(config))
    assert made


def attempt(algo, name, task):
    """Return the config of the variant; None if the version has nothing to drop."""
    refusal = rf"{algo} has no {name} to drop: |it would change nothing in {algo}"
    try:
        return one(algo, name, task)[1]
    except UserError as error:
        if not re.match(refusal, str(error)):
            raise
        return None


def test_each_ablation_belongs_to_an_existing_feature():
    assert all(found.feature in features.FEATURES for found in ablations().values() if found.feature)
    assert all(name in features.FEATURES for found in ablations().values() for name in found.like)
    assert all(found.keys or found.like for found in ablations().values())


PAPER = {
    "symlog": {"encoder.symlog": (True, False), "vector.use": ("SymlogMSE", "MSE"), "vector.tolerance": (0.0, None)},
    "kl_balance": {"kl.rep": (0.1, 1.0)},
    "free_bits": {"kl.free": (1.0, 0.0)},
    "kl_balance+free_bits": {"kl.rep": (0.1, 1.0), "kl.free": (1.0, 0.0)},
    "task_grads": {"model_grads.reward": (True, False), "replay_value.grad": (True, False)},
    "image_grads": {"model_grads.rec": (True, False)},
    "unimix": {"latent.unimix": (0.01, 0.0)},
}


@pytest.mark.parametrize("name", PAPER)
def test_keys_of_the_papers_ablations(name):
    assert one("v3", name)[0].changes == PAPER[name]


def test_replaced_parts_keep_the_options_they_share():
    config = one("v3", "twohot")[1]
    assert config["reward"] == config["critic"] == {"use": "Huber", "outscale": 0.0}
    config = one("v3", "laprop")[1]
    lender = dreamer.resolve("v3", ["debug"])
    assert config["optim"]["lr"] == lender["optim"]["lr"]
    assert (config["optim"]["use"], config["optim"]["warmup"]) == ("Adam", lender["optim"]["warmup"])
    assert config["optim"]["eps"] == {"model": 1e-8, "actor": 1e-8, "critic": 1e-8}
    assert one("v3", "retnorm")[1]["advantage"] == {
        "use": "AdvantageNorm",
        "rate": 0.01,
        "limit": 1e-8,
        "debias": False,
    }


def test_v2_without_balance_has_the_plain_kl_with_the_same_scale():
    config = one("v2", "kl_balance", "atari_pong", blocks=["atari"])[1]
    assert config["kl"] == {
        "use": "PlainKL",
        "scale": pytest.approx(0.1),
        "free": 0.0,
        "where": "mean",
        "forward": False,
    }


def test_references_name_existing_keys():
    assert resolve_keys({"kl.scale": "=kl.dyn+kl.rep"}, {"kl": {"dyn": 2.0, "rep": 1.0}}) == {"kl.scale": 3.0}
    with pytest.raises(UserError, match=r"This config has no kl\.wet and no kl\.dry"):
        resolve_keys({"kl.scale": "=kl.wet+kl.dry"}, {"kl": {"dyn": 2.0}})


def test_ablations_override_the_users_flags():
    assert one("v3", "free_bits", flags={"kl.free": 2.0})[0].changes == {"kl.free": (2.0, 0.0)}


@pytest.mark.parametrize("name", ablation_suites())
def test_suites_give_the_papers_variants(name):
    suite = ablation_suites()[name]
    made, silent = make_variants(request(suite.version), suite.drop, setting(MIXED, PICTURES))
    assert not silent
    assert [found.name for found in made] == list(suite.drop)
    check_command_lines({found.name: found.request for found in made}, PICTURES)


def test_variants_without_effect_are_omitted():
    vectors = setting(VECTORS)
    made, silent = make_variants(request("v3"), {"a": "sigmoid", "b": "symlog"}, vectors)
    assert ([found.name for found in made], silent) == (["b"], ["a"])


@pytest.mark.parametrize(
    ("algo", "wanted", "message"),
    [
        ("v1", "symlog", "v1 has no symlog to drop: encoder.symlog is False"),
        ("v1", "slow_critic", "it would change nothing in v1"),
        ("v3", "simlog", r"Unknown ablation 'simlog'\. Did you mean symlog"),
        ("v3", "horizon", r"To change this feature, give a version: horizon=VERSION"),
        ("v3", "horizzon=v1", "Unknown feature 'horizzon'. Did you mean horizon"),
        ("v3", "retnorm=v9", "Unknown version 'v9'"),
        ("v3", "order=v2", "it does not work: replay_value.grad true"),
        ("v3", "start=v1", "v3 cannot be changed to it: returns.start is an option of ArrivalReturns"),
    ],
)
def test_impossible_variants_are_refused_with_the_reason(algo, wanted, message):
    with pytest.raises(UserError, match=message):
        make_variants(request(algo), {"it": wanted}, setting(VECTORS))


def test_tasks_that_need_different_values_are_refused():
    with pytest.raises(UserError, match="Without kl_balance, atari_pong, dummy_onehot_image need different values"):
        make_variants(request("v2", []), {"it": "kl_balance"}, setting("atari_pong", PICTURES))


def test_features_are_added_from_the_next_version_that_differs():
    add = lambda word, algo="v1": resolve_addition(word, request(algo), setting(VECTORS))
    assert add("kl") == add("kl_balance") == "kl=v2"
    assert add("symlog") == "symlog=v3"
    assert add("latent+kl=v3") == "latent=v2+kl=v3"
    assert add("order", "v3") == "order=v3-2023"
    with pytest.raises(UserError, match="No later version than v3-2023 has another kl"):
        add("kl", "v3-2023")
    with pytest.raises(UserError, match="Did you mean symlog"):
        add("simlog")


def test_flags_of_one_version_do_not_disturb_the_search_for_the_next():
    """The settings of a suite contain such flags."""
    bursts = request("v1", flags={"schedule.every": "100", "schedule.updates": "12"})
    assert resolve_addition("kl", bursts, setting(VECTORS)) == "kl=v2"
    assert make_variants(bursts, {"kl=v2": "kl=v2"}, setting(VECTORS))[0][0].changes["kl.use"] == (
        "PlainKL",
        "BalancedKL",
    )


def test_added_features_make_an_agent_that_learns():
    variant, config = one("v1", "latent=v2+unimix=v3+kl=v2")
    assert (config["latent"]["use"], config["latent"]["unimix"], config["kl"]["use"]) == (
        "Categorical",
        0.01,
        "BalancedKL",
    )
    losses(config, setting(MIXED).facts(config))
    check_command_lines({"it": variant.request}, MIXED)
