"""Helpers of the checks of Plan2Explore: agents, rows of the official orders, one update of exploration."""

from types import SimpleNamespace

import numpy as np
import torch
from gymnasium import spaces

import dreamer
from common.agent.agent import Agent
from common.agent.rssm import LatentState
from common.foreign.slots import Slot, feature_rows
from common.nn.nets import frozen
from tests.parity.common import Spy, close_grads_of
from tests.parity.shared import HALF_LOG_2PI

AFTER = 5e-2  # tolerance of steps, in units of the learning rate


def make_agent(algo, flags, actions, discrete=False):
    """An agent on a vector, with the exploration of a version and further flags."""
    observed = spaces.Dict({"state": spaces.Box(-9, 9, (3,), np.float32)})
    acting = spaces.Discrete(actions) if discrete else spaces.Box(-1, 1, (actions,), np.float32)
    config = dreamer.resolve(algo, ["debug"], {"explore.use": "Plan2Explore", "run.prefill": 0} | flags)
    return Agent(observed, acting, config)


def flat_state(golden, prefix, stoch="stoch"):
    """`prefix/deter` and `prefix/stoch`, a discrete one flattened; zeros for a missing one."""
    deter = golden[f"{prefix}/deter"]
    sample = golden.get(f"{prefix}/{stoch}")
    if sample is None:
        sample = torch.zeros(*deter.shape[:-1], 1)
    return LatentState(deter, sample.flatten(deter.ndim - 1))


def out_dense(linear, rows, out_rows):
    """Kernel and bias with rows of inputs and columns of outputs in the official order; None keeps ours."""
    pick = lambda x: x if out_rows is None else x[..., out_rows]
    kernel = lambda w: pick(w.t() if rows is None else w.t()[rows])
    return {"kernel": Slot((linear.weight,), kernel), "bias": Slot((linear.bias,), pick)}


def input_rows(agent):
    """Our place of each official input of the ensemble: [stoch, deter, action] there."""
    explorer, rssm = agent.explorer, agent.world.rssm
    rows = feature_rows(rssm.deter, rssm.latent.size)
    if explorer.inputs == "deter":
        rows = torch.arange(rssm.deter)
    actions = 0 if explorer.action == "none" else rssm.action
    return torch.cat([rows, torch.arange(actions) + len(rows)])


def target_rows(agent):
    """Our place of each official number of the target; None if the orders agree."""
    rssm = agent.world.rssm
    return feature_rows(rssm.deter, rssm.latent.size) if agent.explorer.target == "feat" else None


def official_rows(x, agent):
    rows = target_rows(agent)
    return x if rows is None else x[..., rows]


def close_after(golden, prefix, slots, before, lr):
    """Steps in units of the learning rate. before: parameter id -> value before."""
    for name, slot in slots.items():
        old = slot.arranged([before[id(p)] for p in slot.params])
        want = (golden.expect(f"{prefix}/{name}") - old) / lr
        golden.compare(f"{prefix}/{name}", (slot.arranged() - old) / lr, want, AFTER, absolute=True)


def values_of(module):
    return {id(p): p.detach().clone() for p in module.parameters()}


def rewards(agent, feat, action, reward=None):
    """Rewards (N, H+1) of features and actions that belong together, from predicted task rewards."""
    behavior, world = agent.explorer.behavior, SimpleNamespace(reward=SimpleNamespace(pred=lambda feat: reward))
    behavior.departure = True  # the actions are aligned with the states already
    with frozen(agent.explorer.ensemble):
        return behavior.imagined_rewards(world, feat, action)["reward"]


def check_steps(golden, here, agent, slots, setting, batch):
    """Two losses and steps on the same batch; V2's loss also has the constants of its Gaussians."""
    explorer, states, embed = agent.explorer, flat_state(golden, f"{here}in"), golden.get(f"{here}in/embed")
    before = values_of(explorer.ensemble)
    size = explorer.ensemble.members[0].net[-1].out_features
    constant = HALF_LOG_2PI * size * explorer.models if explorer.ensemble.factor == 0.5 else 0.0
    for step, name in enumerate(("loss", "loss2"), 1):
        losses, _ = explorer.model_losses(agent.world, states, embed, batch, {"explore": {}})
        golden.close(f"{here}out/{name}", losses["ensemble"].mean() + constant)
        if step == 1:
            close_grads_of(golden, f"{here}grad/loss", slots, losses["ensemble"].mean())
        norms = agent.step_now(losses)
        if step == 1:
            golden.close(f"{here}out/grad_norm", norms["grad/ensemble"])
        close_after(golden, f"{here}after{step}", slots, before, setting["expl_opt.lr"])


class ExplorationUpdate:
    """One update of the exploration alone: ensemble, then actor-critic, as `ModelFirst` orders them.

    grads: parameter id -> gradient before clipping. before: parameter id -> value before the update.
    """

    def __init__(self, agent, states, batch, noise):
        self.agent, explorer = agent, agent.explorer
        self.behavior, self.grads, self.clip = explorer.behavior, {}, agent.optim.clip
        self.behavior.imagine, self.behavior.returns = Spy(self.behavior.imagine), Spy(self.behavior.returns)
        self.before, agent.optim.clip = values_of(agent), self.keep_gradients
        losses, _ = explorer.model_losses(agent.world, states, None, batch, {"explore": {}})
        self.norms = agent.step_now(losses)
        with frozen(agent.world):
            more, self.stats = explorer.behavior_losses(agent.world, states, batch, 0, {"explore": noise})
        self.norms |= agent.step_later(more)
        agent.optim.step_groups(agent.guard.pending)
        self.losses, (self.imagined, self.action) = losses | more, self.behavior.imagine.result
        self.reward, self.value, self.con, _ = self.behavior.returns.args
        self.targets = self.behavior.returns.result

    def keep_gradients(self, groups, grads):
        for name, values in grads.items():
            self.grads |= {id(p): g.clone() for p, g in zip(groups[name], values, strict=True)}
        return self.clip(groups, grads)
