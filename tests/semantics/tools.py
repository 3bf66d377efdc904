"""Small agents of every version, and the real pipeline from environments to batches."""

import numpy as np
import torch

import dreamer
from common.agent.agent import Agent
from common.training.clock import Stopwatch
from common.training.collector import Collector
from common.training.factory import Factory, record_spec
from tests.helpers.fakes import action_space, obs_space

KINDS = ("box", "discrete", "multi")


def make(algo, kind="box", *, image=False, noisy=True, **flags):
    """An agent with the debug sizes. `flags`: keys with `__` for the dot. `noisy`: no weight stays at zero."""
    torch.manual_seed(0)
    agent = Agent(obs_space(image), action_space(kind), load(algo, **flags))
    return disturb(agent) if noisy else agent


def load(algo, blocks=("debug",), **flags):
    return dreamer.resolve(algo, blocks, {key.replace("__", "."): value for key, value in flags.items()})


@torch.no_grad()
def disturb(module, amount=0.1):
    """Adds noise to all parameters: fresh V3 heads predict zeros, which hides mistakes."""
    for param in module.parameters():
        param.add_(torch.randn_like(param), alpha=amount)
    return module


class Pipeline:
    """Environments, agent, replay and collector of a config, made and joined as a run makes and joins them."""

    def __init__(self, config):
        torch.manual_seed(0)
        factory = Factory()
        self.config = config
        self.envs = factory.envs(config)
        self.agent = factory.agent(self.envs.obs_space, self.envs.act_space, config)
        self.replay = factory.replay(config, record_spec(self.envs.obs_space, self.agent), self.envs.num, None)
        self.collector = Collector(self.envs, self.agent, self.replay, Stopwatch())
        self.collector.begin()

    def collect(self, steps, random=True):
        for step in range(steps):
            self.collector.send(random=random, step=step)
            self.collector.receive()
        return self

    def sample(self):
        return self.replay.sample(self.config["batch_size"], self.config["batch_length"])


def still(latent):
    """Takes the randomness out of a latent: noise of the same shape, all zeros."""
    draw = latent.noise
    latent.noise = lambda *shape, device=None: torch.zeros_like(draw(*shape, device=device))


def gradients(loss, params):
    """Gradients as one list; zeros where the loss does not depend on a parameter."""
    grads = torch.autograd.grad(loss, params, retain_graph=True, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(params, grads, strict=True)]


def nonzero(tensors):
    return any(x.count_nonzero() for x in tensors)


def copied(batch):
    return {key: np.array(value) for key, value in batch.items()}


class Bandit:
    """Stands in for a world model with known dynamics: the state is the last action, `reward(feat)` its reward."""

    def __init__(self, reward, con=0.9):
        self.gamma = con
        self.rssm, self.reward, self.con = self, Answer(reward), self
        self.outer_discount = con

    def imagine(self, start, policy, noise):
        states, actions = [start], []
        for t in range(len(noise)):
            actions.append(policy(states[-1], t))
            states.append(type(start)(start.deter, actions[-1]))
        stack = lambda xs: torch.stack(xs, 1)
        return type(start)(*(stack(x) for x in zip(*states, strict=True))), stack(actions)

    def pred(self, feat):
        return torch.full(feat.shape[:-1], self.gamma)

    def start_discount(self, is_terminal):
        return self.gamma * (~is_terminal).float()


class Answer:
    """A head that is a function."""

    def __init__(self, function):
        self.pred = function
