"""V3's networks: how many parameters, of which shapes, how they start, and that the first update keeps them."""

import functools
import json
import math
import pathlib

import numpy as np
import pytest
import torch
from gymnasium import spaces

import dreamer
from common.agent.agent import Agent
from common.foreign import danijar_v3_names as names_v3
from common.foreign.slots import under
from dreamer_v3.heads import SymexpTwohot
from tests.helpers.fakes import random_batch

SHAPES = json.loads((pathlib.Path(__file__).parents[1] / "golden/v3_param_shapes.json").read_text())

#: Official number of trained parameters: size -> by observations. The slow critic is not counted.
COUNTS = {
    "1m": {"img64": 686_846, "img96g": 769_762, "vec24": 640_867},
    "12m": {"img64": 10_494_158, "img96g": 11_808_850, "vec24": 9_738_019},
    "25m": {"img64": 23_489_326, "img96g": 26_444_402, "vec24": 21_782_947},
    "50m": {"img64": 41_650_062, "img96g": 46_900_882, "vec24": 38_612_003},
    "100m": {"img64": 93_468_238, "img96g": 105_276_626, "vec24": 86_622_499},
    "200m": {"img64": 165_948_686, "img96g": 186_936_082, "vec24": 153_769_507},
    "400m": {"img64": 372_896_398, "img96g": 420_106_130, "vec24": 345_473_059},
}

#: The V3 of 2023 with color images and 6 discrete actions: size -> trained parameters, millions in the paper's table.
COUNTS_2023 = {
    "xsmall": (8_262_440, 8),
    "small": (17_922_952, 18),
    "medium": (36_896_456, 37),
    "large": (76_748_808, 77),
    "xlarge": (200_721_032, 200),
}
#: Counts of S that another implementation of the V3 of 2023 lists.
SMALL_2023 = {"world": 15_687_811, "actor": 1_053_702, "critic": 1_181_439}


def spaces_of(kind):
    """A color image, a gray one, or vectors; with 6 continuous or 18 discrete actions."""
    image = lambda *shape: {"image": spaces.Box(0, 255, shape, np.uint8)}
    vectors = {"orientations": (14,), "height": (), "velocity": (9,)}
    obs = {
        "img64": image(64, 64, 3),
        "img96g": image(96, 96, 1),
        "vec24": {key: spaces.Box(-9, 9, shape, np.float32) for key, shape in vectors.items()},
    }[kind]
    return spaces.Dict(obs), spaces.Discrete(18) if kind == "img96g" else spaces.Box(-1, 1, (6,), np.float32)


def make_agent(size, kind, device="cpu", flags=None):
    """On the meta device nothing is allocated or drawn."""
    with torch.device(device):
        return Agent(*spaces_of(kind), dreamer.resolve("v3", [f"size{size}"], flags), device)


@functools.cache
def small_agent(kind="img64"):
    torch.manual_seed(0)
    return make_agent("1m", kind)


def arrays(agent):
    """Official name -> array in the official layout."""
    modules = names_v3.agent(agent).items()
    slots = {name: slot for module, group in modules for name, slot in under(module, group).items()}
    return {name: slot.arranged() for name, slot in slots.items()}


@pytest.mark.parametrize("kind", ["img64", "img96g", "vec24"])
@pytest.mark.parametrize("size", COUNTS)
def test_count(size, kind):
    agent = make_agent(size, kind, "meta")
    assert sum(agent.parameter_table().values()) == COUNTS[size][kind]
    assert sum(p.numel() for group in agent.groups().values() for p in group) == COUNTS[size][kind]


@pytest.mark.parametrize("size", COUNTS_2023)
def test_count_of_2023(size):
    with torch.device("meta"):
        agent = Agent(
            spaces_of("img64")[0], spaces.Discrete(6), dreamer.resolve("v3-2023", [size]), torch.device("meta")
        )
    table = agent.parameter_table()
    total, millions = COUNTS_2023[size]
    assert sum(table.values()) == total
    assert total / 1e6 == pytest.approx(millions, abs=1)
    if size == "small":
        world = sum(count for name, count in table.items() if name not in ("actor", "critic"))
        assert {"world": world, "actor": table["actor"], "critic": table["critic"]} == SMALL_2023


@pytest.mark.parametrize("case", SHAPES)
def test_shapes(case):
    found = {name: list(array.shape) for name, array in arrays(make_agent(*case.split("/"), "meta")).items()}
    assert found == SHAPES[case]


def test_the_default_sizes_are_the_published_ones():
    assert dreamer.resolve("v3") == dreamer.resolve("v3", ["size200m"])
    assert dreamer.resolve("v3-2023") == dreamer.resolve("v3-2023", ["xlarge"])


@pytest.mark.parametrize("kind", ["img64", "img96g", "vec24"])
def test_initial_kernels(kind):
    """Truncated normal of variance 1 / fan-in, cut at 2 sigma; the fan-in of a block layer is its full input."""
    outscale = {"rew/head": 0.0, "val/head": 0.0, "pol/head": 0.01}
    for name, array in arrays(small_agent(kind)).items():
        if name.endswith("/kernel"):
            scale = outscale.get("/".join(name.split("/")[:2]), 1.0) * math.sqrt(1 / math.prod(array.shape[:-1]))
            assert array.abs().max() <= 2 * 1.1368 * scale * (1 + 1e-6), name
            assert array.std(correction=0).item() == pytest.approx(scale, rel=4 / math.sqrt(array.numel())), name
        else:
            assert (array == (1.0 if name.endswith("/scale") else 0.0)).all(), name


def test_truncation_is_at_two_sigma():
    """The largest of many draws is close to the bound."""
    array = arrays(small_agent())["dyn/dynhid0/kernel"]
    assert array.abs().max() * math.sqrt(math.prod(array.shape[:-1])) > 1.99 * 1.1368


def test_zero_heads():
    """Reward, value and slow value start at exactly 0, with the loss of a uniform guess."""
    agent = small_agent()
    feat = torch.randn(50, agent.world.rssm.feat_size)
    for head in (agent.world.reward, agent.behavior.critic, agent.behavior.slow.slow):
        assert isinstance(head.dist, SymexpTwohot)
        assert (head.pred(feat) == 0).all()
        assert head.loss(feat, torch.linspace(-1e9, 1e9, 50)).tolist() == pytest.approx([math.log(255)] * 50, rel=1e-6)


def test_first_update_keeps_parameters():
    """Warm-up begins at a learning rate of 0; the second update changes every network."""
    torch.manual_seed(0)
    agent = make_agent("1m", "vec24", flags={"imagination.horizon": 3, "rssm.deter": 64})
    modules = {name: getattr(agent.world, name) for name in ("encoder", "rssm", "decoder", "reward", "con")}
    modules |= {"actor": agent.behavior.actor, "critic": agent.behavior.critic, "slow": agent.behavior.slow}
    flat = lambda: {name: torch.nn.utils.parameters_to_vector(m.parameters()) for name, m in modules.items()}
    batch, before = random_batch(agent), flat()
    agent.update(batch)
    assert all(torch.equal(new, before[name]) for name, new in flat().items())
    agent.update(batch)
    assert not any(torch.equal(new, before[name]) for name, new in flat().items())
