"""NM512/dreamerv3-torch, the 2023 agent in PyTorch.

Calls `Dreamer._train` of the checkout on a fixed batch of NumPy arrays, as its replay gives them. The configuration is
the checkout's defaults with its blocks for the kind of task (`dmc_proprio` for vectors, `dmc_vision` for images,
`atari100k` also for discrete actions) and the sizes of the workload; its encoder and decoder get the units of the
heads. Its heads have two layers.

Stubbed: gym, which only its environment wrappers use, by gymnasium. Replaced: the default device "cuda" of its
networks, by "cpu". A vector workload gets an image of one value per step, because the agent always scales an image.
float32 only: its half precision needs CUDA. Uncompiled only: its compile flag wraps modules, but not their training
methods. Needs torch, tensorboard, gymnasium, and ruamel.yaml.
"""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ruamel.yaml import YAML

from benchmarks.peers.shared import (
    observation_space,
    policy_ms,
    random_actions,
    random_observations,
    refuse_options,
)


def merge(base, update):
    """Return `base` with the values of `update`, group by group."""
    groups = {key: merge(base[key], value) for key, value in update.items() if isinstance(base.get(key), dict)}
    return base | update | groups


def load_config(work, folder):
    """Return the checkout's defaults for this kind of task with the sizes of the workload."""
    sizes = work["sizes"]
    blocks = YAML(typ="safe", pure=True).load((folder / "configs.yaml").read_text())
    names = ["dmc_vision" if work["channels"] else "dmc_proprio"] + ["atari100k"] * work["discrete"]
    config = blocks["defaults"]
    for name in names:
        config = merge(config, blocks[name])
    nets = {"mlp_units": sizes["units"], "cnn_depth": sizes["depth"]}
    keys = {"device": "cpu", "compile": False, "num_actions": work["actions"], "imag_horizon": work["horizon"]}
    keys |= {"batch_size": work["batch"], "batch_length": work["length"], "encoder": nets, "decoder": nets}
    keys |= {"dyn_deter": sizes["deter"], "dyn_hidden": sizes["hidden"], "units": sizes["units"]}
    keys |= {"dyn_stoch": sizes["stoch"], "dyn_discrete": sizes["classes"]}
    return SimpleNamespace(**merge(config, keys))


def random_data(work, observation, lead, rng):
    """Return random steps with leading shape `lead`. Episodes start at the first step of each sequence."""
    data = {"image": np.zeros((*lead, 1), np.uint8)} | random_observations(observation, lead, rng)
    flag = np.zeros(lead, bool)
    first = flag.copy()
    first[:, 0] = True
    data |= {"action": random_actions(work, lead, rng), "reward": rng.standard_normal(lead, np.float32)}
    return data | {"is_first": first, "is_last": flag, "is_terminal": flag}


def make_policy(agent, data):
    """Return a policy call with batch 1, within an episode."""
    obs = {key: value[:1, 0] for key, value in data.items() if key not in ("action", "reward")}
    state = agent._policy(obs, None, True)[1]
    obs["is_first"] = np.zeros(1, bool)

    def act():
        nonlocal state
        _, state = agent._policy(obs, state, True)

    return act


def on_cpu(function):
    """Replace the default "cuda" of a function by "cpu"."""
    function.__defaults__ = tuple("cpu" if value == "cuda" else value for value in function.__defaults__)


def build(work, options):
    refuse_options(options)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    folder = Path(options.checkout).resolve()
    sys.path.insert(0, str(folder))
    sys.modules.setdefault("gym", gymnasium)
    peer = importlib.import_module("dreamer")
    on_cpu(importlib.import_module("networks").MLP.__init__)
    on_cpu(importlib.import_module("tools").DiscDist.__init__)
    observation = observation_space(work)
    action = spaces.Box(0 if work["discrete"] else -1, 1, (work["actions"],), np.float32)
    agent = peer.Dreamer(observation, action, load_config(work, folder), SimpleNamespace(step=0), None)
    agent.requires_grad_(False)
    data = random_data(work, observation, (work["batch"], work["length"]), np.random.default_rng(0))

    def update():
        agent._train(data)
        return {key: values[-1] for key, values in agent._metrics.items()}

    trained = (agent._wm, agent._task_behavior.actor, agent._task_behavior.value)
    info = {"parameters": sum(value.numel() for module in trained for value in module.parameters())}
    return update, info | {"torch": torch.__version__, "policy_ms": policy_ms(make_policy(agent, data))}
