"""Every part of every seam keeps its contract: members, signatures, shapes, and its state survives save and load."""

import copy
import functools
import importlib
import inspect
import io
import json
import typing

import numpy as np
import pytest
import torch
from torch import nn

import dreamer
from common.agent.agent import Agent
from common.agent.heads import Head
from common.config import parts
from common.nn.nets import Style
from common.replay.ring import Ring, allocate_in_memory
from tests.helpers.fakes import action_space, obs_space, random_batch

B, T, H, D, Z, A, F = 2, 4, 3, 8, 6, 2, 12
SIZE, STYLE = (64, 64), Style()
PARTS = [(seam, path.split(":")[1]) for seam, paths in parts.PARTS.items() for path in paths]
each_part = pytest.mark.parametrize(("seam", "name"), PARTS, ids=map("-".join, PARTS))

#: Seam -> positional and keyword arguments with which the agent builds its parts; the others take options only.
ARGUMENTS = {
    "cell": ((Z, A, D, 8, STYLE), {}),
    "con": ((F, STYLE, 0.99), {"layers": 1, "units": 8}),
    "policy_disc": (([A],), {}),
}


def build(seam, name):
    """Build a part with its default options as the agent does."""
    args, extra = ARGUMENTS.get(seam, ((), {}))
    part = parts.build(seam, {"use": name}, *args, **extra)
    if seam == "slow":
        part.setup(critic())
    if seam == "optim":
        part.setup(groups(), parts.build("clip", {"use": "GlobalNorm"}))
    return part


def critic():
    return Head(F, parts.build("critic", {"use": "UnitNormal"}), STYLE, layers=1, units=8)


def groups():
    return {
        name: [nn.Parameter(torch.ones(3, 2)), nn.Parameter(torch.ones(3))] for name in ("model", "actor", "critic")
    }


def members(seam):
    """Members of a seam's protocol -> what it declares: a function, or None for an attribute."""
    module, name = parts.PROTOCOLS[seam].split(":")
    found = {}
    for base in getattr(importlib.import_module(module), name).__mro__:
        if base not in (typing.Protocol, typing.Generic, object):
            found = {**dict.fromkeys(base.__annotations__), **vars(base)} | found
    return {key: found[key] for key in found if key == "__call__" or not key.startswith("_")}


def parameters(function):
    """Name -> (kind, default) of a function's parameters."""
    found = inspect.signature(function).parameters.values()
    return {p.name: (p.kind, p.default) for p in found if p.name != "self"}


def test_every_seam_has_a_protocol():
    assert parts.PROTOCOLS.keys() == parts.PARTS.keys()


@each_part
def test_a_part_has_the_members_and_signatures_of_its_protocol(seam, name):
    part = build(seam, name)
    for member, declared in members(seam).items():
        assert hasattr(part, member), f"{name} lacks {member}"
        own = part.forward if member == "__call__" and isinstance(part, nn.Module) else getattr(part, member)
        if callable(declared) and not hasattr(nn.Module, member if member != "__call__" else ""):
            own, wanted = parameters(own), parameters(declared)
            assert list(own) == list(wanted), f"{name}.{member}"
            for key, (kind, default) in wanted.items():
                assert own[key][0] == kind, f"{name}.{member}: {key}"
                assert default in (inspect.Parameter.empty, own[key][1]), f"{name}.{member}: {key}"


@each_part
def test_every_option_of_a_part_has_a_default_that_a_config_can_hold(seam, name):
    given = ARGUMENTS.get(seam, ((), {}))[1]
    for parameter in inspect.signature(parts.find(seam, name)).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in given:
            assert parameter.default is not parameter.empty, parameter.name
    json.dumps(parts.options(parts.find(seam, name)))


@each_part
def test_a_part_computes_the_shapes_of_its_protocol(seam, name):
    torch.manual_seed(0)
    SHAPES[seam](build(seam, name))


@each_part
def test_the_state_of_a_part_survives_saving_and_loading(seam, name):
    torch.manual_seed(0)
    one, two = build(seam, name), build(seam, name)
    if isinstance(one, nn.Module):
        SHAPES[seam](one)
        two.load_state_dict(copy.deepcopy(one.state_dict()))
        torch.testing.assert_close(two.state_dict(), one.state_dict(), rtol=0, atol=0)
    elif hasattr(one, "restore"):
        SHAPES[seam](one)
        if seam == "sampler":  # restored after its ring
            SHAPES[seam](two)
        file = io.BytesIO()
        torch.save(one.state(), file)
        file.seek(0)
        two.restore(torch.load(file, weights_only=True))
        torch.testing.assert_close(two.state(), one.state(), rtol=0, atol=0, equal_nan=True)


