"""On a GPU, an update creates nothing on the CPU, copies nothing to it, and waits only for the latents at its end.

The meta device replaces the GPU: its tensors have shapes and a device, but no numbers.
"""

import contextlib

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import dreamer
from common.agent.update_guard import UpdateGuard
from common.nn import rssm_scan
from tests.agent.test_matrix import build
from tests.helpers.fakes import random_batch

META = torch.device("meta")


class Watch(TorchDispatchMode):
    """Names of operations that touch the CPU: they create or read a tensor there, or copy numbers there."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name, kwargs = str(func), kwargs or {}
        if "local_scalar" in name or torch.device(kwargs.get("device") or META) != META:
            self.found.add(name)
        out = func(*args, **kwargs)
        tensors = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, torch.Tensor)]
        if any(x.device != META for x in tensors):
            self.found.add(name)
        return out


def on_meta(x):
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=META)


@pytest.fixture
def without_autocast(monkeypatch):
    """Skip autocast: the meta device has none."""
    plain, options = torch.autocast, rssm_scan.autocast_options
    skip = lambda device_type, *args, **kwargs: (
        contextlib.nullcontext() if device_type == "meta" else plain(device_type, *args, **kwargs)
    )
    monkeypatch.setattr(torch, "autocast", skip)
    monkeypatch.setattr(rssm_scan, "autocast_options", lambda device: options("cpu") | {"device_type": device})


def moved(agent):
    """Move the agent and a batch for it to the meta device."""
    batch = {key: on_meta(x) for key, x in agent.to_tensors(random_batch(agent)).items()}
    for module in agent.modules():
        own, buffers = (dict(found(recurse=False)) for found in (module.named_parameters, module.named_buffers))
        module._parameters |= {key: nn.Parameter(on_meta(p), p.requires_grad) for key, p in own.items()}
        module._buffers |= {key: on_meta(x) for key, x in buffers.items()}
    agent.device = META
    agent.optim.setup(agent.groups(), agent.optim.clip)
    return agent, batch


@pytest.mark.parametrize("kind", ["box", "discrete", "multi"])
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_an_update_stays_on_its_device(algo, kind, without_autocast):
    agent, batch = moved(build(dreamer.resolve(algo, ["debug"], {"run.precision": "fp32"}), kind, image=True))
    noise = agent.noise(*batch["reward"].shape)
    agent.guard = UpdateGuard()
    with Watch() as watch:
        agent.guard.snapshot(agent.behavior.running_statistics())
        losses, states, stats = agent.order(agent, batch, 100, noise)
        agent.optim.step_groups(agent.guard.pending)
        agent.behavior.slow.update(agent.behavior.critic)
    assert not watch.found
    assert {x.device for x in [*losses.values(), *stats.values(), *states]} == {META}
    assert agent.guard.stages  # the numbers that `check_finite` reads from the device, once


@pytest.mark.parametrize("kind", ["box", "discrete", "multi"])
@pytest.mark.parametrize("algo", dreamer.ALGOS)
def test_acting_stays_on_its_device(algo, kind, without_autocast):
    agent, batch = moved(build(dreamer.resolve(algo, ["debug"], {"run.precision": "fp32"}), kind, image=True))
    obs, state = {key: value[:, 0] for key, value in batch.items()}, agent.initial(len(batch["reward"]))
    with Watch() as watch, torch.no_grad():
        for mode, way in {"train": "sample", "eval": "mode"}.items():
            latent, action = agent.acting.step(obs, state, way)
            agent.acting.to_env_action(agent.explore(action, agent.discrete, mode, 0))
    assert not watch.found
    assert {x.device for x in [*latent, action]} == {META}


def test_the_watch_sees_what_leaves_the_device():
    x = torch.ones(2, device=META)
    with Watch() as watch:
        x + 1
    assert not watch.found
    for work in (lambda: torch.zeros(2), lambda: x.sum().item(), lambda: x.cpu()):
        with Watch() as watch, contextlib.suppress(RuntimeError, NotImplementedError):
            work()
        assert watch.found
