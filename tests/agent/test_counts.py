"""Sizes of the official networks of V1 and V2, and how their parameters begin."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

import dreamer
from common.agent.agent import Agent
from common.nn.nets import LayerNorm

#: Official numbers of parameters: version, block, image channels, actions -> module -> count.
COUNTS = {
    ("v1", "dmc_vision", 3, 6): {
        "encoder": 690_144,
        "rssm": 557_920,
        "decoder": 3_795_555,
        "reward": 253_201,
        "con": 0,
        "critic": 413_601,
        "actor": 578_412,
    },
    ("v1", "atari", 3, 18): {
        "encoder": 690_144,
        "rssm": 560_320,
        "decoder": 3_795_555,
        "reward": 253_201,
        "con": 413_601,
        "critic": 413_601,
        "actor": 580_818,
    },
    ("v2", "dmc_vision", 3, 6): {
        "encoder": 1_551_312,
        "rssm": 1_247_248,
        "decoder": 9_886_611,
        "reward": 971_601,
        "con": 0,
        "critic": 971_601,
        "actor": 976_012,
    },
    ("v2", "atari", 1, 18): {
        "encoder": 1_549_776,
        "rssm": 5_664_848,
        "decoder": 10_497_553,
        "reward": 1_131_601,
        "con": 1_131_601,
        "critic": 1_131_601,
        "actor": 1_138_418,
    },
}

#: Totals of the world model, the sums of the above.
WORLDS = {
    ("v1", "dmc_vision", 3, 6): 5_296_820,
    ("v1", "atari", 3, 18): 5_712_821,
    ("v2", "dmc_vision", 3, 6): 13_656_772,
    ("v2", "atari", 1, 18): 19_975_379,
}


def make(version, block, channels, actions, **flags):
    image = spaces.Box(0, 255, (64, 64, channels), np.uint8)
    action = spaces.Discrete(actions) if block == "atari" else spaces.Box(-1, 1, (actions,))
    return Agent(spaces.Dict({"image": image}), action, dreamer.resolve(version, [block], flags))


@pytest.mark.parametrize("setting", COUNTS, ids=lambda setting: "-".join(map(str, setting)))
def test_parameter_counts(setting):
    agent = make(*setting)
    assert agent.parameter_table() == COUNTS[setting]
    assert sum(p.numel() for p in agent.world.parameters()) == WORLDS[setting]
    assert sum(p.numel() for group in agent.groups().values() for p in group) == sum(COUNTS[setting].values())


@pytest.fixture(scope="module", params=["v1", "v2"])
def agent(request):
    torch.manual_seed(0)
    return make(request.param, "dmc_vision", 3, 6)


def kernels(agent):
    """Weights that begin Glorot uniform, with their fans."""
    for module in agent.modules():
        if isinstance(module, nn.Linear):
            yield module.weight, module.in_features, module.out_features
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            area = math.prod(module.kernel_size)
            yield module.weight, module.in_channels * area, module.out_channels * area
        elif isinstance(module, nn.GRUCell):
            yield module.weight_ih, module.input_size, 3 * module.hidden_size


def test_kernels_begin_glorot_uniform(agent):
    """Uniform in +-sqrt(6 / (in + out)): the whole range is used, and the variance is a third of its square."""
    found = list(kernels(agent))
    assert len(found) > 20
    for weight, inp, out in found:
        bound = math.sqrt(6 / (inp + out))
        assert weight.abs().max() <= bound
        if weight.numel() >= 1000:
            assert weight.abs().max() > 0.98 * bound
            assert weight.mean().abs() < 0.1 * bound
            assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_all_other_parameters_begin_trivial(agent):
    """Biases and shifts 0, scales 1."""
    ones = {id(module.scale) for module in agent.modules() if isinstance(module, LayerNorm)}
    random = {id(weight) for weight, _, _ in kernels(agent)}
    random |= {id(module.weight_hh) for module in agent.modules() if isinstance(module, nn.GRUCell)}
    rest = [p for p in agent.parameters() if id(p) not in random]
    assert rest
    for param in rest:
        assert (param == float(id(param) in ones)).all()


def test_recurrent_kernel_begins_orthogonal():
    cell = make("v1", "dmc_vision", 3, 6, **{"conv.depth": 1, "mlp.*.units": 8}).world.rssm.cell.gru
    eye = torch.eye(cell.hidden_size)
    assert torch.allclose(cell.weight_hh.t() @ cell.weight_hh, eye, atol=1e-5)
