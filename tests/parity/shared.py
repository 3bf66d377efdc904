"""Helpers of the checks of V1 and V2."""

from types import SimpleNamespace

import numpy as np
import torch

from common.agent.rssm import LatentState
from common.config import parts
from common.foreign.slots import feature_rows
from tests.parity.common import Spy, count, one_hot_noise

HALF_LOG_2PI = 0.5 * np.log(2 * np.pi)


def behave(behavior, feat, reward, con, action=None, entropy=None):
    """Behavior.losses on a given imagination (N, H+1, ...) -> losses, targets, values (N, H+1).

    action: (N, H, A), entropy: noise of the policy's entropy. Where features are cut into two halves does not matter.
    """
    states = LatentState(feat[..., :1], feat[..., 1:])
    if action is None:
        action = torch.zeros(len(feat), feat.shape[1] - 1, behavior.actor.actions)
    given = lambda value: lambda feat: value
    world = SimpleNamespace(
        rssm=SimpleNamespace(imagine=lambda start, policy, noise: (states, action)),
        reward=SimpleNamespace(pred=given(reward)),
        con=SimpleNamespace(pred=given(con), outer_discount=1.0),
    )
    behavior.returns = spy = Spy(behavior.returns)
    batch = {"is_terminal": torch.zeros(1, len(feat), dtype=torch.bool)}
    starts = states.apply(lambda x: x[None, :, 0])
    losses, stats = behavior.losses(world, starts, batch, 0, {"act": None, "img": None, "entropy": entropy})
    behavior.returns = spy.target
    return losses, spy.result, spy.args[1], stats


def optimize(golden, case, setting, options):
    """Adam on the given gradients `in/grad0`, `in/grad1`, ..., from `in/init`."""
    params = {name: torch.nn.Parameter(value) for name, value in golden.tree("in/init").items()}
    fill = lambda value: {"model": value, "actor": value, "critic": value}
    rates = {"lr": fill(setting["lr"]), "eps": fill(setting["eps"])}
    optim = parts.build("optim", {"use": "Adam", "wd": setting["wd"], **rates, **options})
    optim.setup(
        {"model": list(params.values())}, parts.build("clip", {"use": "GlobalNorm"} | fill(setting["clip"] or 0.0))
    )
    for i in range(count(golden.groups("in"), "grad")):
        loss = sum((params[name] * grad).sum() for name, grad in golden.tree(f"in/grad{i}").items())
        norms = optim.step({"x": loss}, {"x": ("model",)})
        golden.close(f"{case}/step{i}/grad_norm", norms["model"])
        for name, param in params.items():
            golden.close(f"{case}/step{i}/param/{name}", param)


def plain_gaussian(size):
    """Gaussian latent whose parameters are mean and std themselves."""
    latent = parts.build("latent", {"use": "Gaussian", "stoch": size, "min_std": 0.0})
    latent.std = lambda std: std
    return latent


def close_modes(golden, prefix, dist, out, eps):
    """The likeliest draw of each row; the official mode takes the first row's index for all rows."""
    golden.close(f"{prefix}/mode_rowwise", dist.mode(out, eps))
    sample, logp = dist.draw(out, eps)
    golden.close(f"{prefix}/mode", sample[logp[:, 0].argmax()])


def close_latent(golden, prefix, latent, state, params):
    """Compares state and distribution with `prefix/{deter, stoch, mean, std | logit}`; discrete ones as (..., S, C)."""
    split = lambda x: x.unflatten(-1, latent.shape) if hasattr(latent, "shape") else x
    if hasattr(latent, "shape"):
        stats = {"logit": split(params)}
    else:
        stats = dict(zip(("mean", "std"), latent.stats(params), strict=True))
    for name, got in {"deter": state.deter, "stoch": split(state.stoch), **stats}.items():
        golden.close(f"{prefix}/{name}", got)


def close_prior(golden, prefix, rssm, deter, noise):
    """Compares the prior at deter (..., D) and its sample with given noise (...); returns its parameters."""
    prior = rssm.prior(deter)
    close_latent(golden, prefix, rssm.latent, LatentState(deter, rssm.latent.sample(prior, noise)), prior)
    return prior


def entropy_noise(eps):
    """(draws, H-1, N, A) -> (draws, N, H-1, A); None stays."""
    return None if eps is None else eps.transpose(1, 2)


def given_noise(golden, name, classes=None):
    """`NAME_eps`, `NAME_u` or `NAME_idx` (or `NAME/eps`, ...) as our samplers take it.

    Indices become noise that picks them.
    """
    join = "/" if golden.has(name) else "_"
    for kind in ("eps", "u"):
        if f"{name}{join}{kind}" in golden:
            return golden[f"{name}{join}{kind}"]
    return one_hot_noise(golden[f"{name}{join}idx"], classes)


def official_feat(rssm, state):
    return state.feat[..., feature_rows(rssm.deter, rssm.latent.size)]
