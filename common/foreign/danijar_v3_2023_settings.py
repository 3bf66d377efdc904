"""Settings of the official V3 of 2023 (its config, flat with dots) as our flags. What our parts lack is refused."""

from common.foreign.settings import Settings, renamed, require

#: Our network -> the block of the settings with its layers and units.
HEADS = {"reward": "reward_head", "con": "cont_head", "critic": "critic", "actor": "actor"}
SIZES = ("layers", "units")
GRADS = {"reinforce": "Reinforce", "backprop": "DynamicsGradient"}
#: Foreign setting -> our key with the same meaning.
SAME_SETTINGS = {
    "rssm.stoch": "latent.stoch",
    "rssm.classes": "latent.classes",
    "rssm.unimix": "latent.unimix",
    "rssm.deter": "rssm.deter",
    "rssm.units": "rssm.hidden",
    "rssm.initial": "rssm.initial",
    "rssm.action_clip": "rssm.action_clip",
    "encoder.cnn_depth": "conv.depth",
    "encoder.symlog_inputs": "encoder.symlog",
    "reward_head.bins": "reward.bins",
    "critic.bins": "critic.bins",
    "actor.minstd": "policy_cont.min_std",
    "actor.maxstd": "policy_cont.max_std",
    "actor.unimix": "policy_disc.unimix",
    "loss_scales.dyn": "kl.dyn",
    "loss_scales.rep": "kl.rep",
    "dyn_loss.free": "kl.free",
    "imag_horizon": "imagination.horizon",
    "return_lambda": "returns.lam",
    "actent": "actor.entropy",
    "slow_critic_fraction": "slow.rate",
    "slow_critic_update": "slow.every",
    "retnorm.perclo": "advantage.low",
    "retnorm.perchi": "advantage.high",
}


def flags_of(config: Settings, discrete: bool) -> Settings:
    """Return our config keys. discrete: whether actions are; the file shows it."""
    check_settings(config)
    seam = "grad_disc" if discrete else "grad_cont"
    grad = GRADS[config[f"actor_{seam}"]]
    optimisers = {group: f"{group}_opt" for group in ("model", "actor", "critic")}
    each = lambda key: {group: float(config[f"{name}.{key}"]) for group, name in optimisers.items()}
    return {
        **network_sizes(config),
        **{f"{net}.scalars": False for net in ("encoder", "decoder")},
        "image.link": "sigmoid" if config.get("decoder.cnn_sigmoid") else "shift",
        f"{seam}.use": grad,
        **({f"{seam}.baseline": True} if grad == "DynamicsGradient" else {}),
        "discount": 1 - 1 / config["horizon"],
        "advantage.rate": round(1 - config["retnorm.decay"], 12),
        "advantage.limit": 1 / config["retnorm.max"],
        "optim.lr": each("lr"),
        "optim.eps": each("eps"),
        "clip": each("clip"),
        **renamed(config, SAME_SETTINGS),
    }


def network_sizes(config: Settings) -> Settings:
    """Return layers and units of all networks."""
    sizes = {f"mlp.{net}.{key}": config[f"{net}.mlp_{key}"] for net in ("encoder", "decoder") for key in SIZES}
    return sizes | {f"mlp.{ours}.{key}": config[f"{name}.{key}"] for ours, name in HEADS.items() for key in SIZES}


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
    require(config, **{f"{name}_opt.wd": 0.0 for name in ("model", "actor", "critic")})
    if not config["rssm.classes"]:
        require(config, **{"rssm.classes": 32})
