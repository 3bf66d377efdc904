"""Initial values, sizes, and numbers that stay finite."""

import math

import numpy as np
import pytest
import torch

import dreamer
from common.errors import UserError
from common.nn.nets import BlockLinear, Linear, Style, conv, init_weight
from tests.helpers.fakes import random_batch
from tests.semantics.tools import Pipeline, load, make

# Initialisation


@pytest.mark.parametrize(
    ("init", "bound", "std"),
    [
        ("fan_in", 2 * 1.1368 / math.sqrt(600), 1 / math.sqrt(600)),
        ("fan_avg", 2 / math.sqrt(500) / 0.87962566, 1 / math.sqrt(500)),
        ("glorot", math.sqrt(6 / 1000), math.sqrt(2 / 1000)),
    ],
)
def test_weights_have_the_nominal_spread_and_bounds(init, bound, std):
    torch.manual_seed(0)
    weight = init_weight(torch.empty(400, 600), 600, 400, init)
    assert weight.abs().max() <= bound * (1 + 1e-6)
    assert weight.abs().max() > 0.99 * bound
    assert weight.std() == pytest.approx(std, rel=0.01)
    assert weight.mean().abs() < 0.02 * std


@pytest.mark.parametrize(
    ("module", "fan_in"),
    [
        (lambda: Linear(300, 200, "fan_in"), 300),
        (lambda: BlockLinear(320, 400, 8), 320),  # the full width, not that of a block
        (lambda: conv(32, 48, 5, style=Style(init="fan_in")), 32 * 25),
        (lambda: conv(32, 48, 4, style=Style(init="fan_in"), kind=torch.nn.ConvTranspose2d), 32 * 16),
    ],
)
def test_every_kind_of_layer_uses_its_fan_in(module, fan_in):
    torch.manual_seed(0)
    module = module()
    assert module.weight.std().item() == pytest.approx(1 / math.sqrt(fan_in), rel=0.03)
    assert not module.bias.any()


@pytest.mark.parametrize("algo", ["v3", "v3-2023"])
def test_first_predictions_of_reward_and_value_are_exactly_zero(algo):
    agent = make(algo, noisy=False, reward__bins=255, critic__bins=255)
    feat, target = torch.randn(50, agent.world.rssm.feat_size), torch.randn(50)
    for head in (agent.world.reward, agent.behavior.critic):
        assert not head.pred(feat).any()
        torch.testing.assert_close(head.loss(feat, target), torch.full((50,), math.log(255)))


# Finite numbers


def check_finite(agent, batches):
    for step, batch in enumerate(batches):
        metrics, _ = agent.update(batch, step)
        assert all(torch.isfinite(x) for x in metrics.values()), (step, metrics)
    assert all(p.isfinite().all() for p in agent.parameters())


@pytest.mark.parametrize("kind", ["box", "discrete"])
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_losses_and_gradients_of_huge_inputs_are_finite(algo, kind):
    agent = make(algo, kind, optim__warmup=0)
    batch = random_batch(agent)
    huge = {key: x * np.float32(100) if key in ("state", "height", "reward") else x for key, x in batch.items()}
    if kind == "box":
        huge["prev_action"] = huge["prev_action"] * np.float32(100)
    check_finite(agent, [huge] * 5)


@pytest.mark.parametrize("advantage", ["Unscaled", "PercentileReturnNorm", "AdvantageNorm"])
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_statistics_without_variance_stay_finite(algo, advantage):
    """A world that never changes, with heads that start at zero."""
    agent = make(algo, "discrete", noisy=False, advantage__use=advantage, optim__warmup=0)
    batch = random_batch(agent)
    for key in ("state", "height"):
        batch[key] = np.full_like(batch[key], 0.5)
    for key in ("reward", "is_first", "is_last", "is_terminal"):
        batch[key] = np.zeros_like(batch[key])
    batch["prev_action"][:] = [1, 0, 0]
    check_finite(agent, [batch] * 30)


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_a_thousand_equal_steps_are_learned_from(algo):
    """Constant observations through the whole pipeline."""
    pipe = Pipeline(load(algo, task="tests.semantics.still:Still", optim__warmup=0)).collect(1000)
    check_finite(pipe.agent, [pipe.sample() for _ in range(20)])


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_sequences_too_short_for_a_loss_are_refused(algo):
    least = 2 if algo in ("v1", "v2") else 1
    words = ">= 2, got 1" if least == 2 else "must be at least 1, got 0"
    with pytest.raises(UserError, match=f"imagination.horizon {words}"):
        make(algo, imagination__horizon=least - 1)
    check_finite(make(algo, imagination__horizon=least), [random_batch(make(algo))])


def test_a_value_of_replayed_steps_needs_two():
    with pytest.raises(UserError, match="batch_length must be at least 2"):
        make("v3", batch_length=1)
    make("v2", batch_length=1)
    with pytest.raises(UserError, match="batch_length must be at least 2"):
        make("v2", batch_length=1, imagination__drop_last=1)
