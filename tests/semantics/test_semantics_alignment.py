"""Observations, actions and rewards meet at the right step, from the environment to the update.

dummy_onehot shows the last action and pays its number / 3. A model that pairs them wrongly cannot fit it.
"""

import math

import numpy as np
import pytest
import torch

import dreamer
from common.agent.agent import Agent
from common.storage import video
from tests.semantics.tools import Pipeline, copied, load, still

QUICK = {
    "task": "dummy_onehot",
    "run__envs": 2,
    "batch_size": 16,
    "reward_transform": "none",
    "imagination__horizon": 2,
    "kl__free": 0.0,  # so that the KL is the surprise in nats
    "loss__rec": 100.0,  # so that the posterior must know the observation
    "loss__reward": 10.0,
    "optim__lr__model": 5e-3,
    "optim__warmup": 0,
}
CLASSES = {"v2": 8, "v3": 8, "v3-2023": 8}


def pipeline(algo, **changes):
    classes = {"latent__classes": CLASSES[algo]} if algo in CLASSES else {}
    return Pipeline(load(algo, **QUICK | classes | changes))


def late(batch):
    """One step late: the action before the previous one, the reward after the next action."""
    batch["prev_action"] = np.roll(batch["prev_action"], 1, 1)
    batch["reward"] = np.roll(batch["reward"], -1, 1)
    return batch


def learn(pipe, change, updates=150):
    for _ in range(updates):
        batch = pipe.sample()
        _, latents = pipe.agent.update(change(batch))
        if latents:
            pipe.replay.write_back(batch["index"], latents)
    return measure(pipe.agent, change(pipe.sample()))


@torch.no_grad()
def measure(agent, batch):
    """Return KL in nats, squared error of rewards, squared error of observations predicted open loop."""
    truth, model = agent.report(batch)["vector"]
    batch, world = agent.to_tensors(batch), agent.world
    noise = agent.latent.noise(*reversed(batch["reward"].shape))
    states, post = world.rssm.observe(
        world.encoder(batch), batch["prev_action"], batch["is_first"], noise, agent.context(batch)
    )
    nats = agent.latent.kl(post, world.rssm.prior(states.deter))[:, 1:].mean()
    reward = (world.reward.pred(states.feat) - batch["reward"])[:, 1:-1].square().mean()
    return nats.item(), reward.item(), np.square(truth - model)[:, 5:].sum(-1).mean()


@pytest.mark.parametrize("algo", ["v1", "v2", "v3", pytest.param("v3-2023", marks=pytest.mark.long)])
def test_the_model_foresees_observations_and_rewards_of_known_actions(algo):
    nats, reward, error = learn(pipeline(algo).collect(1000), lambda batch: batch)
    assert nats < 0.4
    assert reward < 0.04
    assert error < 0.15


@pytest.mark.parametrize(
    "algo", ["v1", *(pytest.param(algo, marks=pytest.mark.long) for algo in ("v2", "v3", "v3-2023"))]
)
def test_the_same_data_one_step_late_cannot_be_fitted(algo):
    nats, reward, error = learn(pipeline(algo).collect(1000), late)
    assert nats > math.log(4)
    assert reward > 0.1  # of a variance of 0.139
    assert error > 0.65  # of a variance of 0.75


@pytest.mark.parametrize("algo", dreamer.ALGOS)
@pytest.mark.parametrize("random", [True, False])
def test_batches_pair_each_record_with_the_action_that_led_to_it(algo, random):
    pipe = pipeline(algo, explore__use="NoNoise").collect(200, random)
    for _ in range(5):
        batch = pipe.sample()
        seen = ~batch["is_first"]
        np.testing.assert_array_equal(batch["prev_action"][seen], batch["vector"][seen])
        np.testing.assert_allclose(batch["reward"][seen], batch["vector"][seen] @ (np.arange(4) / 3), rtol=1e-6)
        assert not batch["prev_action"][~seen].any()
        inside = ~batch["is_last"][:, :-1] & ~batch["is_first"][:, 1:]
        np.testing.assert_array_equal(batch["action"][:, :-1][inside], batch["prev_action"][:, 1:][inside])


@pytest.mark.parametrize("task", ["dummy_onehot_7", "dummy_point_7"])
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_acting_and_learning_see_the_same_states(algo, task):
    """Latents while acting over several episodes equal those of the update on the stored records."""
    pipe = pipeline(algo, task=task, replay__context=1, replay__force_first=False, sampler__use="Windows")
    still(pipe.agent.latent)
    pipe.collect(60, random=False)
    agent, ring = pipe.agent, pipe.replay.ring
    batch = {key: ring.block(key, 0, 40) for key in ring.spec}
    assert batch["is_first"].sum() == 2 * 5
    batch["prev_action"] = np.concatenate([np.zeros_like(batch["action"][:, :1]), batch["action"][:, :-1]], 1)
    with torch.no_grad():
        tensors = agent.to_tensors(copied(batch))
        noise = agent.latent.noise(40, 2)
        states, _ = agent.world.rssm.observe(
            agent.world.encoder(tensors), tensors["prev_action"], tensors["is_first"], noise
        )
    np.testing.assert_allclose(states.deter, batch["deter"], atol=2e-3)  # stored in half precision
    np.testing.assert_allclose(agent.latent.pack(states.stoch), batch["stoch"], atol=1e-4)


def test_restored_agents_act_like_the_saved_one_and_updates_reach_acting():
    pipe = pipeline("v3").collect(200)
    other = Agent(pipe.envs.obs_space, pipe.envs.act_space, pipe.config)

    def out(agent):
        torch.manual_seed(0)
        return agent.act(pipe.collector.record, agent.initial(2))[2]["deter"]

    before = out(pipe.agent)
    for _ in range(3):
        pipe.agent.update(pipe.sample())
    assert not torch.equal(out(pipe.agent), before)
    other.load_state_dict(pipe.agent.state_dict())
    assert torch.equal(out(other), out(pipe.agent))


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_predictions_look_like_what_they_predict_single_numbers_included(algo):
    pipe = Pipeline(load(algo, task="dmc_walker_walk", env__time_limit=40)).collect(60)
    predictions = pipe.agent.report(pipe.sample(), 3)
    assert {truth.ndim for truth, _ in predictions.values()} == {2, 3}
    for key, (truth, model) in predictions.items():
        assert truth.shape == model.shape, key
        assert video.open_loop_frames(truth, model, 3).shape[-1] == 3
