"""Our config for the official settings in the golden files of V2."""

import re

import numpy as np

from tests.parity.full import observations

#: Official actor gradient -> our part.
GRADS = {"reinforce": "Reinforce", "dynamics": "DynamicsGradient", "both": "Mixed"}


def flags_of(golden) -> dict:
    """Our config keys from the official config."""
    config = golden.meta["config"]
    heads = ["reward_head", "critic", "actor", *(["discount_head"] if config["pred_discount"] else [])]
    modules = ["rssm", "encoder", "decoder", *heads]
    actor = {"dist": golden.meta["resolved_actor_dist"], "min_std": config["actor.min_std"]}
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
        **{f"{name}.keys": pattern(golden, name) for name in ("encoder", "decoder")},
        **{f"{name}.scalars": False for name in ("encoder", "decoder")},
        **latent_flags(config),
        **loss_flags(config),
        **actor_flags(actor, golden.meta["resolved_actor_grad"]),
        "imagination.horizon": golden.meta["horizon"],
        "returns.lam": config["discount_lambda"],
        "slow": {"every": config["slow_target_update"], "fraction": config["slow_target_fraction"]},
        "reward_norm": {key: config[f"reward_norm.{key}"] for key in ("momentum", "scale", "eps")},
        **optim_flags(config),
    }


def same(config, setting, modules):
    """The value that a setting has in all of these official modules; ours has one for all."""
    values = {str(config[f"{module}.{setting}"]): config[f"{module}.{setting}"] for module in modules}
    assert len(values) == 1, f"{setting} differs between {modules}: {values}"
    return next(iter(values.values()))


def dense_sizes(widths):
    assert len(set(widths)) == 1, f"our hidden layers are equally wide, {widths} are not"
    return {"layers": len(widths), "units": widths[0]}


def pattern(golden, module):
    """One regular expression for the keys that the official two select."""
    axes = {key: len(box.shape) for key, box in observations(golden).items()}
    wanted = lambda key: golden.meta["config"][f"{module}.{'cnn' if axes[key] == 3 else 'mlp'}_keys"]
    return "|".join(re.escape(key) for key in axes if re.match(wanted(key), key))


def latent_flags(config):
    discrete = config["rssm.discrete"]
    gaussian = {"use": "Gaussian", "std": config["rssm.std_act"], "min_std": config["rssm.min_std"]}
    latent = {"use": "Categorical", "classes": discrete} if discrete else gaussian
    sizes = {f"rssm.{key}": config[f"rssm.{key}"] for key in ("deter", "hidden", "ensemble")}
    return {"latent": latent | {"stoch": config["rssm.stoch"]}, **sizes}


def loss_flags(config):
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


def optim_flags(config):
    groups = {"model": "model_opt", "actor": "actor_opt", "critic": "critic_opt"}
    each = lambda key: {ours: float(config[f"{theirs}.{key}"] or 0) for ours, theirs in groups.items()}
    wd = same(config, "wd", list(groups.values()))
    return {"optim.lr": each("lr"), "optim.eps": each("eps"), "optim.wd": wd, "clip": each("clip")}


def actor_flags(setting, grad) -> dict:
    """Config of policy and actor gradient for official settings."""
    discrete = setting["dist"] == "onehot"
    seam = "grad_disc" if discrete else "grad_cont"
    flags = {f"{seam}.use": GRADS[grad], "actor.entropy": setting["actor_ent"]}
    flags |= {f"{seam}.mix": setting["actor_grad_mix"]} if grad == "both" else {}
    return flags if discrete else flags | {"policy_cont": policy_block(setting)}


def policy_block(setting):
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


def kl_block(case, scale=1.0):
    """Config of the KL part for official settings. Balance 0.5 is a case of its own there: one undivided KL."""
    options = {"free": case["free"], "forward": case["forward"]}
    if case["balance"] == 0.5:
        return {"use": "PlainKL", "scale": scale, "where": "element", **options}
    scales = {"dyn": case["balance"] * scale, "rep": (1 - case["balance"]) * scale}
    return {"use": "BalancedKL", "where": "mean" if case["free_avg"] else "element", **scales, **options}
