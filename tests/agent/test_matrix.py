"""Every feature of every version works in every other version, or is refused by name.

Each pair runs with one kind of action; the kinds alternate over the pairs.
"""

import itertools

import numpy as np
import pytest
import torch
from gymnasium import spaces

import dreamer
from common.agent.agent import Agent
from common.config import config as configs
from common.config import features
from common.errors import UserError
from tests.helpers.fakes import action_space, obs_space, random_batch

#: Switches that cannot work, with the message of the refusal.
REFUSED = {
    **{("v1", "std", source): rf"{source} does not have the feature std" for source in ("v2", "v3", "v3-2023")},
    **{(base, "std", "v1"): r"latent.std is an option of Gaussian" for base in ("v2", "v3", "v3-2023")},
    **{
        (base, "start", source): rf"{source} does not have the feature start"
        for base in ("v1", "v2")
        for source in ("v3", "v3-2023")
    },
    **{(base, "start"): r"returns.start is an option of ArrivalReturns" for base in ("v3", "v3-2023")},
    ("v1", "unimix"): r"latent.unimix is an option of Categorical",
    ("v2", "replay_value", "v3"): r"replay_value.grad .* order.use ModelFirst",
    ("v3-2023", "replay_value", "v3"): r"replay_value.grad .* order.use ModelFirst",
    ("v3", "order", "v2"): r"replay_value.grad .* order.use ModelFirst",
    ("v3", "order", "v3-2023"): r"replay_value.grad .* order.use ModelFirst",
}
OUTSIDE = {
    "sampler",
    "ends",
    "online",
    "schedule",
    "prefill",
    "capacity",
    "batch",
    "context",
}  # features of replay and training loop


def switches():
    """Yield (base, feature, source) for all features in which two versions differ."""
    loaded = {algo: dreamer.resolve(algo, ["debug"]) for algo in dreamer.ALGOS}
    value = lambda feature, config: [configs.flatten(config)[key] for key in features.keys(feature, config)]
    for base, source in itertools.permutations(dreamer.ALGOS, 2):
        for feature in features.FEATURES:
            if feature not in OUTSIDE and value(feature, loaded[base]) != value(feature, loaded[source]):
                yield base, feature, source


def build(config, kind="box", image=False):
    torch.manual_seed(0)
    return Agent(obs_space(image), action_space(kind), config)


def check_updates(agent):
    """Three updates are finite and move all groups (V3 starts with a zero step and zero advantages)."""
    before = {name: [p.clone() for p in params] for name, params in agent.groups().items()}
    for seed in range(3):
        metrics, _ = agent.update(random_batch(agent, seed=seed), step=seed)
        assert all(torch.isfinite(value) for value in metrics.values()), metrics
    for name, params in agent.groups().items():
        assert any(not torch.equal(new, old) for new, old in zip(params, before[name], strict=True)), name


@pytest.mark.parametrize(("base", "feature", "source"), list(switches()))
def test_every_feature_runs_in_every_version_or_is_refused_by_name(base, feature, source):
    message = REFUSED.get((base, feature)) or REFUSED.get((base, feature, source))
    kind = "box" if (len(feature) + len(base)) % 2 else "discrete"
    if message is not None:
        with pytest.raises(UserError, match=message):
            build(dreamer.resolve(base, ["debug"], borrowed={feature: source}))
        return
    check_updates(
        build(dreamer.resolve(base, ["debug"], borrowed={feature: source}), kind, feature in ("conv", "image"))
    )


@pytest.mark.parametrize("algo", dreamer.ALGOS)
@pytest.mark.parametrize("kind", ["box", "discrete", "multi"])
@pytest.mark.parametrize(("image", "vector"), [(True, True), (True, False), (False, True)])
def test_every_version_learns_from_every_space(algo, kind, image, vector):
    torch.manual_seed(0)
    agent = Agent(obs_space(image, vector), action_space(kind), dreamer.resolve(algo, ["debug"]))
    check_updates(agent)


SWITCHES = {
    "latent.use": ("Gaussian", "Categorical"),
    "grad_cont.use": ("DynamicsGradient", "Reinforce", "Mixed"),
    "grad_disc.use": ("DynamicsGradient", "Reinforce", "Mixed"),
    "reward.use": ("UnitNormal", "SymlogTwohot", "SymexpTwohot", "SymlogMSE", "Huber"),
    "critic.use": ("UnitNormal", "SymlogTwohot", "SymexpTwohot", "SymlogMSE", "Huber"),
    "con.use": ("NoContinue", "SoftContinue", "BinaryContinue"),
    "policy_cont.use": ("TanhNormal", "TruncNormal", "BoundedNormal"),
    "advantage.use": ("Unscaled", "PercentileReturnNorm", "AdvantageNorm"),
    "slow.use": ("NoSlow", "TargetCritic", "SlowRegularizer"),
    "returns.first": ("true", "pred", "one"),
    "rssm.ensemble": ("3",),
    "rssm.initial": ("zeros", "learned"),
    "model_grads.rec": ("false",),
    "model_grads.reward": ("false",),
    "model_grads.con": ("false",),
    "net.norm": ("none", "layer", "rms"),
    "clip.use": ("GlobalNorm", "AGC"),
    "explore.use": ("NoNoise", "ActionNoise", "Plan2Explore"),
    "reward_transform": ("tanh", "sign"),
    "imagination.horizon": ("2",),
}


