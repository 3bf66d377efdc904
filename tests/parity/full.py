"""One whole update of an agent on a golden batch, with everything it computes on the way."""

import numpy as np
import torch
from gymnasium import spaces

from common.agent.agent import Agent
from tests.parity.common import Spy

FLAGS = ("action", "reward", "discount", "is_first", "is_last", "is_terminal")


class Update:
    """One real `Agent.update` with given noise; gradients are the optimiser's own, before clipping.

    grads: parameter id -> gradient. before: parameter id -> value before the update. losses: name -> (B, T) or (N, L).
    """

    def __init__(self, agent, batch, noise):
        self.agent, (rssm, behavior, optim) = agent, (agent.world.rssm, agent.behavior, agent.optim)
        rssm.observe, behavior.imagine, behavior.returns = map(Spy, (rssm.observe, behavior.imagine, behavior.returns))
        agent.model_losses, agent.behavior_losses = Spy(agent.model_losses), Spy(agent.behavior_losses)
        self.grads, self.seen, self.clip = {}, {}, optim.clip
        optim.clip = self.keep_gradients
        for name, module in {"embed": agent.world.encoder, "normed": behavior.reward_norm}.items():
            module.register_forward_hook(lambda module, args, out, name=name: self.seen.update({name: (args, out)}))
        self.before = {id(p): p.detach().clone() for p in agent.parameters()}
        self.metrics, _ = agent.update(batch, 0, noise)
        self.states, self.post = rssm.observe.result
        self.imagined, self.action = behavior.imagine.result
        self.reward, self.value, self.con, _ = behavior.returns.args
        self.targets = behavior.returns.result
        self.losses = agent.model_losses.result[0] | agent.behavior_losses.result[0]

    def keep_gradients(self, groups, grads):
        for name, values in grads.items():
            self.grads |= {id(p): g.clone() for p, g in zip(groups[name], values, strict=True)}
        return self.clip(groups, grads)

    def close_grads(self, golden, prefix, slots):
        for name, slot in slots.items():
            golden.close(f"{prefix}/{name}", slot.arranged([self.grads[id(p)] for p in slot.params]))

    def close_after(self, golden, prefix, slots, lr):
        """Steps in units of the learning rate, to 2e-2: Adam's first step is badly conditioned near gradient 0."""
        for name, slot in slots.items():
            old = slot.arranged([self.before[id(p)] for p in slot.params])
            step = lambda new, old=old: (new - old) / lr
            want = step(golden.expect(f"{prefix}/{name}"))
            golden.compare(f"{prefix}/{name}", step(slot.arranged()), want, 2e-2, absolute=True)

    @torch.no_grad()
    def rewind(self):
        """Gives the agent its parameters of before the update back, to evaluate networks with."""
        for param in self.agent.parameters():
            param.copy_(self.before[id(param)])


def observations(golden):
    """Observation keys -> gymnasium space, from the arrays of the batch."""
    boxes = {}
    for key in golden.names("in/data"):
        if key not in FLAGS:
            data = golden[f"in/data/{key}"].numpy()
            low, high = (0, 255) if data.dtype == np.uint8 else (-np.inf, np.inf)
            boxes[key] = spaces.Box(low, high, data.shape[2:], data.dtype.type)
    return spaces.Dict(boxes)


def action_space(golden, discrete):
    width = golden["in/data/action"].shape[-1]
    return spaces.Discrete(width) if discrete else spaces.Box(-1, 1, (width,), np.float32)


def make_agent(golden, config, discrete):
    return Agent(observations(golden), action_space(golden, discrete), config)
