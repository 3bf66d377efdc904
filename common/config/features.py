"""Named features: the config keys of each idea that differs between the versions.

`--features retnorm=v2` gives the keys of a feature the values of another version: in V3 it turns return normalisation
off, `--features retnorm=v3` in V1 turns it on. Setting the keys one by one does the same.
"""

import fnmatch
from collections.abc import Mapping
from typing import Any

from common.config import parts
from common.config.config import flatten, unknown_name
from common.errors import UserError

#: Feature -> (description, config keys; globs allowed).
FEATURES: dict[str, tuple[str, list[str]]] = {
    "latent": ("Stochastic state", ["latent.*"]),
    "std": ("Standard deviation of Gaussian states", ["latent.std", "latent.min_std"]),
    "unimix": ("Uniform mix in latents and discrete actions", ["latent.unimix", "policy_disc.unimix"]),
    "cell": ("Recurrent cell", ["cell.*"]),
    "layers": ("Layers of prior and posterior", ["rssm.prior_layers", "rssm.post_layers"]),
    "ensemble": ("Prior ensemble", ["rssm.ensemble"]),
    "action_clip": ("Actions above 1 are scaled down in the dynamics", ["rssm.action_clip"]),
    "initial": ("Initial state", ["rssm.initial"]),
    "kl": ("KL loss: balance, scales, free nats", ["kl.*"]),
    "free_nats": ("Free nats and where they apply", ["kl.free", "kl.where"]),
    "conv": ("Convolutions", ["conv.*"]),
    "image": ("Pixel likelihood", ["image.*"]),
    "symlog": ("Symlog of vector inputs and targets", ["encoder.symlog", "vector.*"]),
    "reward": ("Reward head", ["reward.*"]),
    "reward_transform": ("Reward transform", ["reward_transform"]),
    "critic": ("Critic head", ["critic.*"]),
    "twohot": ("Reward and critic heads together", ["reward.*", "critic.*"]),
    "zero_init": ("Output scale of reward and critic at the start", ["reward.outscale", "critic.outscale"]),
    "model_grads": ("Heads that shape the representation", ["model_grads.*"]),
    "continue": ("Continue head, its scale, starts of imagination", ["con.*", "loss.con", "imagination.drop_last"]),
    "first": ("Discount of the start state", ["returns.first"]),
    "discount": ("Discount", ["discount"]),
    "returns": ("Value convention and lambda-return", ["returns.*"]),
    "start": ("Imagined sequence includes its start", ["returns.start"]),
    "retnorm": ("Scale of advantages", ["advantage.*"]),
    "reward_norm": ("Reward normalisation", ["reward_norm.*"]),
    "slow_critic": ("Target or slow critic", ["slow.*"]),
    "replay_value": ("Value loss on replayed steps", ["replay_value.*"]),
    "actor_grad": ("Actor gradient", ["grad_cont.*", "grad_disc.*"]),
    "entropy": ("Entropy scale", ["actor.entropy"]),
    "policy": ("Continuous action distribution", ["policy_cont.*"]),
    "actor_init": ("Output scale of the actor at the start", ["actor.outscale"]),
    "explore": ("Exploration: noise on actions, or Plan2Explore", ["explore.*"]),
    "eval": ("Action in evaluation", ["actor.eval"]),
    "act": ("Activations", ["net.act", "net.conv_act"]),
    "norm": ("Norm of all layers", ["net.norm", "net.eps", "net.bias"]),
    "init": ("Initialisation", ["net.init"]),
    "sizes": (
        "Layers and units of all networks, recurrent state",
        ["mlp.*.layers", "mlp.*.units", "rssm.deter", "rssm.hidden"],
    ),
    "horizon": ("Imagination horizon", ["imagination.horizon"]),
    "optim": ("Optimiser, learning rates, warm-up, decay", ["optim.*"]),
    "clip": ("Gradient clipping", ["clip.*"]),
    "order": ("Order of updates", ["order.*"]),
    "batch": ("Batch size and length", ["batch_size", "batch_length"]),
    "sampler": ("Replay sampling", ["sampler.*"]),
    "ends": ("Extra chance of episode ends", ["sampler.ends"]),
    "online": ("New data is replayed at once", ["sampler.online"]),
    "context": ("Start state of a window: stored latents or fresh", ["replay.context", "replay.force_first"]),
    "capacity": ("Replay capacity (steps)", ["replay.capacity"]),
    "schedule": ("Train rate", ["schedule.*"]),
    "envs": ("Environments side by side", ["run.envs"]),
    "protocol": ("The environment's protocol", ["env.*"]),
    "cadence": (
        "How often: evaluation, videos, logs, checkpoints",
        ["run.*_every", "run.eval_episodes", "run.eval_envs"],
    ),
    "precision": ("Precision of matrix products", ["run.precision"]),
    "prefill": ("Random prefill (agent steps), pretraining updates", ["run.prefill", "run.pretrain"]),
}


def covers_whole_group(feature: str) -> bool:
    """Return whether a feature has all keys of some part or group. Such features are applied first."""
    return any(glob.endswith(".*") for glob in FEATURES.get(feature.partition("=")[0], ("", []))[1])


def keys(feature: str, config: dict) -> list[str]:
    """Return the config keys of a feature in a config. Raises UserError for an unknown feature."""
    if feature not in FEATURES:
        raise UserError(unknown_name("feature", feature, FEATURES))
    names = list(flatten(config))
    found = {name for glob in FEATURES[feature][1] for name in fnmatch.filter(names, glob)}
    return [name for name in names if name in found]


def values(feature: str, config: dict) -> dict[str, Any]:
    """Return the flat config layer with a feature's values in `config`. Raises UserError if it has none of its keys."""
    flat, names = flatten(config), keys(feature, config)
    if not names:
        globs = ", ".join(FEATURES[feature][1])
        raise UserError(f"{config['algo']} does not have the feature {feature}: none of its parts has {globs}.")
    return {key: flat[key] for key in names}


def parts_given(feature: str, flags: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return those flags `SEAM.use` that choose a part of a feature, with their values."""
    globs = FEATURES.get(feature, ("", []))[1]
    uses = [key for key in flags if key.endswith(".use") and any(fnmatch.fnmatch(key, glob) for glob in globs)]
    return tuple((key, flags[key]) for key in uses)


def part_message(feature: str, name: str) -> str:
    """Return what to type if the value of a feature is a part instead of a version, else an empty string."""
    for seam in {glob.partition(".")[0] for glob in FEATURES.get(feature, ("", []))[1]}:
        if name in [path.split(":")[1] for path in parts.PARTS.get(seam, ())]:
            return f"--features takes FEATURE=VERSION, and {name} is a part. Choose it directly: --{seam}.use {name}."
    return ""
