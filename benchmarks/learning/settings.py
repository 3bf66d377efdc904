"""Settings of both sides: our flags, and the official settings that follow from our resolved config.

The official settings are computed from ours, so a number is written once. Numbers that the official programs do not
offer as settings are in `patches`; the modules in `agents` apply them.
"""

from common.config.config import flatten
from common.config.versions import resolve

BLOCKS = ("cpu",)
LOG_EVERY = 500  # frames
NEVER = 10**9

#: Our flags for all versions, besides those of a run. Nothing but training, on one thread, in float32.
OUR_FLAGS = {
    "run.device": "cpu",
    "run.threads": 1,
    "run.precision": "fp32",
    "run.compile": "off",
    "run.eval_every": 0,
    "run.video_every": 0,
    "run.log_every": LOG_EVERY,
    "run.save_every": 10_000,
}
#: Version -> our further flags, for differences that a switch removes.
OUR_SWITCHES = {
    "v1": {"sampler.inclusive": False},  # the official V1 never draws the last window of an episode
    "v3": {"policy_disc.unimix": 0.0},  # the official code of this revision does not mix discrete actions
}


def our_config(version: str, task: str) -> dict[str, object]:
    """Return our resolved config of a version on a task, flat."""
    return flatten(resolve(version, BLOCKS, {"task": task, **our_flags(version)}))


def our_flags(version: str) -> dict[str, object]:
    """Return our flags that all runs of a version share."""
    return OUR_FLAGS | OUR_SWITCHES.get(version, {})


def our_words(version: str, task: str, seed: int, frames: int) -> list[str]:
    """Return the words of our command after `dreamer.py`, without the logdir."""
    flags = {**our_flags(version), "steps": frames, "seed": seed}
    words = [word for key, value in flags.items() for word in (f"--{key}", str(value).lower())]
    return ["train", "--algo", version, "--configs", *BLOCKS, "--task", task, *words]


def official_settings(version: str, task: str) -> dict[str, dict]:
    """Return `env`, `flags` and `patches` of the official agent of a version, see `start.Job`."""
    ours = our_config(version, task)
    env = {key.removeprefix("env."): value for key, value in ours.items() if key.startswith("env.")}
    if env["repeat"] != 1 or ours["run.envs"] != 1:
        raise ValueError(f"{task}: the official agents run with one environment and one frame per step here.")
    return {"env": env, **{"v1": settings_of_v1, "v2": settings_of_v2, "v3": settings_of_v3}[version](ours)}


def same(ours: dict, *keys: str):
    """Return the value that all keys share. Raises ValueError if they differ, since the official agent has one."""
    values = {ours[key] for key in keys}
    if len(values) != 1:
        raise ValueError(f"The official agent has one number for {', '.join(keys)}, we have {sorted(values)}.")
    return values.pop()


def settings_of_v1(ours: dict) -> dict[str, dict]:
    heads = [f"mlp.{head}.units" for head in ("reward", "con", "critic", "actor")]
    flags = {
        "batch_size": ours["batch_size"],
        "batch_length": ours["batch_length"],
        "deter_size": same(ours, "rssm.deter", "rssm.hidden"),
        "stoch_size": ours["latent.stoch"],
        "num_units": same(ours, *heads),
        "cnn_depth": ours["conv.depth"],
        "model_lr": ours["optim.lr.model"],
        "actor_lr": ours["optim.lr.actor"],
        "value_lr": ours["optim.lr.critic"],
        "grad_clip": same(ours, "clip.model", "clip.actor", "clip.critic"),
        "kl_scale": ours["kl.scale"],
        "free_nats": ours["kl.free"],
        "pcont": ours["con.use"] == "SoftContinue",
        "pcont_scale": ours["loss.con"],
        "discount": ours["discount"],
        "disclam": ours["returns.lam"],
        "horizon": ours["imagination.horizon"],
        "clip_rewards": ours["reward_transform"],
        "expl_amount": ours["explore.amount"],
        "prefill": ours["run.prefill"],
        "train_every": ours["schedule.every"],
        "train_steps": ours["schedule.updates"],
        "pretrain": ours["run.pretrain"] or ours["schedule.updates"],  # the size of the first burst
        "action_repeat": 1,
        "precision": 32,
        "log_every": LOG_EVERY,
        "eval_every": NEVER,  # one episode at the start remains
        "steps": NEVER,  # the environment ends the run
        "log_images": False,
        **V1_ACTIONS[is_discrete(ours["task"])],
    }
    layers = {
        f"{part}_{what}": ours[f"mlp.{part}.{what}"] for part in ("encoder", "decoder") for what in ("layers", "units")
    }
    return {"flags": flags, "patches": layers}


#: Whether actions are discrete -> official settings of V1.
V1_ACTIONS = {
    True: {"action_dist": "onehot", "expl": "epsilon_greedy"},
    False: {"action_dist": "tanh_normal", "expl": "additive_gaussian"},
}


