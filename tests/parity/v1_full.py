"""Golden files of whole V1 updates."""

import torch

import dreamer
from common.foreign import danijar_names as names
from common.foreign.slots import feature_rows, under
from tests.parity.common import Golden, count, load, swap
from tests.parity.full import Update, make_agent
from tests.parity.shared import HALF_LOG_2PI, given_noise


def flags(golden: Golden) -> dict:
    """Our config keys from the official config and the shapes in the file."""
    config, shape = golden.meta["config"], lambda name: golden[f"param/{name}"].shape
    layers = {
        f"mlp.{ours}.layers": count(golden.names(f"param/{theirs}"), "h")
        for ours, theirs in {"reward": "reward", "critic": "value", "actor": "actor", "con": "pcont"}.items()
        if golden.has(f"param/{theirs}")
    }
    groups = {"model": "model_lr", "actor": "actor_lr", "critic": "value_lr"}
    return layers | {
        "con.use": "SoftContinue" if config["pcont"] else "NoContinue",
        "imagination.drop_last": int(config["pcont"]),
        "imagination.horizon": config["horizon"],
        "rssm.deter": config["deter_size"],
        "rssm.hidden": shape("dynamics/img1/kernel")[1],
        "latent.stoch": config["stoch_size"],
        "mlp.*.units": config["num_units"],
        "net.act": config["dense_act"],
        "net.conv_act": config["cnn_act"],
        "conv.depth": config["cnn_depth"],
        "kl.free": config["free_nats"],
        "kl.scale": config["kl_scale"],
        "loss.con": config["pcont_scale"],
        "reward_transform": config["clip_rewards"],
        "discount": config["discount"],
        "returns.lam": config["disclam"],
        "policy_cont.init_std": config["action_init_std"],
        "optim.lr": {group: config[key] for group, key in groups.items()},
        "clip": dict.fromkeys(groups, config["grad_clip"] or 0.0),
    }


def check(golden):
    """Losses, all intermediate results, gradients and one step of `Dreamer._train`."""
    discrete = {"onehot": True, "tanh_normal": False}[golden.meta["config"]["action_dist"]]
    agent = make_agent(golden, dreamer.resolve("v1", flags=flags(golden)), discrete)
    slots = names.v1_agent(agent)
    load(golden, "param", {name: slot for key, group in slots.items() for name, slot in under(key, group).items()})
    update = Update(agent, batch_of(golden), noise(golden, agent))
    close_training(golden, slots, update)
    update.rewind()
    close_model(golden, update)
    close_states(golden, update)
    close_behavior(golden, update)


def batch_of(golden):
    """The official V1 has no resets within a sequence; it ends an episode by discount 0."""
    data = {key: golden[f"in/data/{key}"] for key in golden.names("in/data")}
    none = torch.zeros(data["reward"].shape, dtype=torch.bool)
    ends = {"is_first": none, "is_last": none, "is_terminal": data.pop("discount") == 0}
    return data | ends | {"prev_action": data.pop("action")}


def noise(golden, agent):
    return {
        "post": golden["in/noise/eps_post"],
        "img": golden["in/noise/eps_img"],
        "act": given_noise(golden, "in/noise/act", agent.actions),
        "entropy": None,
    }


def close_training(golden, slots, update):
    """Gradients, their norms, parameters after the step."""
    config = golden.meta["config"]
    for key, group in slots.items():
        theirs, rate = (key, f"{key}_lr") if key in ("actor", "value") else (f"model/{key}", "model_lr")
        update.close_grads(golden, f"grad/{theirs}", group)
        update.close_after(golden, f"after/{key}", group, config[rate])
    for ours, theirs in {"model": "model", "actor": "actor", "critic": "value"}.items():
        golden.close(f"out/{theirs}_grad_norm", update.metrics[f"grad/{ours}"])


def close_model(golden, update):
    """The Gaussian constants, which our losses leave out, are added here."""
    losses, scales = update.losses, update.agent.scales
    pixels = golden["in/data/image"][0, 0].numel()
    likes = {
        "image": -losses["image"].mean() - pixels * HALF_LOG_2PI,
        "reward": -losses["reward"].mean() - HALF_LOG_2PI,
    }
    if "con" in losses:
        likes["pcont"] = -losses["con"].mean() * scales["con"]
    for name in golden.names("out/likes"):
        golden.close(f"out/likes/{name}", likes[name])
    golden.close("out/div", losses["kl"].mean())
    total = sum(scales[name] * update.metrics[f"loss/{name}"] for name in losses if name not in ("actor", "critic"))
    golden.close("out/model_loss", total + (pixels + 1) * HALF_LOG_2PI)


def close_states(golden, update):
    rssm, states = update.agent.world.rssm, update.states
    rows = names.embed_rows(update.agent.world.encoder)
    golden.close("out/embed", update.seen["embed"][1][..., rows])
    prior = rssm.prior(states.deter)
    stoch = rssm.latent.sample(prior, swap(golden["in/noise/eps_prior"]))
    for name, params, sample in (("post", update.post, states.stoch), ("prior", prior, stoch)):
        mean, std = rssm.latent.stats(params)
        for key, got in {"mean": mean, "std": std, "stoch": sample, "deter": states.deter}.items():
            golden.close(f"out/{name}/{key}", got)


def close_behavior(golden, update):
    """The official imagination does not hold the start state."""
    rssm, targets = update.agent.world.rssm, update.targets
    feat = update.imagined.feat[..., feature_rows(rssm.deter, rssm.latent.size)]
    series = {"feat": feat, "reward": update.reward, "pcont": update.con, "value": update.value}
    for name, got in series.items():
        golden.close(f"out/imag_{name}", swap(got[:, 1:]))
    golden.close("out/returns", swap(targets.critic_ret))
    golden.close("out/discount", swap(targets.critic_weight))
    golden.close("out/actor_loss", update.metrics["loss/actor"])
    constant = HALF_LOG_2PI * targets.critic_weight.mean()  # our loss leaves it out
    golden.close("out/value_loss", update.metrics["loss/critic"] + constant)
