"""The world model trained alone makes the same steps as in the full update of its version."""

import pytest
import torch

import dreamer
from common.agent.agent import Agent
from common.agent.model_only import ModelOnly
from tests.helpers.fakes import action_space, obs_space, random_batch

#: V3's critic sends a gradient into its world model; without it, behaviour has no effect on the world model.
WITHOUT_CRITIC_GRADIENT = {"v3": {"replay_value.grad": False}}


def trained(config, alone):
    torch.manual_seed(0)
    agent = Agent(obs_space(), action_space("box"), config)
    before = {name: value.clone() for name, value in agent.behavior.actor.named_parameters()}
    if alone:
        agent.order = ModelOnly()
    for number in range(3):
        batch = random_batch(agent, seed=number)
        torch.manual_seed(number)
        metrics, _ = agent.update(batch)
    return agent, before, metrics


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_the_world_model_trained_alone_equals_the_one_of_a_full_update(algo):
    config = dreamer.resolve(algo, ["debug"], WITHOUT_CRITIC_GRADIENT.get(algo))
    (alone, before, metrics), (whole, _, _) = trained(config, alone=True), trained(config, alone=False)
    for (name, one), two in zip(alone.world.named_parameters(), whole.world.parameters(), strict=True):
        assert torch.equal(one, two), name
    assert all(torch.equal(value, before[name]) for name, value in alone.behavior.actor.named_parameters())
    assert not {"loss/actor", "loss/critic", "loss/repval"} & metrics.keys()
    assert set(alone.noise(2, 3)) == {"post"}
