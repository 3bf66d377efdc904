"""Settings of the official V3 agent (block `agent` of its config) as our flags. What our parts lack is refused."""

from common.foreign.settings import Settings, require

#: Norm -> its eps.
EPS = {"rms": 1e-4, "layer": 1e-4}

#: Our names of losses that have others.
RENAMED = {"reward": "rew", "actor": "policy", "critic": "value"}


def make_flags(cfg: Settings) -> Settings:
    """Official settings -> ours."""
    require(cfg, ac_grads=False)
    require(cfg["valnorm"], impl="none")
    return world_flags(cfg) | loss_flags(cfg) | behavior_flags(cfg) | optim_flags(cfg["opt"])


def world_flags(cfg: Settings) -> Settings:
    rssm, enc, dec = cfg["dyn"]["rssm"], cfg["enc"]["simple"], cfg["dec"]["simple"]
    for net in (enc, dec):
        require(net, outer=False, strided=False, kernel=5, mults=[2, 3, 4, 4], depth=enc["depth"])
    require(rssm, absolute=False)
    networks = {"encoder": enc, "decoder": dec, "reward": cfg["rewhead"], "con": cfg["conhead"]}
    networks |= {"actor": cfg["policy"], "critic": cfg["value"]}
    for net in networks.values():
        require(net, act=rssm["act"], norm=rssm["norm"])
    flags = {f"mlp.{name}.{key}": net[key] for name, net in networks.items() for key in ("layers", "units")}
    return flags | {
        "net": {"act": rssm["act"], "conv_act": rssm["act"], "norm": rssm["norm"], "eps": EPS[rssm["norm"]]},
        "latent": {key: rssm[key] for key in ("stoch", "classes", "unimix")},
        "rssm": {"deter": rssm["deter"], "hidden": rssm["hidden"]},
        "rssm.prior_layers": rssm["imglayers"],
        "rssm.post_layers": rssm["obslayers"],
        "cell": {"blocks": rssm["blocks"], "layers": rssm["dynlayers"]},
        "conv": {"depth": enc["depth"], "blocks": dec["bspace"]},
        "encoder.symlog": enc["symlog"],
        "reward.bins": cfg["rewhead"]["bins"],
        "critic.bins": cfg["value"]["bins"],
    }


def loss_flags(cfg: Settings) -> Settings:
    scales, contdisc = cfg["loss_scales"], cfg["contdisc"]
    return {
        **{f"loss.{ours}": scales[name] for ours, name in (RENAMED | {"rec": "rec", "con": "con"}).items()},
        "kl": {"dyn": scales["dyn"], "rep": scales["rep"], "free": cfg["dyn"]["rssm"]["free_nats"]},
        "model_grads.reward": cfg["reward_grad"],
        "discount": 1 - 1 / cfg["horizon"],
        "con.use": "SoftContinue" if contdisc else "BinaryContinue",
        **({} if contdisc else {"con.predict": "mean"}),
        "replay_value.use": "ReplayValue" if cfg["repval_loss"] else "NoReplayValue",
        **({"replay_value": {"scale": scales["repval"], "grad": cfg["repval_grad"]}} if cfg["repval_loss"] else {}),
    }


def behavior_flags(cfg: Settings) -> Settings:
    imag, slow, policy, norm = cfg["imag_loss"], cfg["slowvalue"], cfg["policy"], cfg["retnorm"]
    require(cfg["repl_loss"], **{key: imag[key] for key in ("lam", "slowreg")})
    require(cfg["advnorm"], impl="none")
    require(norm, impl="perc")
    return {
        "imagination": {"horizon": cfg["imag_length"], "last": cfg["imag_last"]},
        "returns.lam": imag["lam"],
        "slow": {"rate": slow["rate"], "every": slow["every"], "scale": imag["slowreg"], "target": imag["slowtar"]},
        "actor.entropy": imag["actent"],
        "policy_cont": {"min_std": policy["minstd"], "max_std": policy["maxstd"]},
        "policy_disc.unimix": 0.0,  # officially set, but not used
        "advantage": {key: norm[key] for key in ("rate", "limit", "debias")},
        "advantage.low": norm["perclo"],
        "advantage.high": norm["perchi"],
    }


def optim_flags(opt: Settings) -> Settings:
    require(opt, momentum=True)
    keys = ("eps", "beta1", "beta2", "wd", "schedule", "warmup", "anneal")
    return {f"optim.{key}": opt[key] for key in keys} | {"optim.lr.*": opt["lr"], "clip.clip": opt["agc"]}
