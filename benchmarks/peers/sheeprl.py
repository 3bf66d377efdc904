"""Eclectic-Sheep/sheeprl, DreamerV1 (`--algo v1`) and DreamerV2 (`--algo v2`) on Lightning Fabric.

Calls `train` of the checkout's algorithm on models from its `build_agent`, after the steps of its training loop before
each call: cast the batch to float32 and, for V2, copy the critic to its target every 100 updates. The configuration is
the checkout's own, composed by Hydra, with the sizes of the workload. V2's layer before the GRU has `hidden` units, as
in the original agent; its own default, 400, is a few percent faster. Other defaults stay: no continue head, four layers
in each MLP, a truncated normal for continuous actions (also in V1), and objective_mix 1, REINFORCE: the returns are
still differentiated through the imagined dynamics, with weight zero. V1 has no is_first.

Omitted: metrics and timers. Nothing is stubbed, and float32 products keep full precision (its command line sets
`high`). Needs torch, lightning, torchmetrics, hydra-core, gymnasium, opencv, moviepy, tensorboard, python-dotenv, and
rich.
"""

import importlib
import itertools
import sys
from pathlib import Path

import hydra
import numpy as np
import torch
from gymnasium import spaces
from omegaconf import OmegaConf
from torch.distributions import Distribution

from benchmarks.peers.shared import policy_ms, random_actions, refuse, refuse_options


def overrides(work, algo):
    """Return the Hydra overrides for the sizes of a workload."""
    sizes = work["sizes"]
    keys = {
        "per_rank_batch_size": work["batch"],
        "per_rank_sequence_length": work["length"],
        "horizon": work["horizon"],
        "dense_units": sizes["units"],
        "world_model.stochastic_size": sizes["stoch"],
        "world_model.encoder.cnn_channels_multiplier": sizes["depth"],
        "world_model.recurrent_model.recurrent_state_size": sizes["deter"],
        "world_model.transition_model.hidden_size": sizes["hidden"],
        "world_model.representation_model.hidden_size": sizes["hidden"],
    }
    if algo == "v2":
        keys |= {"world_model.discrete_size": sizes["classes"]}
        keys |= {"world_model.recurrent_model.dense_units": sizes["hidden"]}
    return [f"algo.{key}={value}" for key, value in keys.items()]


def load_config(work, options):
    """Return the checkout's configuration, in its own dictionary type."""
    folder = Path(options.checkout).resolve() / "sheeprl" / "configs"
    keys = [f"exp=dreamer_{options.algo}", "env=dummy", "env.num_envs=1", "metric.log_level=0"]
    with hydra.initialize_config_dir(str(folder), version_base=None):
        config = hydra.compose("config", keys + overrides(work, options.algo))
    dotdict = importlib.import_module("sheeprl.utils.utils").dotdict
    return dotdict(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))


def random_batch(work, rng):
    """Return a batch as its replay gives it, time first. Episodes start at the first step of each sequence."""
    lead = (work["length"], work["batch"])
    flag = np.zeros((*lead, 1), np.float32)
    first = flag.copy()
    first[0] = 1
    batch = {
        "rgb": rng.integers(0, 256, (*lead, work["channels"], 64, 64), np.uint8),
        "actions": random_actions(work, lead, rng),
    }
    batch |= {"rewards": rng.standard_normal((*lead, 1), np.float32), "is_first": first}
    batch |= {"terminated": flag, "truncated": flag.copy()}
    return {key: torch.from_numpy(value) for key, value in batch.items()}


def make_update(peer, fabric, config, models, batch):
    """Return a function that does one training step. models: world model, actor, critic, and the target, if any."""
    configs = (config.algo.world_model, config.algo.actor, config.algo.critic)
    optims = [
        hydra.utils.instantiate(part.optimizer, params=model.parameters(), _convert_="all")
        for part, model in zip(configs, models[:3], strict=True)
    ]
    optims = fabric.setup_optimizers(*optims)
    count = itertools.count()

    def update():
        if models[3:] and next(count) % config.algo.critic.per_rank_target_network_update_freq == 0:
            for source, target in zip(models[2].module.parameters(), models[3].module.parameters(), strict=True):
                target.data.copy_(source.data)
        data = {key: value.float() for key, value in batch.items()}
        peer.train(fabric, *models, *optims, data, None, config, *([config.actions_dim] if models[3:] else []))

    return update


def build(work, options):
    refuse_options(options)
    refuse(options.who, {
        "needs --algo v1 or v2": options.algo not in ("v1", "v2"),
        "needs an image workload": not work["channels"] or work["vector"],
        "needs classes for v2, and none for v1": ("classes" in work["sizes"]) != (options.algo == "v2"),
    })  # fmt: skip
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    sys.path.insert(0, str(Path(options.checkout).resolve()))
    name = f"dreamer_{options.algo}"
    peer = importlib.import_module(f"sheeprl.algos.{name}.{name}")
    config = load_config(work, options)
    config.actions_dim = (work["actions"],)
    Distribution.set_default_validate_args(config.distribution.validate_args)
    fabric = hydra.utils.instantiate(config.fabric, _convert_="all")
    space = spaces.Dict({"rgb": spaces.Box(0, 255, (work["channels"], 64, 64), np.uint8)})
    *models, player = peer.build_agent(fabric, config.actions_dim, not work["discrete"], config, space)
    batch = random_batch(work, np.random.default_rng(0))
    update = make_update(peer, fabric, config, models, batch)
    info = {"parameters": sum(value.numel() for model in models[:3] for value in model.parameters())}
    player.init_states()
    image = batch["rgb"][0, 0].numpy()
    act = torch.no_grad()(lambda: player.get_actions(peer.prepare_obs(fabric, {"rgb": image}, cnn_keys=["rgb"])))
    return update, info | {"torch": torch.__version__, "policy_ms": policy_ms(act)}
