"""FLOPs counted from a config equal those that torch counts when an update runs."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import dreamer
from common.agent import cost
from common.agent.agent import Agent
from common.nn.layer_cost import LayerCost
from tests.helpers.fakes import action_space, obs_space, random_batch

SIZE = {"batch_size": 4, "batch_length": 10}

#: Not counted: the kernels of convolutions that double an image, and a learned initial state.
TOLERANCE = 0.01


def ran(config, spaces):
    """FLOPs that torch counts in one update."""
    agent = Agent(*spaces, config)
    batch = random_batch(agent, config["batch_size"], config["batch_length"])
    with FlopCounterMode(display=False) as counter:
        agent.update(batch)
    return counter.get_total_flops()


@pytest.mark.parametrize("algo", dreamer.ALGOS)
@pytest.mark.parametrize("kind", ["box", "discrete"])
@pytest.mark.parametrize("image", [False, True], ids=["vector", "image"])
def test_flops_of_an_update(algo, kind, image):
    config, spaces = dreamer.resolve(algo, ["debug"], SIZE), (obs_space(image, not image), action_space(kind))
    assert cost.update_cost(config, *spaces).flops == pytest.approx(ran(config, spaces), rel=TOLERANCE)


@pytest.mark.parametrize(
    ("algo", "flags"),
    [
        ("v1", {"grad_cont.use": "Mixed"}),
        ("v1", {"cell.use": "BlockGRU", "cell.blocks": 4, "con.use": "SoftContinue"}),
        ("v1", {"actor.entropy": 1e-3, "imagination.last": 3}),
        ("v2", {"rssm.ensemble": 3, "rssm.prior_layers": 2}),
        ("v2", {"slow.use": "NoSlow", "imagination.drop_last": 1}),
        ("v3", {"model_grads.reward": False, "model_grads.con": False, "model_grads.rec": False}),
        ("v3", {"replay_value.grad": False}),
        ("v3", {"replay_value.use": "NoReplayValue", "imagination.last": 2, "slow.use": "NoSlow"}),
        ("v3", {"grad_cont.use": "DynamicsGradient", "cell.layers": 2}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_flops_follow_the_switches(algo, flags):
    config, spaces = dreamer.resolve(algo, ["debug"], SIZE | flags), (obs_space(image=False), action_space("box"))
    assert cost.update_cost(config, *spaces).flops == pytest.approx(ran(config, spaces), rel=TOLERANCE)


@pytest.mark.parametrize("algo", dreamer.ALGOS)
@pytest.mark.parametrize("extr", [0.0, 0.5])
def test_flops_of_exploration(algo, extr):
    flags = SIZE | {"explore.use": "Plan2Explore", "explore.extr_scale": extr}
    config, spaces = dreamer.resolve(algo, ["debug"], flags), (obs_space(image=False), action_space("box"))
    counted = cost.update_cost(config, *spaces)
    assert counted.flops == pytest.approx(ran(config, spaces), rel=TOLERANCE)
    assert counted.parameters == Agent(*spaces, config).parameter_table()


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_forward_flops_of_each_network(algo):
    config, spaces = dreamer.resolve(algo, ["debug"], SIZE), (obs_space(), action_space("discrete"))
    passes = {p.name: p for p in cost.update_cost(config, *spaces).passes}
    agent = Agent(*spaces, config)
    batch = agent.to_tensors(random_batch(agent, 4, 10))
    world, feat = agent.world, torch.zeros(4, 10, agent.world.rssm.feat_size)
    state = world.rssm.initial(40).apply(lambda x: x.detach().unflatten(0, (4, 10)))
    calls = {
        "encoder": lambda: world.encoder(batch),
        "decoder": lambda: world.decoder(state),
        "reward": lambda: world.reward(feat),
        "actor": lambda: agent.behavior.actor(feat),
        "critic": lambda: agent.behavior.critic(feat),
    }
    for name, call in calls.items():
        with FlopCounterMode(display=False) as counter:
            call()
        expected = counter.get_total_flops() / 40
        assert passes[name].forward / passes[name].positions == pytest.approx(expected, rel=0.01), name


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_parameters_are_those_of_the_agent(algo):
    config, spaces = dreamer.resolve(algo, ["debug"]), (obs_space(), action_space("multi"))
    assert cost.update_cost(config, *spaces).parameters == Agent(*spaces, config).parameter_table()


@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_every_matrix_is_counted(algo):
    """A layer that is applied in another way than by calling it would be missed."""
    config, spaces = dreamer.resolve(algo, ["debug"], {"rssm.ensemble": 2}), (obs_space(), action_space("box"))
    passes = {p.name: p for p in cost.update_cost(config, *spaces).passes}
    agent = Agent(*spaces, config)
    rssm = agent.world.rssm
    modules = {"encoder": [agent.world.encoder], "observe": [rssm.cell, rssm.post], "prior": [rssm.priors]}
    modules |= {"decoder": [agent.world.decoder], "reward": [agent.world.reward], "actor": [agent.behavior.actor]}
    for name, parts in modules.items():
        matrices = [p.numel() for part in parts for p in part.parameters() if p.ndim > 1]
        assert sum(layer.weights for layer in passes[name].layers) == sum(matrices), name


def test_counting_the_largest_agent_computes_nothing():
    before = torch.get_rng_state()
    counted = cost.update_cost(dreamer.resolve("v3", ["size400m"]), obs_space(vector=False), action_space("discrete"))
    assert sum(counted.parameters.values()) > 300e6
    assert counted.flops > 1e13
    assert torch.equal(torch.get_rng_state(), before)


def notes(algo, kind):
    config = dreamer.resolve(algo, ["debug"])
    return {p.name: p.note() for p in cost.update_cost(config, obs_space(), action_space(kind)).passes}


def test_notes_say_what_runs_without_autograd():
    without = notes("v3", "box")
    assert {n for n, note in without.items() if note == "forward only"} == {
        "policy", "dynamics", "rewards", "continues", "values", "slow critic",
    }  # fmt: skip
    through = notes("v1", "box")
    assert through["dynamics"] == through["values"] == "no gradients of weights"
    assert through["policy"] == through["encoder"] == "no gradient of the input"
    assert through["actor"] == "forward only"  # it has no entropy bonus, so only statistics are taken there


def test_bytes_are_counted_as_documented():
    first = LayerCost(flops=20, grad=20, outputs=5, weights=10, first=True)
    layers = [first, LayerCost(flops=10, grad=12, outputs=1, weights=5)]
    trained = cost.ModulePass("part", "name", layers, positions=100, weights=True, inputs="inner")
    assert (trained.forward, trained.weight_grads, trained.input_grads) == (3000, 3200, 1200)
    assert trained.bytes(4) == 2 * 15 * 4 + 5 * 600 * 4
    frozen = cost.ModulePass("part", "name", layers, positions=100)
    assert (frozen.flops, frozen.bytes(2)) == (3000, 15 * 4 + 2 * 600 * 2)
    both = cost.UpdateCost({"net": 15}, 15, [trained, frozen], 4)
    assert both.bytes == trained.bytes(4) + frozen.bytes(4) + 15 * 4 * (3 + 6) + 15 * 4 * 3
    assert both.flops == trained.flops + 3000


def test_half_precision_halves_activations_only():
    config, spaces = dreamer.resolve("v3", ["debug"]), (obs_space(), action_space("box"))
    full, half = (cost.update_cost(config, *spaces, half=half) for half in (False, True))
    assert full.flops == half.flops
    assert 0.5 < half.bytes / full.bytes < 1
