"""Closure: recipe a with the resolved config of b is b, bit for bit, so versions differ in their configs only."""

import itertools

import pytest
import torch

import dreamer
from common.agent.agent import Agent
from common.config import config as configs
from tests.helpers.fakes import action_space, obs_space, random_batch

PAIRS = list(itertools.permutations(dreamer.ALGOS, 2))


def losses(config, discrete):
    torch.manual_seed(0)
    agent = Agent(obs_space(), action_space("discrete" if discrete else "box"), config)
    runs = [agent.update(random_batch(agent, seed=i))[0] for i in range(3)]
    return [{key: value.item() for key, value in run.items()} for run in runs]


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_recipe_a_with_the_config_of_b_is_b(a, b):
    target = dreamer.resolve(b, ["debug"])
    through_flags = dreamer.resolve(a, ["debug"], configs.flatten(target))
    assert through_flags == target
    assert losses(through_flags, discrete=False) == losses(target, discrete=False)


@pytest.mark.parametrize(("a", "b"), [("v1", "v3"), ("v3", "v2")])
def test_closure_with_discrete_actions(a, b):
    target = dreamer.resolve(b, ["debug"])
    through_flags = dreamer.resolve(a, ["debug"], configs.flatten(target))
    assert losses(through_flags, discrete=True) == losses(target, discrete=True)


def test_versions_differ():
    runs = [losses(dreamer.resolve(algo, ["debug"]), discrete=False) for algo in dreamer.ALGOS]
    assert all(one != two for one, two in itertools.combinations(runs, 2))


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_same_seed_gives_identical_metrics(algo):
    config = dreamer.resolve(algo, ["debug"])
    assert losses(config, discrete=True) == losses(config, discrete=True)
