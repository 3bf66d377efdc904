"""NM512/r2dreamer, the 2024 agent in PyTorch.

Calls `Dreamer.update` of the checkout on a fixed batch that takes the place of its replay buffer. The configuration is
the checkout's own, composed by Hydra, with the sizes of the workload and `model.rep_loss=dreamer`: its reconstruction
loss, in place of its own decoder-free default, is what makes it DreamerV3.

Replaced: the replay buffer (a fixed batch on the device; the latents written back are dropped), and the autocast that
the update enters, which asks for float16, as fp16 does here: fp32 turns it off, bf16 asks for bfloat16. Its gradient
scaler is off on the CPU by its own rule. `--compile on` sets its own compile flag, which on a GPU also asks for CUDA
graphs. Nothing is stubbed. Needs torch, tensordict, tensorboard, gymnasium, and hydra-core.
"""

import importlib
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from gymnasium import spaces
from hydra import compose, initialize_config_dir
from tensordict import TensorDict


def synchronize(device):
    """Waits until the device has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def load_config(work, options, folder):
    """The checkout's configuration with the sizes of the workload."""
    sizes = work["sizes"]
    keys = {name: sizes[name] for name in ("deter", "hidden", "depth", "units")} | {"discrete": sizes["classes"]}
    keys |= {"rssm.stoch": sizes["stoch"], "imag_horizon": work["horizon"], "rep_loss": "dreamer"}
    keys |= {"compile": options.compile == "on"}
    overrides = ["model=size12M", f"env={'dmc_vision' if work['channels'] else 'dmc_proprio'}"]
    overrides += [f"device={options.device}"]
    overrides += [f"model.{key}={value}" for key, value in keys.items()]
    with initialize_config_dir(str(folder / "configs"), version_base=None):
        return compose("configs", overrides)


def make_spaces(work):
    """Observation and action space; `discrete` marks a one-hot action, as its wrappers do."""
    observation = {}
    if work["vector"]:
        observation["vector"] = spaces.Box(-np.inf, np.inf, (work["vector"],), np.float32)
    if work["channels"]:
        observation["image"] = spaces.Box(0, 255, (64, 64, work["channels"]), np.uint8)
    action = spaces.Box(0 if work["discrete"] else -1, 1, (work["actions"],), np.float32)
    if work["discrete"]:
        action.discrete = True
    return spaces.Dict(observation), action


def random_data(work, observation, lead, rng):
    """Random steps with leading shape `lead`; the first along the last of those dimensions starts an episode."""
    data = {}
    for key, space in observation.items():
        shape = (*lead, *space.shape)
        image = space.dtype == np.uint8
        data[key] = rng.integers(0, 256, shape, np.uint8) if image else rng.standard_normal(shape, np.float32)
    action = rng.uniform(-1, 1, (*lead, work["actions"])).astype(np.float32)
    if work["discrete"]:
        action = np.eye(work["actions"], dtype=np.float32)[rng.integers(0, work["actions"], lead)]
    flag = np.zeros((*lead, 1), bool)
    first = flag.copy()
    first[..., 0, :] = True
    data |= {"action": action, "reward": rng.standard_normal((*lead, 1), np.float32)}
    data |= {"is_first": first, "is_last": flag, "is_terminal": flag.copy()}
    return TensorDict({key: torch.as_tensor(value) for key, value in data.items()}, lead)


class FixedBatch:
    """Stands where the replay buffer does: the same batch from the same latents every time."""

    def __init__(self, data, initial):
        self.data = data
        self.initial = initial

    def sample(self):
        return self.data.clone(recurse=False), None, self.initial

    def update(self, index, stoch, deter):
        """The batch is the same at every update: nothing goes back into it."""


def policy_ms(agent, data, calls=50):
    """Median milliseconds of one policy call with batch 1."""
    obs = data[:1, 0].clone()
    state, seconds = agent.get_initial_state(1), []
    for _ in range(calls):
        start = time.perf_counter()
        _, state = agent.act(obs.clone(recurse=False), state)
        synchronize(obs.device)
        seconds.append(time.perf_counter() - start)
    return {"1": 1e3 * statistics.median(seconds)}


def build(work, options):
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    folder = Path(options.checkout).resolve()
    sys.path.insert(0, str(folder))
    peer = importlib.import_module("dreamer")
    half = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[options.precision]
    peer.autocast = lambda device_type, dtype: torch.autocast(device_type, half, enabled=half is not None)
    observation, action = make_spaces(work)
    agent = peer.Dreamer(load_config(work, options, folder).model, observation, action).to(options.device)
    data = random_data(work, observation, (work["batch"], work["length"]), np.random.default_rng(0)).to(options.device)
    replay = FixedBatch(data, agent.rssm.initial(work["batch"]))

    def update():
        agent.update(replay)
        synchronize(data.device)  # its last steps may be under way on a GPU

    info = {"parameters": sum(value.numel() for value in agent._named_params.values())}
    info |= {"torch": torch.__version__}
    return update, info | {"policy_ms": policy_ms(agent, data)}
