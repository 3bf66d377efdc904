"""Golden files of whole V2 updates."""

import re

import torch

import dreamer
from common.agent.returns import discount_weights
from common.config.annealing import schedule
from common.foreign import danijar_names as names
from common.foreign.danijar_v2_settings import flags_of
from common.foreign.slots import key_rows, under
from tests.parity.common import load, swap
from tests.parity.full import Update, make_agent, observations
from tests.parity.shared import HALF_LOG_2PI, close_latent, close_prior, entropy_noise, given_noise, official_feat


def slots_of(golden, agent) -> dict:
    """Official path -> slots; the target critic has its own."""
    encoder = agent.world.encoder
    keys = [key for key in golden.names("in/data") if key in encoder.vectors]
    sizes = {key: golden[f"in/data/{key}"].shape[-1] for key in keys}
    return names.v2_agent(agent, key_rows(keys, sizes) if keys else None)


def make_flags(golden) -> dict:
    """Our config keys from the settings in the file."""
    meta = golden.meta
    flags = flags_of(meta["config"], meta["resolved_actor_dist"], meta["resolved_actor_grad"])
    keys = {f"{name}.keys": pattern(golden, name) for name in ("encoder", "decoder")}
    return flags | keys | {"imagination.horizon": meta["horizon"]}


def pattern(golden, module):
    """One regular expression for the keys that the official two select."""
    axes = {key: len(box.shape) for key, box in observations(golden).items()}
    wanted = lambda key: golden.meta["config"][f"{module}.{'cnn' if axes[key] == 3 else 'mlp'}_keys"]
    return "|".join(re.escape(key) for key in axes if re.match(wanted(key), key))


def updated(golden, **flags):
    """Agent with the file's parameters after one update -> slots, update."""
    discrete = golden.meta["resolved_actor_dist"] == "onehot"
    agent = make_agent(golden, dreamer.resolve("v2", flags=make_flags(golden) | flags), discrete)
    slots = slots_of(golden, agent)
    load(golden, "param", {name: slot for key, group in slots.items() for name, slot in under(key, group).items()})
    batch = {key: golden[f"in/data/{key}"] for key in golden.names("in/data")}
    classes = {"post": golden.meta["config"]["rssm.discrete"], "act": agent.actions}
    classes["img"] = classes["post"]
    noise = {name: given_noise(golden, f"in/noise/{name}", classes[name]) for name in classes}
    noise["entropy"] = entropy_noise(golden.get("in/noise/entropy_eps"))
    return slots, Update(agent, batch | {"prev_action": batch.pop("action")}, noise)


def check(golden):
    """The files hold an imagination with the model of before its step: here all groups step together."""
    slots, update = updated(golden, **{"order.use": "Joint"})
    close_training(golden, slots, update)
    update.rewind()
    close_model(golden, update)
    close_states(golden, update)
    close_imagination(golden, update)
    close_behavior(golden, update)
    check_order(golden)


def check_order(golden):
    """The recipe's own order. With a model step of length 0 it must give the file's behaviour gradients.

    With a long one, imagination begins at the file's states, from before the step, and uses the model of after it.
    """
    slots, update = updated(golden, **{"optim.lr.model": 0.0, "optim.wd": 0.0})
    for key in ("actor", "critic"):
        update.close_grads(golden, f"grad/{key}", slots[f"ac/{key}"])
    _, update = updated(golden, **{"optim.lr.model": 0.01})
    world, feat = update.agent.world, update.imagined.feat
    start = golden.expect("out/wm/feat").flatten(0, 1)
    golden.compare("start states", official_feat(world.rssm, update.imagined)[:, 0], start, golden.tol)
    golden.compare("rewards by the new model", update.seen["normed"][0][0], world.reward.pred(feat), golden.tol)


def close_training(golden, slots, update):
    """Gradients, their norms, parameters after the step."""
    config = golden.meta["config"]
    for key, group in slots.items():
        kind, name = key.split("/")
        optim = {"wm": "model", "actor": "actor"}.get(kind if kind == "wm" else name, "critic")
        update.close_after(golden, f"after/{key}", group, config[f"{optim}_opt.lr"])
        if name != "target_critic":
            update.close_grads(golden, f"grad/{key if kind == 'wm' else name}", group)
    golden.close("out/wm/grad_norm", update.metrics["grad/model"])
    for name in ("actor", "critic"):
        golden.close(f"out/ac/{name}_grad_norm", update.metrics[f"grad/{name}"])
    if golden.has("grad_alt_implicit"):
        golden.skip("grad_alt_implicit", "gradients under the exact rule, which the official code does not follow")


