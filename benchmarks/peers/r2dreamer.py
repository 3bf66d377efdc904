"""NM512/r2dreamer, the 2024 agent in PyTorch.

Calls `Dreamer.update` of the checkout on a fixed batch instead of its replay buffer. The configuration is the
checkout's own, composed by Hydra, with the sizes of the workload and `model.rep_loss=dreamer`: this reconstruction
loss, instead of its decoder-free default, makes it DreamerV3.

Replaced: the replay buffer (a fixed batch on the device; new latents are dropped), and the float16 autocast of its
update: fp16 keeps it, fp32 turns it off, bf16 changes it to bfloat16. Its own rule turns its gradient scaler off on the
CPU. `--compile on` sets its own compile flag, which also requests CUDA graphs on a GPU. Nothing is stubbed. Needs
torch, tensordict, tensorboard, gymnasium, and hydra-core.
"""

import importlib
import sys
from pathlib import Path

import numpy as np
import torch
from gymnasium import spaces
from hydra import compose, initialize_config_dir
from tensordict import TensorDict

from benchmarks.peers.shared import observation_space, policy_ms, random_actions, random_observations


def synchronize(device):
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def load_config(work, options, folder):
    """Return the checkout's configuration with the sizes of the workload."""
    sizes = work["sizes"]
    keys = {name: sizes[name] for name in ("deter", "hidden", "depth", "units")} | {"discrete": sizes["classes"]}
    keys |= {"rssm.stoch": sizes["stoch"], "imag_horizon": work["horizon"], "rep_loss": "dreamer"}
    keys |= {"compile": options.compile == "on"}
    overrides = ["model=size12M", f"env={'dmc_vision' if work['channels'] else 'dmc_proprio'}"]
    overrides += [f"device={options.device}"]
    overrides += [f"model.{key}={value}" for key, value in keys.items()]
    with initialize_config_dir(str(folder / "configs"), version_base=None):
        return compose("configs", overrides)


def random_data(work, observation, lead, rng):
    """Return random steps with leading shape `lead`. Episodes start at the first step of each sequence."""
    data = random_observations(observation, lead, rng)
    flag = np.zeros((*lead, 1), bool)
    first = flag.copy()
    first[..., 0, :] = True
    data |= {"action": random_actions(work, lead, rng), "reward": rng.standard_normal((*lead, 1), np.float32)}
    data |= {"is_first": first, "is_last": flag, "is_terminal": flag.copy()}
    return TensorDict({key: torch.as_tensor(value) for key, value in data.items()}, lead)


class FixedBatch:
    """Replaces the replay buffer: always the same batch from the same latents."""

    def __init__(self, data, initial):
        self.data = data
        self.initial = initial

    def sample(self):
        return self.data.clone(recurse=False), None, self.initial

    def update(self, index, stoch, deter):
        """Drop the new latents: the batch stays the same."""


def make_policy(agent, data):
    """Return a policy call with batch 1."""
    obs, state = data[:1, 0].clone(), agent.get_initial_state(1)

    def act():
        nonlocal state
        _, state = agent.act(obs.clone(recurse=False), state)
        synchronize(obs.device)

    return act


def build(work, options):
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    folder = Path(options.checkout).resolve()
    sys.path.insert(0, str(folder))
    peer = importlib.import_module("dreamer")
    half = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[options.precision]
    peer.autocast = lambda device_type, dtype: torch.autocast(device_type, half, enabled=half is not None)
    observation = observation_space(work)
    action = spaces.Box(0 if work["discrete"] else -1, 1, (work["actions"],), np.float32)
    if work["discrete"]:  # one-hot, marked as its wrappers do
        action.discrete = True
    agent = peer.Dreamer(load_config(work, options, folder).model, observation, action).to(options.device)
    data = random_data(work, observation, (work["batch"], work["length"]), np.random.default_rng(0)).to(options.device)
    replay = FixedBatch(data, agent.rssm.initial(work["batch"]))

    def update():
        agent.update(replay)
        synchronize(data.device)  # a GPU may still be working

    info = {"parameters": sum(value.numel() for value in agent._named_params.values())}
    return update, info | {"torch": torch.__version__, "policy_ms": policy_ms(make_policy(agent, data))}
