"""An update that is not finite names its loss or group, and leaves the agent unchanged."""

import copy

import pytest
import torch

import dreamer
from common.errors import NonFiniteError
from tests.helpers.fakes import random_batch
from tests.semantics.tools import make


def snapshot(agent):
    """Every tensor and number of an agent's state: parameters, slow critic, running statistics, moments, counts."""
    return copy.deepcopy(agent.state_dict())


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return all(map(same, one, other))
    return one == other


def poisoned(agent, key="state"):
    """A batch with one NaN."""
    batch = random_batch(agent)
    batch[key][1, 2] = float("nan")
    return batch


def spoil_actor(agent):
    """Make the actor's loss infinite; in V2, the model has taken its step by then."""
    agent.scales["actor"] = float("inf")
    return random_batch(agent)


def spoil_gradient(agent):
    """Make the critic's gradient infinite; the losses stay finite."""
    agent.behavior.critic.register_forward_hook(burn)
    return random_batch(agent)


def burn(module, args, out):
    if out.requires_grad:
        out.register_hook(lambda grad: grad * float("inf"))


CASES = [(poisoned, "loss/state"), (spoil_actor, "loss/actor"), (spoil_gradient, "grad/critic")]


@pytest.mark.parametrize(("spoil", "name"), CASES)
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_a_skipped_update_leaves_the_agent_as_it_was(algo, spoil, name):
    agent = make(algo, image=False, reward_norm__use="StreamNorm", reward_norm__momentum=0.9)
    agent.update(random_batch(agent), 0)
    before = snapshot(agent)
    with pytest.raises(NonFiniteError) as error:
        agent.update(spoil(agent), 0)
    assert name in error.value.names
    assert ("loss/critic" in error.value.names) <= (name != "grad/critic")
    assert same(snapshot(agent), before)


@pytest.mark.parametrize("algo", ["v2", "v3"])
def test_the_next_update_is_what_it_would_have_been(algo):
    agents = [make(algo, image=False) for _ in range(2)]
    for agent, skips in zip(agents, (False, True), strict=True):
        if skips:
            with pytest.raises(NonFiniteError):
                agent.update(poisoned(agent), 0)
        torch.manual_seed(5)
        agent.update(random_batch(agent), 0)
    assert same(*map(snapshot, agents))
    assert not same(snapshot(agents[0]), snapshot(make(algo, image=False)))


def test_only_the_stage_where_it_begins_is_named():
    agent = make("v2", image=False)
    with pytest.raises(NonFiniteError) as error:
        agent.update(poisoned(agent, "reward"), 0)
    assert error.value.names == ["loss/reward", "grad/model"]
