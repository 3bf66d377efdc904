"""esteveste/dreamerV2-pytorch, DreamerV2 for discrete actions from images.

Calls `Agent.train` of the checkout, after the cast of the batch to float32 that its training loop does, with the
`defaults` and `atari` blocks of its configs.yaml and the sizes of the workload. That update imagines from all steps of
a sequence except the last. It takes no gradient through the imagined steps, because it learns only by REINFORCE; its
metrics are part of the measured time. It has no is_first in training. Continuous actions do not train: the actor's loss
reads the logits of a one-hot distribution.

Stubbed, because the update does not use them: old gym, and `elements`, whose newer versions lack the schedule that ends
exploration (zero steps here). This module merges its configuration, which its own program reads with `elements`. Its
switch for float16 stays off, which is the state before its training script turns it on. Needs torch, numpy, and
ruamel.yaml.
"""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from ruamel.yaml import YAML

from benchmarks.peers.shared import policy_ms, random_actions, refuse, refuse_options

STUBS = ("gym", "elements", "elements.logger")


class Config(dict):
    """A dictionary whose keys are also attributes. Blocks merge into it, with dots for nested keys."""

    __getattr__ = dict.__getitem__

    def merge(self, block):
        for key, value in block.items():
            head, _, tail = key.partition(".")
            value = {tail: value} if tail else tuple(value) if isinstance(value, list) else value
            self[head] = {**self.get(head, {}), **value} if isinstance(value, dict) else value
        return self


def load_config(work, options):
    """Return the checkout's Atari configuration with the sizes of the workload."""
    sizes = work["sizes"]
    blocks = YAML(typ="safe").load((Path(options.checkout) / "dreamerv2" / "configs.yaml").read_text())
    keys = {f"rssm.{key}": sizes[key] for key in ("deter", "hidden", "stoch")}
    keys |= {"rssm.discrete": sizes["classes"], "imag_horizon": work["horizon"], "grayscale": work["channels"] == 1}
    keys |= {f"{name}.depth": sizes["depth"] for name in ("encoder", "decoder")}
    keys |= {f"{name}.units": sizes["units"] for name in ("reward_head", "discount_head", "actor", "critic")}
    return Config().merge(blocks["defaults"]).merge(blocks["atari"]).merge(keys)


def random_batch(work, rng):
    """Return a batch as its replay gives it, without episode ends."""
    lead = (work["batch"], work["length"])
    image = rng.integers(0, 256, (*lead, work["channels"], 64, 64), np.uint8)
    batch = {"image": image, "action": random_actions(work, lead, rng), "reward": rng.standard_normal(lead, np.float32)}
    batch |= {"discount": np.ones(lead, np.float32), "done": np.zeros(lead, np.float32)}
    return {key: torch.from_numpy(value) for key, value in batch.items()}


def make_agent(work, options):
    """Return its agent, ready to train."""
    sys.path.insert(0, str(Path(options.checkout).resolve()))
    sys.modules.update({name: mock.MagicMock() for name in STUBS})
    sys.modules["elements"].Until = lambda until: lambda step: step < until
    peer = importlib.import_module("dreamerv2.agent")
    agent = peer.Agent(load_config(work, options), None, SimpleNamespace(n=work["actions"]), 0)
    agent.init_optimizers()
    return agent


def make_policy(agent, batch):
    """Return a policy call with batch 1, from a uint8 image."""
    image, state = batch["image"][:1, 0], None

    def act():
        nonlocal state
        obs = {"image": image.float(), "reward": torch.zeros(1), "reset": torch.zeros(1)}
        _, state = agent.policy(obs, state)

    return act


def build(work, options):
    refuse_options(options)
    refuse(options.who, {
        "needs --algo v2": options.algo != "v2" or "classes" not in work["sizes"],
        "needs an image workload": work["channels"] not in (1, 3) or work["vector"],
        "needs discrete actions": not work["discrete"],
    })  # fmt: skip
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    agent = make_agent(work, options)
    batch = random_batch(work, np.random.default_rng(0))
    update = lambda: agent.train({key: value.to(torch.float32) for key, value in batch.items()})
    optims = (agent.wm.model_opt, agent._task_behavior.actor_opt, agent._task_behavior.critic_opt)
    trained = [value for optim in optims for group in optim._opt.param_groups for value in group["params"]]
    info = {"parameters": sum(value.numel() for value in trained)}
    return update, info | {"torch": torch.__version__, "policy_ms": policy_ms(make_policy(agent, batch))}
