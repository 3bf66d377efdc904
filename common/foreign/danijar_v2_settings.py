"""Settings of the official V2 agent (its config, flat with dots) as our flags. What our parts lack is refused."""

from typing import Any

import numpy as np

from common.errors import UserError
from common.foreign.settings import Settings, require

#: Official actor gradient -> our part.
GRADS = {"reinforce": "Reinforce", "dynamics": "DynamicsGradient", "both": "Mixed"}


def flags_of(config: Settings, dist: str, grad: str) -> Settings:
    """Return our config keys. dist, grad: action distribution and actor gradient, where the settings say `auto`."""
    require(config, **{"encoder.cnn_kernels": [4, 4, 4, 4], "decoder.cnn_kernels": [5, 5, 6, 6]})
    require(config, **{f"{name}.dist": "mse" for name in ("reward_head", "critic")})
    names = ["reward_head", "critic", "actor", *(["discount_head"] if config["pred_discount"] else [])]
    modules = ["rssm", "encoder", "decoder", *names]
    actor = {"dist": dist, "min_std": config["actor.min_std"], "init_std": config.get("actor.init_std", 0.0)}
    actor |= {key: config[key] for key in ("actor_ent", "actor_grad_mix")}
    heads = {"reward": "reward_head", "con": "discount_head", "critic": "critic", "actor": "actor"}
    mlps = {ours: {key: config[f"{name}.{key}"] for key in ("layers", "units")} for ours, name in heads.items()}
    mlps |= {name: dense_sizes(config[f"{name}.mlp_layers"]) for name in ("encoder", "decoder")}
    return {
        "mlp": mlps,
        "net.act": same(config, "act", modules),
        "net.conv_act": same(config, "act", ["encoder", "decoder"]),
        "net.norm": same(config, "norm", modules),
        "conv.depth": same(config, "cnn_depth", ["encoder", "decoder"]),
        **{f"{name}.scalars": False for name in ("encoder", "decoder")},
        **latent_flags(config),
        **loss_flags(config),
        **actor_flags(actor, grad),
        "imagination.horizon": config["imag_horizon"],
        "returns.lam": config["discount_lambda"],
        **slow_flags(config),
        "reward_norm": {key: config[f"reward_norm.{key}"] for key in ("momentum", "scale", "eps")},
        **optim_flags(config),
    }


def slow_flags(config: Settings) -> Settings:
    """Return the config of the target critic, or of none."""
    if not config.get("slow_target", True):
        return {"slow.use": "NoSlow"}
    return {"slow": {"every": config["slow_target_update"], "fraction": config["slow_target_fraction"]}}


def same(config: Settings, setting: str, modules: list[str]) -> Any:
    """The value that a setting has in all of these official modules; ours has one for all."""
    values = {str(config[f"{module}.{setting}"]): config[f"{module}.{setting}"] for module in modules}
    if len(values) > 1:
        raise UserError(
            f"The setting {setting} differs between {', '.join(modules)} of the foreign run: here it is one."
        )
    return next(iter(values.values()))


def dense_sizes(widths: list[int]) -> Settings:
    """Return layers and units of hidden layers with these widths."""
    if len(set(widths)) != 1:
        raise UserError(f"The hidden layers of the foreign run have the widths {widths}. Here they are equally wide.")
    return {"layers": len(widths), "units": widths[0]}


def latent_flags(config: Settings) -> Settings:
    discrete = config["rssm.discrete"]
    gaussian = {"use": "Gaussian", "std": config["rssm.std_act"], "min_std": config["rssm.min_std"]}
    latent = {"use": "Categorical", "classes": discrete} if discrete else gaussian
    sizes = {f"rssm.{key}": config[f"rssm.{key}"] for key in ("deter", "hidden", "ensemble")}
    return {"latent": latent | {"stoch": config["rssm.stoch"]}, **sizes}


def loss_flags(config: Settings) -> Settings:
    kl = {key: config[f"kl.{key}"] for key in ("free", "forward", "balance", "free_avg")}
    heads = {"rec": "decoder", "reward": "reward", "con": "discount"}
    return {
        "kl": kl_block(kl, config["loss_scales.kl"]),
        "loss.reward": config["loss_scales.reward"],
        "loss.con": config["loss_scales.discount"],
        "con.use": "SoftContinue" if config["pred_discount"] else "NoContinue",
        "model_grads": {ours: theirs in config["grad_heads"] for ours, theirs in heads.items()},
        "reward_transform": {"identity": "none"}.get(config["clip_rewards"], config["clip_rewards"]),
        "discount": config["discount"],
    }


def optim_flags(config: Settings) -> Settings:
    groups = {"model": "model_opt", "actor": "actor_opt", "critic": "critic_opt"}
    each = lambda key: {ours: float(config[f"{theirs}.{key}"] or 0) for ours, theirs in groups.items()}
    wd = same(config, "wd", list(groups.values()))
    return {"optim.lr": each("lr"), "optim.eps": each("eps"), "optim.wd": wd, "clip": each("clip")}


def actor_flags(setting: Settings, grad: str) -> Settings:
    """Config of policy and actor gradient for official settings."""
    discrete = setting["dist"] == "onehot"
    seam = "grad_disc" if discrete else "grad_cont"
    flags = {f"{seam}.use": GRADS[grad], "actor.entropy": setting["actor_ent"]}
    flags |= {f"{seam}.mix": setting["actor_grad_mix"]} if grad == "both" else {}
    return flags if discrete else flags | {"policy_cont": policy_block(setting)}


def policy_block(setting: Settings) -> Settings:
    """Config of the continuous policy for official settings (defaults: init_std 0, min_std 0.1).

    The official V2 adds init_std to the raw output of the tanh Normal; ours, as V1's, is the std it stands for.
    """
    min_std, init_std = setting.get("min_std", 0.1), setting.get("init_std", 0.0)
    blocks = {
        "normal": {"use": "FreeNormal"},
        "trunc_normal": {"use": "TruncNormal", "init_std": init_std, "min_std": min_std},
        "tanh_normal": {"use": "TanhNormal", "init_std": float(np.log1p(np.exp(init_std))), "min_std": min_std},
    }
    return blocks[setting["dist"]]


def kl_block(case: Settings, scale: float = 1.0) -> Settings:
    """Config of the KL part for official settings. Balance 0.5 is a case of its own there: one undivided KL."""
    options = {"free": case["free"], "forward": case["forward"]}
    if case["balance"] == 0.5:
        return {"use": "PlainKL", "scale": scale, "where": "element", **options}
    scales = {"dyn": case["balance"] * scale, "rep": (1 - case["balance"]) * scale}
    return {"use": "BalancedKL", "where": "mean" if case["free_avg"] else "element", **scales, **options}
