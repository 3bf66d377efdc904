"""The file `checkpoint.ckpt` of danijar/dreamerv3 until 2023, which format `danijar-v3` also takes.

It is one pickle with the parameters by name and the states of three Adam optimisers. Names of vectors are in it, but
not their order in the encoder. Source: `embodied/core/checkpoint.py`, `jaxagent.py` `JAXAgent.save`.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gymnasium import spaces

from common.agent.agent import Agent
from common.config.config import flatten
from common.errors import UserError
from common.foreign import danijar_v3_2023_names as names
from common.foreign.danijar_names import embed_rows
from common.foreign.safe_pickle import read_pickle
from common.foreign.settings import Settings, read_settings, renamed, repeat_flag, require
from common.foreign.slots import Slots, key_rows, plain, under
from common.foreign.source import Description, Moments, Source, action_space, image_space, vector_space

ALGO = "v3-2023"
AC, WM = "agent/task_behavior/ac", "agent/wm"
CRITIC = "agent/task_behavior/critic"
#: Our group -> name of its optimiser.
OPTIMISERS = {"model": f"{WM}/model_opt", "actor": f"{AC}/actor_opt", "critic": f"{CRITIC}/critic_opt"}
#: Our network -> the block of the settings with its layers and units.
HEADS = {"reward": "reward_head", "con": "cont_head", "critic": "critic", "actor": "actor"}
GRADS = {"reinforce": "Reinforce", "backprop": "DynamicsGradient"}
UPDATES = f"{CRITIC}/updates/value"


def read(path: Path) -> Source:
    """Read the file and the settings next to it."""
    data = read_pickle(path)
    if not isinstance(data, dict) or not isinstance(data.get("agent"), dict):
        raise UserError(f"{path} holds no agent: it is not a checkpoint of danijar/dreamerv3 of 2023.")
    arrays, settings = data["agent"], flatten(read_settings(path.parent, levels=0))
    if "rssm.deter" not in settings:
        raise UserError(f"danijar-v3 needs the config.yaml of the run next to {path}: it names the networks.")
    optimisers = tuple(f"{name}/" for name in OPTIMISERS.values())
    tensors = {name: x for name, x in arrays.items() if not name.startswith(optimisers) and name != UPDATES}
    updates = int(arrays[UPDATES]) if UPDATES in arrays else 0
    return Source(path, tensors, settings, steps=int(data.get("step", 0)), updates=updates, moments=moments(arrays))


def moments(arrays: Mapping[str, Any]) -> Moments | None:
    """Return the state of the three optimisers; None if one is missing or of another kind than Adam."""
    found = {group: find_adam(arrays.get(f"{name}/state")) for group, name in OPTIMISERS.items()}
    states = {group: state for group, state in found.items() if state is not None}
    if set(states) != set(OPTIMISERS):
        return None
    join = lambda place: {name: x for state in states.values() for name, x in state[place].items()}
    return Moments(join(1), join(2), {group: int(state[0]) for group, state in states.items()})


def find_adam(state: Any) -> tuple | None:
    """Return step, first and second moments by name from a state of optax, which nests tuples."""
    if not isinstance(state, tuple):
        return None
    if len(state) == 3 and isinstance(state[1], dict) and isinstance(state[2], dict):
        return state
    return next((found for part in state if (found := find_adam(part))), None)


def describe(source: Source) -> Description:
    """Infer spaces from shapes; everything else is in the settings."""
    config = dict(source.settings)
    discrete = not source.has(f"{AC}/actor/dist_out/std/")
    latent = source.shape(f"{WM}/rssm/img_stats/kernel")[1]
    actions = source.shape(f"{WM}/rssm/img_in/kernel")[0] - latent
    flags = flags_of(config, discrete) | repeat_flag(config)
    return Description(ALGO, flags, observations(source, config), action_space(actions, discrete))


def flags_of(config: Settings, discrete: bool) -> Settings:
    """Return our config keys for the settings, flat with dots."""
    check_settings(config)
    sizes = {
        f"mlp.{ours}.{key}": config[f"{name}.{key}"] for ours, name in HEADS.items() for key in ("layers", "units")
    }
    for net in ("encoder", "decoder"):
        sizes |= {f"mlp.{net}.{key}": config[f"{net}.mlp_{key}"] for key in ("layers", "units")}
    names = {"actor": "actor_opt", "critic": "critic_opt", "model": "model_opt"}
    each = lambda key: {group: float(config[f"{name}.{key}"]) for group, name in names.items()}
    grad = GRADS[config["actor_grad_disc" if discrete else "actor_grad_cont"]]
    return {
        **sizes,
        "latent": {key: config[f"rssm.{key}"] for key in ("stoch", "classes", "unimix")},
        "rssm": {"deter": config["rssm.deter"], "hidden": config["rssm.units"], "initial": config["rssm.initial"]},
        "rssm.action_clip": config["rssm.action_clip"],
        "conv.depth": config["encoder.cnn_depth"],
        "image.link": "sigmoid" if config.get("decoder.cnn_sigmoid") else "shift",
        "encoder.symlog": config["encoder.symlog_inputs"],
        **{f"{net}.scalars": False for net in ("encoder", "decoder")},
        "grad_disc.use" if discrete else "grad_cont.use": grad,
        "policy_cont": {"min_std": config["actor.minstd"], "max_std": config["actor.maxstd"]},
        "policy_disc.unimix": config["actor.unimix"],
        "kl": {"dyn": config["loss_scales.dyn"], "rep": config["loss_scales.rep"], "free": config["dyn_loss.free"]},
        "discount": 1 - 1 / config["horizon"],
        "advantage": {
            "rate": round(1 - config["retnorm.decay"], 12),
            "limit": 1 / config["retnorm.max"],
            "low": config["retnorm.perclo"],
            "high": config["retnorm.perchi"],
        },
        "optim.lr": each("lr"),
        "optim.eps": each("eps"),
        "clip": each("clip"),
        **renamed(config, SAME_SETTINGS),
    }


#: Foreign setting -> our key with the same meaning.
SAME_SETTINGS = {
    "reward_head.bins": "reward.bins",
    "critic.bins": "critic.bins",
    "imag_horizon": "imagination.horizon",
    "return_lambda": "returns.lam",
    "actent": "actor.entropy",
    "slow_critic_fraction": "slow.rate",
    "slow_critic_update": "slow.every",
}


def check_settings(config: Settings) -> None:
    """Raise UserError for settings that our parts do not have."""
    blocks = ("rssm", "encoder", "decoder", "reward_head", "cont_head", "actor", "critic")
    require(config, **{f"{block}.act": "silu" for block in blocks}, **{f"{block}.norm": "layer" for block in blocks})
    for net in ("encoder", "decoder"):
        require(config, **{f"{net}.cnn_blocks": 0, f"{net}.resize": "stride", f"{net}.minres": 4})
    require(config, **{"decoder.cnn_depth": config["encoder.cnn_depth"], "decoder.image_dist": "mse"})
    require(config, **{"decoder.vector_dist": "symlog_mse", "reward_head.dist": "symlog_disc"})
    require(config, **{"critic.dist": "symlog_disc", "critic_type": "vfunction", "critic_slowreg": "logprob"})
    require(config, **{"task_behavior": "Greedy", "retnorm.impl": "perc_ema", "actor_dist_cont": "normal"})
    require(config, **{"dyn_loss.impl": "kl", "rep_loss.impl": "kl", "rep_loss.free": config["dyn_loss.free"]})
    if not config["rssm.classes"]:
        require(config, **{"rssm.classes": 32})


def observations(source: Source, config: Settings) -> spaces.Dict:
    """Return the spaces of the observations. The file has no name of the image: it is `image`."""
    found: dict[str, spaces.Space] = {}
    kernels = source.count(f"{WM}/enc/cnn/s{{}}res/kernel")
    if kernels:
        side = config["encoder.minres"] * 2**kernels
        found["image"] = image_space(side, side, source.shape(f"{WM}/enc/cnn/s0res/kernel")[2])
    for key in source.find(rf"{WM}/dec/mlp/dist_(.+)/out/kernel"):
        found[key] = vector_space(source.shape(f"{WM}/dec/mlp/dist_{key}/out/kernel")[1])
    vectors = sorted(found.keys() - {"image"})
    if len(vectors) > 1 and sorted(source.keys) != vectors:
        raise UserError(
            f"{source.path} does not have the order of its vectors {', '.join(vectors)}. Give --keys with these names "
            "in the order of the environment that it was trained on."
        )
    return spaces.Dict(found)


def slots(agent: Agent, source: Source, keys: dict[str, str]) -> Slots:
    """Return the places of all arrays in an agent."""
    world, behavior, encoder = agent.world, agent.behavior, agent.world.encoder
    slow, norm, foreign = behavior.slow, behavior.advantage, {ours: theirs for theirs, ours in keys.items()}
    order = source.keys or [foreign[key] for key in encoder.vectors]
    sizes = {key: math.prod(world.decoder.shapes[key]) for key in encoder.vectors}
    rows = key_rows([keys[key] for key in order], sizes) if encoder.vectors else None
    groups = {
        f"{WM}/enc": names.encoder(encoder, rows),
        f"{WM}/rssm": names.rssm(world.rssm, embed_rows(encoder)),
        f"{WM}/dec": names.decoder(world.decoder, foreign),
        f"{WM}/rew": names.head(world.reward.net),
        f"{WM}/cont": names.head(world.con.net),  # type: ignore[attr-defined]
        f"{AC}/actor": names.actor(behavior.actor),
        f"{CRITIC}/net": names.head(behavior.critic.net),
        f"{CRITIC}/slow": names.head(slow.slow.net),  # type: ignore[attr-defined]
    }
    found = {name: slot for module, group in groups.items() for name, slot in under(module, group).items()}
    ends = norm.range  # type: ignore[attr-defined]
    return found | {f"{AC}/retnorm_extr/{name}/value": plain(ends[i]) for i, name in enumerate(("low", "high"))}
