"""Acting: inputs of the policy, its actions in training and evaluation, and what the replay stores."""

import numpy as np
import pytest
import torch

import dreamer
from tests.helpers.fakes import agent_space, random_batch, random_obs
from tests.semantics.tools import KINDS, Pipeline, copied, load, make, still

SAMPLED = {"v1": False, "v2": False, "v3": True, "v3-2023": True}  # actions in evaluation


def record(agent, n, seed=0, same=False):
    """Random observations of n environments inside their episodes, `same`: one for all."""
    flags = {key: np.zeros(n, bool) for key in ("is_first", "is_last", "is_terminal")}
    obs = random_obs(agent_space(agent), (1 if same else n,), np.random.default_rng(seed))
    obs = {key: np.repeat(x, n, 0) if same else x for key, x in obs.items()}
    return obs | flags | {"reward": np.zeros(n, np.float32)}


@pytest.mark.parametrize("kind", ["box", "discrete"])
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_the_policy_depends_on_the_observation(algo, kind):
    agent = make(algo, kind)
    still(agent.latent)
    state = agent.initial(1)
    latents = [agent.act(record(agent, 1, seed), state)[2] for seed in (0, 1)]
    feats = [torch.cat([x["deter"], x["stoch"]], -1) for x in latents]
    torch.testing.assert_close(latents[0]["deter"], latents[1]["deter"])  # from the same past
    outs = [agent.behavior.actor(feat) for feat in feats]
    assert (outs[0] - outs[1]).abs().max() > 1e-3


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_networks_get_the_same_numbers_when_acting_and_learning(algo):
    agent, seen = make(algo, image=True), {"mlp": [], "cnn": []}
    for name, inputs in seen.items():
        getattr(agent.world.encoder, name).register_forward_pre_hook(lambda _, args, to=inputs: to.append(args[0]))
    batch = random_batch(agent)
    first = {key: x[:, 0] for key, x in batch.items()}
    agent.act(first, agent.initial(3))
    agent.update(batch)
    acting, learning = seen["mlp"]
    torch.testing.assert_close(acting, learning[:, 0], rtol=0, atol=0)
    acting, learning = seen["cnn"]
    torch.testing.assert_close(acting, learning.unflatten(0, (3, -1))[:, 0], rtol=0, atol=0)
    assert acting.dtype == torch.float32
    assert -0.5 <= acting.min() < -0.4 < 0.4 < acting.max() <= 0.5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_arrays_and_states_of_the_caller_stay_as_they_are(algo, kind):
    agent = make(algo, kind, image=True)
    batch = random_batch(agent)
    before = copied(batch)
    agent.update(batch)
    agent.report(batch)
    state = agent.initial(3)
    kept = {key: x.clone() for key, x in state.items()}
    agent.act({key: x[:, 0] for key, x in batch.items()}, state)
    assert batch.keys() == before.keys()
    for key, x in before.items():
        np.testing.assert_array_equal(batch[key], x, err_msg=key)
    assert all(x.equal(kept[key]) for key, x in state.items())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_random_numbers_differ_between_environments_and_repeat_with_the_seed(algo, kind):
    agent = make(algo, kind)

    def draw(seed):
        torch.manual_seed(seed)
        acted = agent.act(record(agent, 64, same=True), agent.initial(64))
        return [agent.random(64)[1]["action"], acted[1]["action"], acted[2]["stoch"].numpy()]

    one, same, other = draw(0), draw(0), draw(1)
    for a, b, c in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()
        assert len(np.unique(a, axis=0)) > 1


@pytest.mark.parametrize("kind", ["box", "discrete"])
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_evaluation_takes_the_mode_or_samples_as_the_version_does(algo, kind):
    """One state for all environments: the mode is one action, samples differ."""
    agent = make(algo, kind)
    still(agent.latent)
    actions = agent.act(record(agent, 200, same=True), agent.initial(200), mode="eval")
    stored, state = actions[1]["action"], actions[2]
    out = agent.behavior.actor(torch.cat([state["deter"], state["stoch"]], -1)[:1])
    if SAMPLED[algo]:
        assert len(np.unique(stored, axis=0)) > 1
    elif (algo, kind) == ("v1", "box"):  # the likeliest of 100 draws
        dist = agent.behavior.actor.dist
        samples = dist.sample(out.expand(200, -1), torch.randn(200, 2))
        assert dist.log_prob(out, torch.as_tensor(stored)).min() > dist.log_prob(out, samples).mean()
    else:
        mode = agent.behavior.actor.dist.mode(out).detach().numpy()
        np.testing.assert_allclose(stored, mode.repeat(200, 0), atol=1e-6)


def test_exploration_noise_of_continuous_actions():
    """0.3 on every training action, none in evaluation, never outside of [-1, 1]."""
    agent = make("v1")
    agent.acting.choose_action = lambda feat, noise, way: torch.zeros(len(feat), 2)
    act = lambda mode: agent.act(record(agent, 4000), agent.initial(4000), mode=mode)[1]["action"]
    assert act("train").std() == pytest.approx(0.3, rel=0.03)
    assert not act("eval").any()
    agent.acting.choose_action = lambda feat, noise, way: torch.ones(len(feat), 2)
    noisy = act("train")
    assert noisy.max() == 1
    assert (noisy == 1).mean() == pytest.approx(0.5, abs=0.03)


def test_exploration_noise_of_discrete_actions():
    """Atari: 0.4 at first, finally 0.1, and 0.001 in evaluation; a random action may be the greedy one."""
    agent = make("v1", "discrete", explore__amount="linear(0.4, 0.1, 375000)", explore__eval=0.001)
    agent.acting.choose_action = lambda feat, noise, way: torch.eye(3)[:1].repeat(len(feat), 1)

    def strange(mode, step):
        action = agent.act(record(agent, 6000), agent.initial(6000), mode=mode, step=step)[1]["action"]
        assert (action.sum(-1) == 1).all()
        return 1.5 * (1 - action[:, 0].mean())

    assert strange("train", 0) == pytest.approx(0.4, abs=0.03)
    assert strange("train", 10**6) == pytest.approx(0.1, abs=0.02)
    assert strange("eval", 0) < 0.005


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_continuous_actions_are_stored_as_sampled_and_clipped_on_the_way_out(algo):
    """V3's policy leaves [-1, 1]: the replay keeps the sample, the environment gets the clipped one."""
    pipe = Pipeline(load(algo, task="dummy_point", run__envs=4, actor__eval="sample"))
    got, send = [], pipe.envs.send
    pipe.envs.send = lambda action: got.append(action) or send(action)
    pipe.collect(40, random=False)
    ring = pipe.replay.ring
    stored, last = ring.block("action", 0, 40), ring.block("is_last", 0, 40)
    sent = np.stack(got, 1)
    assert np.abs(sent).max() <= 1
    np.testing.assert_array_equal(np.clip(stored, -1, 1)[~last], sent[~last])
    assert (np.abs(stored) > 1).any() == (algo in ("v3", "v3-2023"))


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_nothing_is_stored_at_the_end_of_an_episode(algo):
    agent = make(algo)
    here = record(agent, 3) | {"is_last": np.array([True, False, True])}
    _, extras, state = agent.act(here, agent.initial(3))
    assert extras["action"].any(-1).tolist() == state["action"].any(-1).tolist() == [False, True, False]