def close_model(golden, update):
    """Our Gaussian losses leave out the constants, which are added here."""
    losses, metrics, scales = update.losses, update.metrics, update.agent.scales
    kl = {name: scales[name] * metrics[f"loss/{name}"] for name in update.agent.world.kl.scales}
    heads = {name: name for name in golden.names("out/wm/likes")} | {"discount": "con"}
    total = sum(kl.values())
    for theirs in golden.names("out/wm/likes"):
        ours = heads[theirs]
        dims = 0 if ours == "con" else golden[f"in/data/{ours}"][0, 0].numel()
        golden.close(f"out/wm/likes/{theirs}", -losses[ours] - dims * HALF_LOG_2PI)
        golden.close(f"out/wm/metrics/{theirs}_loss", metrics[f"loss/{ours}"] + dims * HALF_LOG_2PI)
        total = total + scales[ours] * (metrics[f"loss/{ours}"] + dims * HALF_LOG_2PI)
    golden.close("out/wm/loss", total)
    golden.close("out/wm/metrics/kl_loss", sum(kl.values()) / golden.meta["config"]["loss_scales.kl"])
    stats = {"model_kl": "kl", "prior_ent": "prior_entropy", "post_ent": "post_entropy"}
    for theirs, ours in stats.items():
        golden.close(f"out/wm/metrics/{theirs}", metrics[f"train/{ours}"])


def close_states(golden, update):
    rssm, states, post = update.agent.world.rssm, update.states, update.post
    golden.close("out/wm/embed", update.seen["embed"][1][..., names.embed_rows(update.agent.world.encoder)])
    golden.close("out/wm/feat", official_feat(rssm, states))
    close_latent(golden, "out/wm/post", rssm.latent, states, post)
    noise = swap(given_noise(golden, "in/noise/prior", golden.meta["config"]["rssm.discrete"]))
    prior = close_prior(golden, "out/wm/prior", rssm, states.deter, noise)
    golden.close("out/wm/kl", rssm.latent.kl(post, prior))


def close_imagination(golden, update):
    """States 0..H; the start state has the posterior's parameters and no action."""
    rssm, states = update.agent.world.rssm, update.imagined
    start = update.post.flatten(0, 1)[:, None]
    params = torch.cat([start, rssm.prior(states.deter[:, 1:])], 1)
    time_major = states.apply(swap)
    close_latent(golden, "out/ac/seq", rssm.latent, time_major, swap(params))
    golden.close("out/ac/seq/feat", official_feat(rssm, time_major))
    action = swap(update.action)
    golden.close("out/ac/seq/action", torch.cat([torch.zeros_like(action[:1]), action]))
    golden.close("out/ac/seq/discount", swap(update.con))
    golden.close("out/ac/seq/reward", swap(update.reward))
    golden.close("out/ac/reward_raw", swap(update.seen["normed"][0][0]))
    golden.close("out/ac/reward_norm_mag", update.agent.behavior.reward_norm.mag)


def close_behavior(golden, update):
    agent, targets, value = update.agent, update.targets, update.value
    weight = swap(discount_weights(update.con[:, :-1]))
    golden.close("out/ac/seq/weight", weight)
    golden.compare("weights of the critic", swap(targets.critic_weight), weight[:-1], golden.tol)
    golden.close("out/ac/target", swap(targets.ret))
    golden.close("out/ac/actor_loss", update.metrics["loss/actor"])
    constant = HALF_LOG_2PI * targets.critic_weight.mean()  # our loss leaves it out
    golden.close("out/ac/critic_loss", update.metrics["loss/critic"] + constant)
    feat = update.imagined.feat[:, targets.critic]
    metrics = {
        "critic_slow": value.mean(),
        "critic_target": targets.ret.mean(),
        "critic": agent.behavior.critic.pred(feat).mean(),
        "actor_ent": update.metrics["train/entropy"],
        "actor_ent_scale": schedule(agent.behavior.entropy, 0),
        "actor_grad_mix": schedule(getattr(agent.behavior.grad, "mix", 0.0), 0),
    }
    for name in golden.names("out/ac/metrics"):
        golden.close(f"out/ac/metrics/{name}", metrics[name])