@pytest.mark.parametrize("algo", dreamer.ALGOS)
@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in SWITCHES.items() for value in values])
def test_every_alternative_of_a_seam_runs_in_every_version(algo, key, value):
    kind = "discrete" if key == "grad_disc.use" else "box"
    check_updates(build(dreamer.resolve(algo, ["debug"], {key: value}), kind))


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_state_dict_is_complete(algo):
    """An agent restored from the state of another computes the same numbers."""
    config = dreamer.resolve(algo, ["debug"])
    one, two = build(config), build(config)
    for seed in range(3):
        one.update(random_batch(one, seed=seed))
    two.load_state_dict(one.state_dict())
    runs = []
    for agent in (one, two):
        torch.manual_seed(1)
        runs.append([{k: v.item() for k, v in agent.update(random_batch(agent, seed=s))[0].items()} for s in range(3)])
    assert runs[0] == runs[1]


def test_drop_last_with_replay_value_is_refused():
    with pytest.raises(UserError, match="imagined return for every replayed step"):
        build(dreamer.resolve("v3", ["debug"], {"imagination.drop_last": 1}))


@pytest.mark.parametrize("algo", dreamer.ALGOS)
@pytest.mark.parametrize("kind", ["box", "discrete"])
def test_bfloat16_losses_stay_near_float32(algo, kind):
    """Matrix products in bfloat16 change the first losses by rounding only; parameters stay float32."""
    losses = []
    for precision in ("fp32", "bf16"):
        agent = build(dreamer.resolve(algo, ["debug"], {"run.precision": precision}), kind)
        torch.manual_seed(1)  # the same samples for both
        metrics, _ = agent.update(random_batch(agent))
        losses.append({key: value.item() for key, value in metrics.items() if key.startswith("loss/")})
        assert all(p.dtype == torch.float32 for p in agent.parameters())
    for key, exact in losses[0].items():
        assert losses[1][key] == pytest.approx(exact, rel=0.1, abs=0.05), key


@pytest.mark.parametrize(
    ("flag", "pattern", "message"),
    [
        ("encoder.keys", "imaje", r"encoder.keys 'imaje' matches none of the observations height, state"),
        ("decoder.keys", "nothing", r"decoder.keys 'nothing' matches none"),
        ("encoder.keys", "[", r"encoder.keys '\[' is not a regular expression"),
    ],
)
def test_key_patterns_must_match_something(flag, pattern, message):
    with pytest.raises(UserError, match=message):
        build(dreamer.resolve("v3", ["debug"], {flag: pattern}))


def test_only_matching_keys_enter_encoder_and_decoder():
    agent = build(
        dreamer.resolve("v3", ["debug"], {"encoder.keys": "image|state", "decoder.keys": "image"}), image=True
    )
    assert agent.world.encoder.images + agent.world.encoder.vectors == ["image", "state"]
    assert agent.world.decoder.images + agent.world.decoder.vectors == ["image"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"optim.schedule": "linear"}, r"needs optim.anneal > optim.warmup"),
        ({"optim.schedule": "cosine"}, r"optim.schedule must be one of const, linear"),
        ({"reward.bins": 4}, r"odd number of bins"),
        ({"advantage.low": 95.0, "advantage.high": 5.0}, r"advantage.low must be below advantage.high"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(flags, message):
    with pytest.raises(UserError, match=message):
        build(dreamer.resolve("v3", ["debug"], flags))


def test_observation_names_may_be_anything():
    """Names of module attributes, and names that differ in punctuation only, get decoders of their own."""
    sizes = {"a.b": 1, "a_b": 2, "type": 3}
    space = spaces.Dict({key: spaces.Box(-9, 9, (size,), np.float32) for key, size in sizes.items()})
    torch.manual_seed(0)
    agent = Agent(space, action_space("box"), dreamer.resolve("v3", ["debug"]))
    metrics, _ = agent.update(random_batch(agent))
    assert {f"loss/{key}" for key in sizes} <= set(metrics)


def test_a_single_discrete_action_gives_finite_numbers():
    agent = Agent(obs_space(image=False), spaces.Discrete(1), dreamer.resolve("v3", ["debug"]))
    metrics, _ = agent.update(random_batch(agent))
    assert all(torch.isfinite(value) for value in metrics.values())