def settings_of_v2(ours: dict) -> dict[str, dict]:
    heads = {"reward": "reward_head", "con": "discount_head", "actor": "actor", "critic": "critic"}
    flags = {
        "dataset": {"batch": ours["batch_size"], "length": ours["batch_length"]},
        "replay": {"minlen": 1, "maxlen": ours["batch_length"], "prioritize_ends": True},
        "rssm": {
            "deter": ours["rssm.deter"],
            "hidden": ours["rssm.hidden"],
            "stoch": ours["latent.stoch"],
            "discrete": ours["latent.classes"],
        },
        **{
            name: {"layers": ours[f"mlp.{head}.layers"], "units": ours[f"mlp.{head}.units"]}
            for head, name in heads.items()
        },
        **{part: encoder_of_v2(ours, part) for part in ("encoder", "decoder")},
        "loss_scales": {"kl": ours["kl.dyn"] + ours["kl.rep"], "discount": ours["loss.con"]},
        "kl": {"free": ours["kl.free"], "balance": ours["kl.dyn"] / (ours["kl.dyn"] + ours["kl.rep"])},
        **{f"{part}_opt": optimizer_of_v2(ours, part) for part in ("model", "actor", "critic")},
        "discount": ours["discount"],
        "discount_lambda": ours["returns.lam"],
        "imag_horizon": ours["imagination.horizon"],
        "actor_ent": ours["actor.entropy"],
        "reward_norm": {name: ours[f"reward_norm.{name}"] for name in ("momentum", "scale", "eps")},
        "slow_target_update": ours["slow.every"],
        "slow_target_fraction": ours["slow.fraction"],
        "clip_rewards": {"none": "identity"}.get(ours["reward_transform"], ours["reward_transform"]),
        "pred_discount": ours["con.use"] == "SoftContinue",
        "prefill": ours["run.prefill"],
        "pretrain": ours["run.pretrain"],
        "train_every": ours["schedule.steps"],
        "train_steps": ours["schedule.updates"],
        "precision": 32,
        "log_every": LOG_EVERY,
        "eval_every": NEVER,
        "steps": NEVER,
    }
    return {"flags": flags, "patches": {"ends": ours["sampler.ends"]}}


def encoder_of_v2(ours: dict, part: str) -> dict:
    """Return the sizes of V2's encoder or decoder."""
    layers = [ours[f"mlp.{part}.units"]] * ours[f"mlp.{part}.layers"]
    return {"mlp_layers": layers, "cnn_depth": ours["conv.depth"]}


def optimizer_of_v2(ours: dict, part: str) -> dict:
    """Return the numbers of one of V2's optimizers."""
    numbers = {"lr": f"optim.lr.{part}", "eps": f"optim.eps.{part}", "clip": f"clip.{part}", "wd": "optim.wd"}
    return {name: ours[key] for name, key in numbers.items()}


def settings_of_v3(ours: dict) -> dict[str, dict]:
    heads = {"encoder": "enc.simple", "decoder": "dec.simple", "reward": "rewhead", "con": "conhead"}
    heads |= {"actor": "policy", "critic": "value"}
    rate = ours["optim.lr.model"]
    flags = {
        "batch_size": ours["batch_size"],
        "batch_length": ours["batch_length"],
        "agent.dyn.rssm.deter": ours["rssm.deter"],
        "agent.dyn.rssm.hidden": ours["rssm.hidden"],
        "agent.dyn.rssm.stoch": ours["latent.stoch"],
        "agent.dyn.rssm.classes": ours["latent.classes"],
        "agent.dyn.rssm.free_nats": ours["kl.free"],
        **{
            f"agent.{name}.{what}": ours[f"mlp.{head}.{what}"]
            for head, name in heads.items()
            for what in ("layers", "units")
        },
        "agent.enc.simple.depth": ours["conv.depth"],
        "agent.dec.simple.depth": ours["conv.depth"],
        "agent.loss_scales.rec": ours["loss.rec"],
        "agent.loss_scales.dyn": ours["kl.dyn"],
        "agent.loss_scales.rep": ours["kl.rep"],
        "agent.loss_scales.con": ours["loss.con"],
        "agent.opt.lr": rate,
        "agent.opt.warmup": ours["optim.warmup"],
        "agent.horizon": round(1 / (1 - ours["discount"])),
        "agent.imag_length": ours["imagination.horizon"],
        "agent.imag_loss.lam": ours["returns.lam"],
        "agent.imag_loss.actent": ours["actor.entropy"],
        "agent.report": False,
        "run.train_ratio": ours["schedule.ratio"],
        "run.envs": 1,
        "run.debug": True,  # the environment is in the same process
        "run.log_every": 0,
        "run.report_every": 0,
        "run.save_every": 0,
        "run.steps": NEVER,
        "jax.platform": "cpu",
        "jax.compute_dtype": "float32",
        "jax.prealloc": False,
        "logger.outputs": "jsonl",
    }
    rates = {"pol": ours["optim.lr.actor"] / rate, "val": ours["optim.lr.critic"] / rate}
    return {"flags": flags, "patches": {"prefill": ours["run.prefill"], "rates": rates}}


def is_discrete(task: str) -> bool:
    """Return whether a task has discrete actions."""
    from common.envs import make_env

    env = make_env(task)
    try:
        return hasattr(env.action_space, "n")
    finally:
        env.close()
