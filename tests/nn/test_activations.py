"""Activations that are computed again: the same results, and fewer tensors kept for the backward pass."""

import functools

import pytest
import torch

import dreamer
from common.nn import activations
from common.nn.compile import Compiler
from common.nn.nets import MLP, Style, frozen
from tests.agent.test_matrix import build
from tests.helpers.fakes import random_batch


def make(algo, recompute, flags=None, kind="box", image=True):
    flags = {"run.precision": "fp32", "run.recompute_activations": recompute, **(flags or {})}
    return build(dreamer.resolve(algo, ["debug"], flags), kind, image)


def gradients(agent):
    """Return all gradients of one update by group, and the random number that follows it."""
    torch.manual_seed(1)
    batch, found, differentiate = agent.to_tensors(random_batch(agent)), {}, agent.optim.differentiate

    def record(*args):
        norms, grads = differentiate(*args)
        found.update({name: [x.clone() for x in values] for name, values in grads.items()})
        return norms, grads

    agent.optim.differentiate = record
    agent.run_order(batch, 0, agent.noise(*batch["reward"].shape))
    return found, torch.rand(1)


@pytest.mark.parametrize(
    ("algo", "flags", "kind"),
    [
        ("v1", {}, "box"),
        ("v2", {"rssm.ensemble": 2}, "discrete"),
        ("v3", {}, "discrete"),
        ("v3-2023", {}, "box"),
        pytest.param("v3", {"explore.use": "Plan2Explore"}, "box", marks=pytest.mark.long),
        pytest.param("v2", {"run.precision": "bf16"}, "box", marks=pytest.mark.long),
    ],
)
def test_gradients_are_the_same_to_the_last_bit(algo, flags, kind):
    (kept, one), (computed, two) = (gradients(make(algo, on, flags, kind)) for on in (False, True))
    assert kept.keys() == computed.keys()
    for name in kept:
        assert all(torch.equal(a, b) for a, b in zip(kept[name], computed[name], strict=True)), name
    assert torch.equal(one, two)


def bytes_kept(agent):
    """Return the bytes of all tensors that an update keeps for its backward pass."""
    storages = {}

    def keep(x):
        if not isinstance(x, torch.nn.Parameter):
            storages[x.untyped_storage().data_ptr()] = x
        return x

    batch = agent.to_tensors(random_batch(agent))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        losses, states, _ = agent.model_losses(batch, agent.noise(*batch["reward"].shape))
    del states, losses
    return sum(x.untyped_storage().nbytes() for x in storages.values())


def test_less_is_kept():
    kept, computed = (bytes_kept(make("v3", on)) for on in (False, True))
    assert computed < kept / 2


def test_a_network_that_was_frozen_in_the_forward_pass_is_frozen_again():
    torch.manual_seed(0)
    net = MLP(3, Style(), layers=2, units=4)
    activations.use_activations(net, activations.RecomputeActivations())
    x = torch.randn(5, 3, requires_grad=True)
    with frozen(net):
        out = net(x).sum()
    (slope,) = torch.autograd.grad(out, x)
    activations.use_activations(net, activations.KEEP)
    assert torch.equal(slope, torch.autograd.grad(net(x).sum(), x)[0])
    assert all(p.requires_grad for p in net.parameters())


@pytest.mark.long
def test_traced_functions_are_computed_again(monkeypatch):
    """Every stage of the compiler except the code in C++; the compiler itself decides inside its functions."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager_decomp_partition"))
    found = []
    for on in (False, True):
        agent = make("v3", on, {"imagination.horizon": 2})
        agent.compiler = Compiler(fallback=False)
        found.append(gradients(agent)[0])
        assert agent.compiler.compiled
    for name in found[0]:
        pairs = zip(found[0][name], found[1][name], strict=True)
        assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-7) for a, b in pairs), name