# What each seam computes


def latent(part):
    params = torch.randn(B, T, part.params)
    stoch = part.sample(params, part.noise(B, T))
    assert stoch.shape == part.mode(params).shape == (B, T, part.size)
    assert part.kl(params, params).shape == part.entropy(params).shape == (B, T)
    assert part.information(params).ndim == 1
    torch.testing.assert_close(part.unpack(part.pack(stoch)), stoch)


def cell(part):
    assert part(torch.zeros(B, D), torch.zeros(B, Z), torch.zeros(B, A)).shape == (B, D)


def kl(part):
    gaussian = parts.build("latent", {"use": "Gaussian"})
    losses = part(gaussian, torch.randn(B, T, gaussian.params), torch.randn(B, T, gaussian.params))
    assert {name: loss.shape for name, loss in losses.items()} == dict.fromkeys(part.scales, (B, T))


def conv(part):
    part.check(SIZE)
    encoder, decoder = part.encoder(3, SIZE, STYLE), part.decoder(3, SIZE, D, Z, 8, STYLE)
    assert encoder(torch.zeros(1, 3, *SIZE)).shape == (1, encoder.size)
    assert decoder(torch.zeros(1, D), torch.zeros(1, Z)).shape == (1, 3, *SIZE)


def image(part):
    out, truth = torch.zeros(B, T, 4, 4, 3), torch.zeros(B, T, 4, 4, 3, dtype=torch.uint8)
    assert part.pred(out).shape == out.shape
    assert (part.pred(out) == 0.5).all()
    assert part.loss(out, truth).shape == (B, T)


def output(part):
    out = torch.zeros(B, T, part.size).squeeze(-1) if part.size == 1 else torch.zeros(B, T, part.size)
    target = torch.ones(B, T, requires_grad=True)
    assert part.pred(out).shape == part.loss(out, target).shape == (B, T)
    assert not part.loss(out, target).requires_grad


def con(part):
    feat, terminal = torch.randn(B, T, F), torch.zeros(B, T, dtype=torch.bool)
    losses = part.losses(feat, terminal)
    assert {name: loss.shape for name, loss in losses.items()} == dict.fromkeys(losses.keys() & {"con"}, (B, T))
    assert part.pred(feat).shape == part.start_discount(terminal).shape == (B, T)
    assert part.pred(feat).min() >= 0
    assert part.pred(feat).max() <= 1


def returns(part):
    reward, value, discount = torch.randn(B, H + 1), torch.randn(B, H + 1), torch.rand(B, H + 1)
    found = part(reward, value, discount, 1.0)
    assert found.ret.shape == (B, H)
    for at, ret, weight in (found[1:4], found[4:]):
        assert ret.shape == weight.shape == (B, len(range(H + 1)[at]))
        assert len(range(part.min_horizon + 1)[at]) > 0
    flags = torch.zeros(B, T, dtype=torch.bool)
    assert part.replay(torch.randn(B, T), flags, flags, torch.randn(B, T), 0.99).shape == (B, T - 1)
    head = build("con", "SoftContinue")
    assert part.first_con(torch.rand(B), head, torch.zeros(B, dtype=torch.bool), 0.99).shape == (B,)


def slow(part):
    head, feat = critic(), torch.randn(B, T, F)
    assert part.target(head, feat).shape == part.regularize(head, head(feat), feat).shape == (B, T)
    part.update(head)
    assert not any(p.requires_grad for p in part.parameters())


@functools.cache
def agent():
    torch.manual_seed(0)
    return Agent(obs_space(image=False), action_space("box"), dreamer.resolve("v3", ["debug"]))


def replay_value(part):
    batch = agent().to_tensors(random_batch(agent()))
    states = agent().world.loss(batch, agent().noise(3, 7)["post"])[1]
    losses = part(agent().behavior, states, batch, torch.randn(21, H))
    assert {name: loss.shape for name, loss in losses.items()} == dict.fromkeys(part.scales, (3, 6))
    assert part.trained_groups.keys() == part.scales.keys()


