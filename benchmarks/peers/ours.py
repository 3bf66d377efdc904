"""The agents of this project."""

import math

import numpy as np
import torch
from gymnasium import spaces

import dreamer
from benchmarks.peers.shared import observation_space, random_actions, random_observations
from common.agent.agent import Agent
from common.agent.cost import update_cost
from common.nn.allocator import keep_freed_memory
from common.nn.compile import make_compiler
from common.nn.launch import make_launcher
from common.nn.machine import matmul_rate, synchronize
from common.replay import pinned


def flags(work, algo):
    """Return the config keys for the nominal sizes of a workload."""
    sizes = work["sizes"]
    keys = {
        "batch_size": work["batch"],
        "batch_length": work["length"],
        "imagination.horizon": work["horizon"],
        "rssm.deter": sizes["deter"],
        "rssm.hidden": sizes["hidden"],
        "latent.stoch": sizes["stoch"],
        "conv.depth": sizes["depth"],
        "mlp.*.units": sizes["units"],
    }
    if algo == "v3-2023":  # the head sizes of the peers
        keys |= {f"mlp.{head}.layers": 2 for head in ("reward", "con", "actor", "critic")}
    return keys | ({"latent.classes": sizes["classes"]} if algo != "v1" else {})


def make_spaces(work):
    """Return observation and action space of a workload."""
    act = spaces.Discrete(work["actions"]) if work["discrete"] else spaces.Box(-1, 1, (work["actions"],), np.float32)
    return observation_space(work), act


def random_batch(agent, obs_space, batch, length, rng):
    """Return a batch as the replay gives it. Episodes start at the first step of each sequence."""
    lead = (batch, length)
    out = random_observations(obs_space, lead, rng)
    action = random_actions({"actions": agent.actions, "discrete": bool(agent.classes)}, lead, rng)
    flag = np.zeros(lead, bool)
    first = flag.copy()
    first[:, 0] = True
    out |= {"action": action, "prev_action": np.where(first[..., None], 0, np.roll(action, 1, 1))}
    out |= {"reward": rng.standard_normal(lead, np.float32), "is_first": first, "is_last": flag, "is_terminal": flag}
    for key, (shape, dtype) in agent.latent_spec().items():
        out[f"context_{key}"] = np.zeros((batch, *shape), dtype)
    return out


def page_locked(array):
    """Return a copy in page-locked memory, which a GPU reads at full speed."""
    copy = pinned(array.shape, array.dtype)
    copy[...] = array
    return copy


def build(work, options):
    keep_freed_memory()  # as dreamer.py does for every command
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    keys = flags(work, options.algo) | {"run.precision": options.precision}
    keys |= {"run.cuda_graphs": options.graphs, "run.recompute_activations": options.recompute}
    config = dreamer.resolve(options.algo, [], keys)
    obs_space, act_space = make_spaces(work)
    agent = Agent(obs_space, act_space, config, options.device)
    agent.compiler = make_compiler(options.compile, agent.device, math.inf)
    agent.launcher = make_launcher(config, agent.device)
    batch = random_batch(agent, obs_space, work["batch"], work["length"], np.random.default_rng(0))
    if agent.device.type == "cuda":  # as in training
        batch = {key: page_locked(array) for key, array in batch.items()}
    step = iter(range(2000, 10**9))

    def update():
        agent.update(batch, next(step))
        synchronize(agent.device)  # a GPU may still be working

    info = {"parameters": sum(agent.parameter_table().values()), "torch": torch.__version__}
    info |= {"flops": update_cost(config, obs_space, act_space, agent.half).flops}
    dtype = torch.bfloat16 if agent.half else torch.float32
    return update, info | {"matmul_flops_per_second": matmul_rate(dtype, agent.device)}
