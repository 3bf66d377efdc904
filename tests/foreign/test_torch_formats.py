"""Checkpoints that PyTorch projects wrote with their own code give the same numbers here, and continue to train."""

import copy
import functools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from common.deploy.policy import load
from common.foreign.formats import format_module
from tests.foreign import numbers
from tests.helpers.fakes import random_batch

GROUPS = {"latent.stoch": 3}  # one-hots of the states; no file shows their number
#: Name -> format, file, config keys to type, arrays that are left over.
CASES = {
    "dreamerv3-torch image": ("dreamerv3-torch", "dreamerv3-torch/both.pt", GROUPS, []),
    "dreamerv3-torch vector": ("dreamerv3-torch", "dreamerv3-torch/vector.pt", GROUPS, []),
    "r2dreamer image": ("r2dreamer", "r2dreamer/both.pt", GROUPS, []),
    "r2dreamer vector": ("r2dreamer", "r2dreamer/vector.pt", GROUPS, ["prj.w.weight"]),
    "pydreamer gru": ("pydreamer", "pydreamer/gru.pt", GROUPS, ["probe_model.dummy"]),
    "pydreamer dv2": ("pydreamer", "pydreamer/dv2.pt", GROUPS, ["probe_model.dummy"]),
    "esteveste": ("esteveste", "esteveste/image.pt", GROUPS, []),
    "sheeprl-v1 image": ("sheeprl-v1", "sheeprl-v1/both.ckpt", {}, []),
    "sheeprl-v1 vector": ("sheeprl-v1", "sheeprl-v1/vector.ckpt", {}, []),
    "sheeprl-v2 image": ("sheeprl-v2", "sheeprl-v2/both.ckpt", GROUPS, []),
    "sheeprl-v2 vector": ("sheeprl-v2", "sheeprl-v2/vector.ckpt", GROUPS, []),
    "sheeprl-v3 image": ("sheeprl-v3", "sheeprl-v3/both.ckpt", GROUPS, []),
    "sheeprl-v3 vector": ("sheeprl-v3", "sheeprl-v3/vector.ckpt", GROUPS, []),
}
every = pytest.mark.parametrize("name", CASES)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A function that imports a case once: its name -> logdir, source, what was imported."""

    @functools.cache
    def made(name):
        form, file, given, _ = CASES[name]
        logdir = tmp_path_factory.mktemp("runs") / "run"
        source = numbers.read(form, file, given)
        return SimpleNamespace(logdir=logdir, source=source, made=numbers.imported(form, source, logdir))

    return made


@every
def test_every_network_computes_what_the_foreign_code_computed(name, runs):
    inputs, expected = numbers.stored(CASES[name][1])
    found = numbers.computed(runs(name).made.agent, inputs)
    assert set(expected) <= set(found)
    for key, array in expected.items():
        np.testing.assert_allclose(found[key][: len(array)], array, rtol=1e-5, atol=1e-5, err_msg=key)


@every
def test_every_tensor_is_mapped_or_listed(name, runs):
    case = runs(name)
    fit, left_over = case.made.fit, CASES[name][3]
    assert [line.split()[0] for line in fit.left_over] == left_over
    assert len(fit.mapped) + len(left_over) == len(case.source.tensors)
    assert bool(fit.fresh) == (name == "r2dreamer vector")  # trained without a decoder
    assert all(parameter.startswith("world.decoder.") for parameter in fit.fresh)


@every
def test_the_optimiser_continues_with_the_moments_of_the_file(name, runs):
    case = runs(name)
    agent, moments, module = case.made.agent, case.source.moments, format_module(CASES[name][0])
    if name == "esteveste":
        assert moments is None  # its file has weights only
        return
    slots = module.slots(agent, case.source, {key: key for key in module.describe(case.source).observation})
    trained = [key for key in moments.mu if key in slots]
    assert sum(bool(moments.nu[key].count_nonzero()) for key in trained) > 0.7 * len(trained)
    places = {id(p): (group, i) for group, params in agent.groups().items() for i, p in enumerate(params)}
    for key in trained:
        for kind, theirs in (("mu", moments.mu), ("nu", moments.nu)):
            found = [agent.optim.slots[group][kind][i] for group, i in (places[id(p)] for p in slots[key].params)]
            torch.testing.assert_close(slots[key].arranged(found), theirs[key], rtol=1e-6, atol=0)
    assert len(trained) == len(moments.mu) - len(CASES[name][3]) == case.made.fit.with_moments
    assert {group: slot["t"] for group, slot in agent.optim.slots.items()} == {"model": 3, "actor": 3, "critic": 3}


@every
def test_the_run_can_be_loaded_and_acts(name, runs):
    case = runs(name)
    policy = load(case.logdir)
    action, state = policy({key: box.sample() for key, box in policy.spaces.observation.items()})
    assert np.shape(action) == policy.spaces.action.shape
    assert state["deter"].shape == (1, case.made.config["rssm"]["deter"])


@every
def test_an_update_trains_every_group(name, runs):
    agent = copy.deepcopy(runs(name).made.agent)
    before = {group: [p.clone() for p in params] for group, params in agent.groups().items()}
    steps = agent.optim.slots["model"]["t"]
    agent.update(random_batch(agent))
    for group, params in agent.groups().items():
        assert any(not torch.equal(old, new) for old, new in zip(before[group], params, strict=True)), group
        assert agent.optim.slots[group]["t"] == steps + 1
