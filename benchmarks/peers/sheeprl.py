"""Eclectic-Sheep/sheeprl, DreamerV1 (`--algo v1`) and DreamerV2 (`--algo v2`) on Lightning Fabric.

Calls `train` of the checkout's algorithm on models from its `build_agent`, after what its training loop does before
each call: cast the batch to float32 and, for V2, copy the critic to its target every 100 updates. The configuration is
the checkout's own, composed by Hydra, with the sizes of the workload. V2's layer in front of the GRU has `hidden` units
as in the agent it follows; its own default, 400, is a few percent quicker. Its other defaults stay: no continue head,
four layers in every MLP, a truncated normal for continuous actions (V1 too), and objective_mix 1, REINFORCE: the
returns still go backward through the imagined dynamics, with weight zero. V1 has no is_first.

Left out: metrics and timers. Nothing is stubbed, and float32 products keep full precision (its command line would ask
for `high`). Needs torch, lightning, torchmetrics, hydra-core, gymnasium, opencv, moviepy, tensorboard, python-dotenv,
and rich.
"""

import importlib
import itertools
import statistics
import sys
import time
from pathlib import Path

import hydra
import numpy as np
import torch
from gymnasium import spaces
from omegaconf import OmegaConf
from torch.distributions import Distribution


def refuse(work, options):
    """Ends the run with what the peer or this adapter cannot do."""
    checks = {
        f"algo {options.algo} is not here: v1 or v2": options.algo not in ("v1", "v2"),
        "fp32 only": options.precision != "fp32",
        "eager only": options.compile == "on",
        "runs on the CPU": options.device != "cpu",
        "image workloads only": not work["channels"] or work["vector"],
        "algo v2 needs classes, algo v1 has none": ("classes" in work["sizes"]) != (options.algo == "v2"),
    }
    wrong = [message for message, holds in checks.items() if holds]
    if wrong:
        raise SystemExit(f"sheeprl: {'; '.join(wrong)}")


def overrides(work, algo):
    """Hydra overrides that give the sizes of a workload."""
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
    """The checkout's configuration, in its own dictionary type."""
    folder = Path(options.checkout).resolve() / "sheeprl" / "configs"
    keys = [f"exp=dreamer_{options.algo}", "env=dummy", "env.num_envs=1", "metric.log_level=0"]
    with hydra.initialize_config_dir(str(folder), version_base=None):
        config = hydra.compose("config", keys + overrides(work, options.algo))
    dotdict = importlib.import_module("sheeprl.utils.utils").dotdict
    return dotdict(OmegaConf.to_container(config, resolve=True, throw_on_missing=True))


def random_batch(work, rng):
    """A batch as its replay gives it, time first; episodes begin at the first step of each sequence, nothing ends."""
    lead = (work["length"], work["batch"])
    action = rng.uniform(-1, 1, (*lead, work["actions"])).astype(np.float32)
    if work["discrete"]:
        action = np.eye(work["actions"], dtype=np.float32)[rng.integers(0, work["actions"], lead)]
    flag = np.zeros((*lead, 1), np.float32)
    first = flag.copy()
    first[0] = 1
    batch = {"rgb": rng.integers(0, 256, (*lead, work["channels"], 64, 64), np.uint8), "actions": action}
    batch |= {"rewards": rng.standard_normal((*lead, 1), np.float32), "is_first": first}
    batch |= {"terminated": flag, "truncated": flag.copy()}
    return {key: torch.from_numpy(value) for key, value in batch.items()}


def make_update(peer, fabric, config, models, batch):
    """A function that does one training step; `models` are the world model, the actor, the critic, and any target."""
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


@torch.no_grad()
def policy_ms(fabric, player, batch, prepare, calls=50):
    """Median milliseconds of one policy call with batch 1, from a uint8 image."""
    image, seconds = batch["rgb"][0, 0].numpy(), []
    player.init_states()
    for _ in range(calls):
        start = time.perf_counter()
        player.get_actions(prepare(fabric, {"rgb": image}, cnn_keys=["rgb"]))
        seconds.append(time.perf_counter() - start)
    return {"1": 1e3 * statistics.median(seconds)}


def build(work, options):
    refuse(work, options)
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
    info |= {"torch": torch.__version__}
    return update, info | {"policy_ms": policy_ms(fabric, player, batch, peer.prepare_obs)}
