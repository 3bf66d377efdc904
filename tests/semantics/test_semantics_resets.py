"""No state, previous action or gradient crosses from one episode into the next."""

import numpy as np
import pytest
import torch

import dreamer
from common.agent.rssm import LatentState
from tests.helpers.fakes import random_actions, random_batch
from tests.semantics.tools import make

TAIL, LENGTH = 3, 7


def joined(agent):
    """[tail of A, B] with a nonzero action at the boundary, as tensors; the last step of A is an end."""
    batch = random_batch(agent, size=3, length=LENGTH)
    for key in ("is_first", "is_last", "is_terminal"):
        batch[key][:] = False
    batch["is_first"][:, TAIL] = batch["is_last"][:, TAIL - 1] = True
    batch["prev_action"] = random_actions(agent, (3, LENGTH), np.random.default_rng(1))
    return agent.to_tensors(batch)


def alone(batch):
    """[B] with no action before it, and no context."""
    rest = {key: x[:, TAIL:] for key, x in batch.items() if not key.startswith("context_")}
    rest["prev_action"] = rest["prev_action"].clone()
    rest["prev_action"][:, 0] = 0
    return rest


@pytest.mark.parametrize("kind", ["box", "discrete"])
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_an_episode_is_the_same_with_another_before_it(algo, kind):
    agent = make(algo, kind, kl__where="element")
    batch, noise = joined(agent), agent.noise(3, LENGTH)["post"]
    with torch.no_grad():
        long, states, _ = agent.world.loss(batch, noise, agent.context(batch))
        short, fresh, _ = agent.world.loss(alone(batch), noise[TAIL:])
    for one, two in zip(states.apply(lambda x: x[:, TAIL:]), fresh, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-6)
    for name in long:
        torch.testing.assert_close(long[name][:, TAIL:], short[name], rtol=0, atol=1e-5, msg=name)


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_the_state_before_matters_where_no_episode_begins(algo):
    """Without the flag, A influences B."""
    agent = make(algo)
    batch, noise = joined(agent), agent.noise(3, LENGTH)["post"]
    batch["is_first"][:] = False
    with torch.no_grad():
        states = agent.world.loss(batch, noise)[1].apply(lambda x: x[:, TAIL:])
        fresh = agent.world.loss(alone(batch), noise[TAIL:])[1]
    assert not torch.allclose(states.deter, fresh.deter, atol=1e-3)


@pytest.mark.parametrize("kind", ["box", "discrete"])
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_no_gradient_crosses_into_the_episode_before(algo, kind):
    agent = make(algo, kind)
    batch, noise = joined(agent), agent.noise(3, LENGTH)["post"]
    start = LatentState(torch.randn(3, agent.world.rssm.deter), torch.randn(3, agent.latent.size))
    leaves = [batch[key].requires_grad_() for key in ("state", "height", "prev_action")] + list(start)
    for x in start:
        x.requires_grad_()
    states, post = agent.world.rssm.observe(
        agent.world.encoder(batch), batch["prev_action"], batch["is_first"], noise, start
    )
    out = states.feat[:, TAIL:].square().sum() + post[:, TAIL:].square().sum()
    grads = torch.autograd.grad(out, leaves, materialize_grads=True)
    for grad in grads[:3]:
        assert not grad[:, :TAIL].any()
        assert grad[:, TAIL + 1 :].any()
    assert not grads[2][:, TAIL].any()  # the action that led to the reset
    assert not any(grad.any() for grad in grads[3:])


@pytest.mark.parametrize("kind", ["box", "discrete"])
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_acting_forgets_only_in_the_environments_that_begin(algo, kind):
    agent = make(algo, kind)
    record = {key: x[:, 0] for key, x in random_batch(agent, size=3, length=LENGTH).items()}
    record["is_first"], record["is_last"] = [True, True, False], [False] * 3
    dirty = {key: torch.randn_like(x) for key, x in agent.initial(3).items()}
    clean = agent.initial(3)

    def deter(state):
        torch.manual_seed(0)
        return agent.act(record, state)[2]["deter"]

    one, two = deter(dirty), deter(clean)
    torch.testing.assert_close(one[:2], two[:2], rtol=0, atol=0)
    assert not torch.allclose(one[2], two[2], atol=1e-3)
