"""NM512/dreamerv3-torch, the 2023 agent in PyTorch.

Calls `Dreamer._train` of the checkout on a fixed batch of NumPy arrays, as its replay gives them. The configuration is
the checkout's defaults with its blocks for the kind of task (`dmc_proprio` for vectors, `dmc_vision` for images,
`atari100k` also for discrete actions) and the sizes of the workload; its encoder and decoder get the units of the
heads. Its heads have two layers.

Stubbed: gym, which only its environment wrappers use, by gymnasium. Replaced: the device "cuda" that its networks
assume where none is given becomes "cpu". A vector workload gets an image of one value a step, since the agent always
scales one. float32 only: its half precision is CUDA's. Uncompiled only: its compile flag wraps modules whose training
methods run as they are all the same. Needs torch, tensorboard, gymnasium, and ruamel.yaml.
"""

import importlib
import statistics
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from ruamel.yaml import YAML


def merge(base, update):
    """`base` with `update` laid over it, group by group."""
    groups = {key: merge(base[key], value) for key, value in update.items() if isinstance(base.get(key), dict)}
    return base | update | groups


def load_config(work, folder):
    """The checkout's defaults for this kind of task with the sizes of the workload."""
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


def make_spaces(work):
    """Observation and action space of a workload."""
    observation = {}
    if work["vector"]:
        observation["vector"] = spaces.Box(-np.inf, np.inf, (work["vector"],), np.float32)
    if work["channels"]:
        observation["image"] = spaces.Box(0, 255, (64, 64, work["channels"]), np.uint8)
    return spaces.Dict(observation), spaces.Box(0 if work["discrete"] else -1, 1, (work["actions"],), np.float32)


def random_data(work, observation, lead, rng):
    """Random steps with leading shape `lead`; an episode starts at the first step of each sequence."""
    data = {"image": np.zeros((*lead, 1), np.uint8)}
    for key, space in observation.items():
        shape = (*lead, *space.shape)
        image = space.dtype == np.uint8
        data[key] = rng.integers(0, 256, shape, np.uint8) if image else rng.standard_normal(shape, np.float32)
    action = rng.uniform(-1, 1, (*lead, work["actions"])).astype(np.float32)
    if work["discrete"]:
        action = np.eye(work["actions"], dtype=np.float32)[rng.integers(0, work["actions"], lead)]
    flag = np.zeros(lead, bool)
    first = flag.copy()
    first[:, 0] = True
    data |= {"action": action, "reward": rng.standard_normal(lead, np.float32)}
    return data | {"is_first": first, "is_last": flag, "is_terminal": flag}


def policy_ms(agent, data, calls=50):
    """Median milliseconds of one policy call with batch 1, within an episode."""
    skip = ("action", "reward")
    obs = {key: value[:1, 0] for key, value in data.items() if key not in skip}
    state, seconds = agent._policy(obs, None, True)[1], []
    obs["is_first"] = np.zeros(1, bool)
    for _ in range(calls):
        start = time.perf_counter()
        _, state = agent._policy(obs, state, True)
        seconds.append(time.perf_counter() - start)
    return {"1": 1e3 * statistics.median(seconds)}


def refuse(options):
    """Stop where the options ask for what this agent cannot do here."""
    wanted = {"device": "cpu", "precision": "fp32", "compile": "off"}
    wrong = [f"--{key} {getattr(options, key)}" for key, value in wanted.items() if getattr(options, key) != value]
    if wrong:
        sys.exit(f"{options.who} runs here in float32, uncompiled, on the CPU; it cannot do {', '.join(wrong)}")


def on_cpu(function):
    """Let the defaults of a function say "cpu" where they say "cuda"."""
    function.__defaults__ = tuple("cpu" if value == "cuda" else value for value in function.__defaults__)


def build(work, options):
    refuse(options)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    folder = Path(options.checkout).resolve()
    sys.path.insert(0, str(folder))
    sys.modules.setdefault("gym", gymnasium)
    peer = importlib.import_module("dreamer")
    on_cpu(importlib.import_module("networks").MLP.__init__)
    on_cpu(importlib.import_module("tools").DiscDist.__init__)
    observation, action = make_spaces(work)
    agent = peer.Dreamer(observation, action, load_config(work, folder), SimpleNamespace(step=0), None)
    agent.requires_grad_(False)
    data = random_data(work, observation, (work["batch"], work["length"]), np.random.default_rng(0))

    def update():
        agent._train(data)
        return {key: values[-1] for key, values in agent._metrics.items()}

    trained = (agent._wm, agent._task_behavior.actor, agent._task_behavior.value)
    info = {"parameters": sum(value.numel() for module in trained for value in module.parameters())}
    info |= {"torch": torch.__version__}
    return update, info | {"policy_ms": policy_ms(agent, data)}
