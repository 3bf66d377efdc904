"""Updates in several processes equal those of one process on the whole batch, and no exchange can be left out."""

import numpy as np
import pytest
import torch

import dreamer
from common.agent.agent import Agent
from common.distributed.group import Group, buckets
from common.errors import NonFiniteError
from tests.helpers.fakes import action_space, obs_space, random_batch
from tests.helpers.rank_processes import in_ranks, share_of_batch, share_of_noise

ROWS, LENGTH = 5, 6
EXPLORE = {"explore.use": "Plan2Explore", "explore.models": 3}
TOLERANCE = 1e-5

#: V3's optimiser divides by the size of a gradient, and so makes steps of rounding errors with its eps of 1e-20.
LARGER_EPS = {"optim.eps": 1e-6}


def build(algo, flags):
    """A small agent that sees vectors, with continuous actions in V1 and discrete ones in the others."""
    torch.manual_seed(0)
    config = dreamer.resolve(algo, ["debug"], (LARGER_EPS if algo == "v3" else {}) | flags)
    return Agent(obs_space(image=False), action_space("box" if algo == "v1" else "discrete"), config)


def noises(agent, updates):
    """The randomness of the updates on the whole batch."""
    torch.manual_seed(1)
    return [agent.noise(ROWS, LENGTH) for _ in range(updates)]


def tensors(agent):
    """Weights, buffers and moments by name."""
    state = agent.state_dict()
    found = {key: value for key, value in state.items() if torch.is_tensor(value)}
    for group, slots in state["optim._extra_state"].items():
        found |= {f"{group}/{name}": torch.cat([x.flatten() for x in slots[name]]) for name in ("mu", "nu")}
    return {key: value.detach().clone().numpy() for key, value in found.items()}


def train(agent, updates, batch_of, noise_of):
    """Update; return losses and gradient norms of each update, or the names that were not finite, and the tensors."""
    found = []
    for number, noise in enumerate(noises(agent, updates)):
        try:
            metrics, _ = agent.update(
                batch_of(random_batch(agent, ROWS, LENGTH, seed=number), number), 0, noise_of(noise)
            )
        except NonFiniteError as error:
            found.append(error.names)
            continue
        found.append({key: float(value) for key, value in metrics.items() if key.startswith(("loss/", "grad/"))})
    return found, tensors(agent)


def alone(algo, flags, updates, change=lambda batch, number: batch):
    """Train in this process."""
    return train(build(algo, flags), updates, change, lambda noise: noise)


def on_share(group, algo, flags, updates, change=lambda batch, number: batch, plant=None):
    """Train on a rank's rows. plant: replaces a method of the group."""
    for name, method in (plant or {}).items():
        setattr(group, name, method.__get__(group) if callable(method) else method)
    share = lambda batch, number: share_of_batch(group, change(batch, number))
    return train(build(algo, flags), updates, share, lambda noise: share_of_noise(group, noise, ROWS))


def distance(one, other):
    """The largest difference of losses, norms and tensors, relative where they exceed 1."""
    pairs = [(a[key], b[key]) for a, b in zip(one[0], other[0], strict=True) for key in a]
    pairs += [(value, other[1][key]) for key, value in one[1].items() if value.size]
    return max(np.max(np.abs(a - b) / np.maximum(1, np.abs(a))) for a, b in pairs)


@pytest.mark.parametrize("rows", [(3, 2), pytest.param((2, 1, 1, 1), marks=pytest.mark.long)])
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_ranks_compute_what_one_process_computes(algo, rows):
    expected = alone(algo, {}, 20)
    results = in_ranks(rows, on_share, algo, {}, 20)
    assert distance(expected, results[0]) < TOLERANCE
    for _, state in results[1:]:  # the same bits on all ranks
        assert all(np.array_equal(value, state[key]) for key, value in results[0][1].items())


# Each exchange, in an agent in which it matters: settings, and what a faulty group does instead

UNIT = {"reward.use": "UnitNormal", "critic.use": "UnitNormal", "reward.outscale": 1.0, "critic.outscale": 1.0}
RETURNS = UNIT | {"advantage.rate": 0.5}  # returns of size 1 from the first update on
ADVANTAGE = {"advantage.use": "AdvantageNorm"} | RETURNS
FAULTS = {
    "gradients": ("v3", {}, {"reduce": lambda self, grads: None}),
    "weights": ("v3", {}, {"weight": 0.5}),
    "percentiles": ("v3", RETURNS, {"gather": lambda self, x: x}),
    "moments of advantages": ("v3", ADVANTAGE, {"mean": lambda self, x: x.mean()}),
    "scale of rewards": ("v2", {"reward_norm.momentum": 0.9}, {"mean": lambda self, x: x.mean()}),
    "second stage of V2": ("v2", {}, {"reduce": None}),
    "free nats of V1": ("v1", {}, {"mean": lambda self, x: x.mean()}),
    "free nats of V2": ("v2", {}, {"mean": lambda self, x: x.mean()}),
}


def reduce_the_model_only(self, grads):
    """Leave out every second call: V2's stage of the behaviour follows that of the model."""
    self.calls = getattr(self, "calls", 0) + 1
    if self.calls % 3 == 1:
        Group.reduce(self, grads)


def near_free_nats(algo):
    """Free nats just below the mean KL of the first batch: the mean of one rank is below them, of another above."""
    first = alone(algo, {"kl.free": 0.0}, 1)[0][0]
    name, scale = ("loss/kl", "kl.scale") if algo == "v1" else ("loss/dyn", "kl.dyn")
    return {"kl.free": 0.9999 * first[name], scale: 1.0}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_exchange_that_is_left_out_is_found(fault):
    algo, flags, plant = FAULTS[fault]
    if "free nats" in fault:
        flags = near_free_nats(algo)
    if plant == {"reduce": None}:
        plant = {"reduce": reduce_the_model_only}
    expected = alone(algo, flags, 2)
    sound = in_ranks((3, 2), on_share, algo, flags, 2)
    faulty = in_ranks((3, 2), on_share, algo, flags, 2, lambda batch, number: batch, plant)
    assert distance(expected, sound[0]) < TOLERANCE
    assert distance(expected, faulty[0]) > 10 * TOLERANCE


def spoil(batch, number):
    """Put a NaN into the last row of the second batch: one rank gets it."""
    if number == 1:
        batch["state"][-1, -1] = np.nan
    return batch


@pytest.mark.parametrize("algo", ["v2", "v3"])
def test_all_ranks_skip_an_update_that_is_not_finite_on_one(algo):
    expected = alone(algo, {}, 4, spoil)
    results = in_ranks((3, 2), on_share, algo, {}, 4, spoil)
    assert "loss/state" in expected[0][1]
    for found, _ in results:
        assert found[1] == expected[0][1]
    keep = lambda result: ([each for each in result[0] if isinstance(each, dict)], result[1])
    assert distance(keep(expected), keep(results[0])) < TOLERANCE
    assert all(np.array_equal(value, results[1][1][key]) for key, value in results[0][1].items())


def test_ranks_agree_about_exploration():
    expected = alone("v3", EXPLORE, 3)
    assert distance(expected, in_ranks((3, 2), on_share, "v3", EXPLORE, 3)[0]) < TOLERANCE


def test_buckets_hold_every_gradient_once_in_order():
    sizes = [3, 4, 9, 1, 1, 1]
    found = [[x.numel() for x in bucket] for bucket in buckets([torch.zeros(n) for n in sizes], most=7)]
    assert found == [[3, 4], [9], [1, 1, 1]]