def policy(part):
    out = torch.randn(B, T, sum(part.widths(A)))
    action, noise = part.sample(out, part.noise(B, T, A)), part.noise(part.draws, B, T, A) if part.draws else None
    assert action.shape == part.mode(out, noise).shape == (B, T, A)
    assert part.log_prob(out, action.detach()).shape == part.entropy(out, noise).shape == (B, T)
    low, high = part.entropy_range(A)
    assert low < high


def policy_cont(part):
    policy(part)
    assert part.mean_action(torch.zeros(B, T, sum(part.widths(A)))).shape == (B, T, A)


def policy_disc(part):
    policy(part)
    assert [x.shape for x in part.logits(torch.zeros(B, T, A))] == [(B, T, A)]


def gradient(part):
    ret, logp = torch.randn(B, T, requires_grad=True), torch.randn(B, T, requires_grad=True)
    objective = part(build("advantage", "Unscaled"), ret, torch.zeros(B, T), logp, 0.5)
    assert objective.shape == (B, T)
    to_ret, to_logp = torch.autograd.grad(objective.sum(), [ret, logp], materialize_grads=True)
    assert bool(to_ret.any()) == part.through_model
    assert bool(to_logp.any()) == part.reads_logp


def advantage(part):
    x = torch.randn(B, T)
    part.update(5 * x + 1, 5 * x)
    assert part(x).shape == (B, T)


def reward_norm(part):
    assert part(torch.randn(B, H + 1)).shape == (B, H + 1)


def explore(part):
    for discrete in (None, build("policy_disc", "OneHot")):
        for mode in ("train", "eval"):
            assert part(torch.eye(A), discrete, mode, 0).shape == (A, A)


def order(part):
    batch, fresh = agent().to_tensors(random_batch(agent())), copy.deepcopy(agent())
    fresh.config["replay_value"]["grad"] = False
    losses, states, stats = part(fresh, batch, 0, fresh.noise(3, 7))
    assert losses.keys() == fresh.scales.keys()
    assert states.deter.shape[:2] == (3, 7)
    assert all(value.ndim == 0 for value in stats.values())
    assert {group for name in fresh.scales for group in fresh.groups_trained_by(name)} >= fresh.guard.pending.keys()


def optim(part):
    for _ in range(3):  # a warm-up begins with a step of size 0
        loss = sum(p.square().sum() for p in part.groups["actor"])
        undo, before = part.make_restorer(["actor"]), [p.detach().clone() for p in part.groups["actor"]]
        norms, grads = part.differentiate({"actor": loss}, {"actor": ("actor",)})
        assert norms.keys() == grads.keys() == {"actor"}
        part.step_groups(grads)
    assert not any(map(torch.equal, part.groups["actor"], before))
    state = copy.deepcopy(part.slots["actor"])
    undo()
    assert all(map(torch.equal, part.groups["actor"], before))
    part.slots["actor"] = state


def clip(part):
    grads = {"actor": [torch.full_like(p, 1e3) for p in groups()["actor"]]}
    norms = part(groups(), grads)
    assert norms["actor"] == pytest.approx(3e3)
    assert torch.cat([g.flatten() for g in grads["actor"]]).norm() < 3e3


def schedule(part):
    due = [part.due(step, repeat=1, replayed_per_update=64) for step in range(0, 3000, 10)]
    assert due[0] > 0
    assert sum(due[1:]) > 0


def sampler(part):
    spec = {"is_first": ((), np.dtype(bool)), "is_last": ((), np.dtype(bool))}
    ring = Ring(allocate_in_memory(spec, 2, 50))
    part.rebuild(ring)
    assert part.waiting_reason(ring, 3, T, 1)
    for step in range(30):
        ring.add({"is_first": np.full(2, step % 10 == 0), "is_last": np.full(2, step % 10 == 9)})
        part.observe(ring)
    assert not part.waiting_reason(ring, 3, T, 1)
    stream, start = part.draw(ring, np.random.default_rng(0), 3, T, 1, False)
    assert stream.shape == start.shape == (3,)
    assert (start >= 1).all()
    assert (start + T <= ring.count).all()


SHAPES = {
    **dict.fromkeys(("vector", "reward", "critic"), output),
    **dict.fromkeys(("grad_cont", "grad_disc"), gradient),
    **{
        function.__name__: function
        for function in (latent, cell, kl, conv, image, con, returns, slow, replay_value, policy_cont, policy_disc)
    },
    **{function.__name__: function for function in (advantage, reward_norm, explore, order, optim, clip)},
    **{function.__name__: function for function in (schedule, sampler)},
}
