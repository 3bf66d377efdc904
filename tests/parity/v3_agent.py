"""Golden files of whole V3 updates: losses, imagination, gradients, and the training trace of the real agent."""

import copy

import numpy as np
import torch
from gymnasium import spaces

import dreamer
from common.agent.agent import Agent
from common.foreign import danijar_v3_names as names
from common.foreign.danijar_v3_settings import RENAMED, make_flags
from common.foreign.slots import under
from common.replay.ring import previous_actions
from tests.parity.common import close_grads, load, params_of
from tests.parity.full import Update
from tests.parity.v3_nets import reconstruction
from tests.parity.v3_parts import GRAD, actions, require

RECORD = ("reward", "is_first", "is_last", "is_terminal", "action", "dyn/deter", "dyn/stoch")


def check_agent(golden):
    agent = make_agent(golden)
    modules = names.agent(agent)
    slots = {name: slot for module, group in modules.items() for name, slot in under(module, group).items()}
    load(golden, "param", slots | under("slowval", names.head(agent.behavior.slow.slow.net)))
    norm = agent.behavior.advantage
    norm.range.copy_(torch.stack([golden["in/retnorm_lo"], golden["in/retnorm_hi"]]))
    batch = make_batch(golden, agent)
    noise = make_noise(golden, agent, batch)
    check_flow(golden, copy.deepcopy(agent), batch, noise)
    check_training(golden, copy.deepcopy(agent), batch, noise)

    update = Update(agent, batch, noise)
    check_losses(golden, update)
    close_grads(golden, "grad", slots, update.grads, GRAD)
    for name, group in modules.items():
        golden.close(f"out/gradnorm_total/{name}", norm_of(update.grads[id(p)] for p in params_of(group)), GRAD)
    for name, got in zip(("lo", "hi"), norm.range, strict=True):
        golden.close(f"out/retnorm_{name}_after", got)
    update.rewind()
    check_world(golden, update, batch)
    check_imagination(golden, update)
    check_metrics(golden, update)
    check_replayed(golden, update, batch)


def make_agent(golden):
    boxes = {}
    for key in set(golden.names("in/data")) - set(RECORD):
        data = golden[f"in/data/{key}"].numpy()
        low, high = (0, 255) if data.dtype == np.uint8 else (-np.inf, np.inf)
        boxes[key] = spaces.Box(low, high, data.shape[2:], data.dtype.type)
    size = golden.meta["n_actions"]
    act = spaces.Discrete(size) if golden.meta["kind"] == "disc" else spaces.Box(-1, 1, (size,), np.float32)
    return Agent(spaces.Dict(boxes), act, dreamer.resolve("v3", flags=make_flags(golden.meta["agent"])))


def make_batch(golden, agent):
    """The steps after the context, whose latents are the state before them."""
    steps = golden.meta["context"]
    require(golden.meta, context=1)
    data = {key: golden[f"in/data/{key}"] for key in golden.names("in/data")}
    context = {"context_deter": data.pop("dyn/deter")[:, 0]}
    context["context_stoch"] = agent.latent.pack(data.pop("dyn/stoch")[:, 0].flatten(-2))
    data["action"] = actions(data["action"], agent.actions)
    batch = {key: x[:, steps:] for key, x in data.items()}
    arrays = [batch["action"].numpy(), batch["is_first"].numpy(), data["action"][:, steps - 1].numpy()]
    return batch | context | {"prev_action": torch.from_numpy(previous_actions(*arrays))}


def make_noise(golden, agent, batch):
    """Zeros pick the mode of categoricals; continuous actions are the mean plus a constant number of stds."""
    noise, values = agent.noise(*batch["reward"].shape), {"post": 0.0, "img": 0.0, "act": amount(golden)}
    return noise | {key: torch.full_like(noise[key], value) for key, value in values.items()}


def amount(golden):
    return golden.meta["noise"] if golden.meta["kind"] == "cont" else 0.0


def official(losses):
    """Losses by official names."""
    return {RENAMED.get(name, name): loss for name, loss in losses.items()}


def norm_of(tensors):
    return torch.stack([x.norm() for x in tensors]).norm()


def total(agent, losses):
    return sum(agent.scales[name] * loss.mean() for name, loss in losses.items())


def check_losses(golden, update):
    """Losses of each element (actor and critic: means over the horizon), their means and their weighted sum."""
    losses, scales = official(update.losses), official(update.agent.scales)
    golden.compare("names of losses", sorted(losses) == sorted(golden.meta["loss_keys"]), np.array(True), 0.0)
    weights = [scales[name] for name in golden.meta["loss_keys"]]
    golden.compare("weights of losses", weights, np.array(golden.meta["loss_weights"]), 1e-6)
    for name, loss in losses.items():
        each = loss.mean(1).unflatten(0, (len(update.states.deter), -1)) if name in ("policy", "value") else loss
        golden.close(f"out/loss/{name}", each, GRAD)
        golden.close(f"out/loss_mean/{name}", loss.mean(), GRAD)
    golden.close("out/total_loss", total(update.agent, update.losses), GRAD)
    golden.skip("out/total_loss_as_reported", "the same number, less exact")


def check_flow(golden, agent, batch, noise):
    """Compare where the gradient of each loss flows, before the optimiser selects groups."""
    batch, params = agent.to_tensors(batch), {name: params_of(slots) for name, slots in names.agent(agent).items()}
    losses, states, _ = agent.model_losses(batch, noise)
    losses = official(losses | agent.behavior_losses(states, batch, 0, noise)[0])
    order, rows = golden.meta["modules"], []
    every = [p for name in order for p in params[name]]
    for name in golden.meta["loss_keys"]:
        grads = iter(torch.autograd.grad(losses[name].mean(), every, retain_graph=True, materialize_grads=True))
        rows.append(torch.stack([norm_of([next(grads) for _ in params[module]]) for module in order]))
    got = torch.stack(rows)
    golden.close("out/gradnorm_by_loss", got, GRAD)
    want = golden.expect("out/gradnorm_by_loss")
    golden.compare("modules that losses reach", got > 0, want > 0, 0.0)
    for name, ours, theirs in zip(golden.meta["loss_keys"], got, want, strict=True):
        golden.compare(f"gradient norms of {name}", ours, theirs, GRAD)


@torch.no_grad()
def check_world(golden, update, batch):
    world, states, grouped = update.agent.world, update.states, lambda x: x.unflatten(-1, update.agent.latent.shape)
    golden.close("mid/tokens", update.seen["embed"][1])
    golden.close("mid/deter", states.deter)
    golden.close("mid/stoch", grouped(states.stoch))
    golden.close("mid/post_logits", grouped(update.post))
    golden.close("mid/prior_logits", grouped(world.rssm.prior(states.deter)))
    golden.close("mid/rew_pred", world.reward.pred(states.feat))
    golden.close("mid/con_prob", world.con.pred(states.feat) / world.con.outer_discount)
    recon = reconstruction(world.decoder, states)
    for name in golden.names("mid/recon"):
        key = name.removesuffix("_first").removesuffix("_mean")
        cut = {key: lambda x: x, f"{key}_first": lambda x: x[:, :1], f"{key}_mean": lambda x: x.mean((2, 3))}
        golden.close(f"mid/recon/{name}", cut[name](recon[key]))
    want, same = golden.expect("mid/prevact"), ~batch["is_first"]  # officially zeroed later, where an episode begins
    got = batch["prev_action"]
    golden.compare("mid/prevact", got[same], actions(want, got.shape[-1])[same], 0.0)


@torch.no_grad()
def check_imagination(golden, update):
    world, behavior, imagined = update.agent.world, update.agent.behavior, update.imagined
    dist, out = behavior.actor.dist, behavior.actor(imagined.feat)
    last = dist.sample(out, torch.full_like(out[..., : behavior.actor.actions], amount(golden)))[:, -1:]
    action = torch.cat([update.action, last], 1)  # the official roll-out ends with an action that is not used
    ahead, grouped = imagined.apply(lambda x: x[:, 1:]), lambda x: x.unflatten(-1, update.agent.latent.shape)
    discrete = golden.meta["kind"] == "disc"
    got = {
        "imag/act": action.argmax(-1) if discrete else action,
        "imag/rew": update.reward,
        "imag/con": update.con / world.con.outer_discount,
        "imag/val": behavior.critic.pred(imagined.feat),
        "imag/slowval": behavior.slow.slow.pred(imagined.feat),
        "imag/ret": update.targets.ret,
        "imag/policy": update.losses["actor"],
        "imag/value": update.losses["critic"],
        "imag_deter": ahead.deter,
        "imag_stoch": grouped(ahead.stoch),
        "imag_prior_logits": grouped(world.rssm.prior(ahead.deter)),
    }
    outs = {"logits": out} if discrete else dict(zip(("mean", "std"), dist.stats(out), strict=True))
    for name, value in (got | {f"imag/policy_{name}": value for name, value in outs.items()}).items():
        golden.close(f"mid/{name}", value)


@torch.no_grad()
def check_metrics(golden, update):
    """Averages of the update that the official agent reports; ours are the same where we report them too."""
    behavior, targets = update.agent.behavior, update.targets
    low, scale = behavior.advantage.stats()
    advantage = behavior.advantage(targets.actor_ret - update.value[:, targets.actor])
    weight = torch.cat([targets.actor_weight, targets.actor_weight[:, -1:] * update.con[:, -1:]], 1)
    got = {
        "adv": advantage.mean(),
        "adv_mag": advantage.abs().mean(),
        "adv_std": advantage.std(correction=0),
        "ret": ((targets.ret - low) / scale).mean(),
        "val": behavior.critic.pred(update.imagined.feat).mean(),
        "weight": weight.mean(),
        "dyn_ent": update.metrics["train/prior_entropy"],
        "rep_ent": update.metrics["train/post_entropy"],
        "ent/action": update.metrics["train/entropy"],
    }
    for name in golden.names("mid/metrics"):
        golden.close(f"mid/metrics/{name}", got[name])


@torch.no_grad()
def check_replayed(golden, update, batch):
    """Values and returns of the replayed steps."""
    behavior, feat, shape = update.agent.behavior, update.states.feat, batch["reward"].shape
    boot = update.targets.ret[:, 0].unflatten(0, shape)
    flags = batch["is_last"], batch["is_terminal"]
    golden.close("mid/repl/boot", boot)
    golden.close("mid/repl/ret", behavior.returns.replay(batch["reward"], *flags, boot, behavior.discount))
    golden.close("mid/repl/val", behavior.critic.pred(feat))
    golden.close("mid/repl/slowval", behavior.slow.slow.pred(feat))


def check_training(golden, agent, batch, noise):
    """Consecutive updates on one batch."""
    params = [p for slots in names.agent(agent).values() for p in params_of(slots)]
    flat = lambda: torch.cat([p.detach().flatten() for p in params]).double()
    track, first = [], next(name for name in golden.names("out/train4"))
    for _ in range(len(golden.arrays[f"out/train4/{first}"])):
        old = flat()
        metrics, _ = agent.update(batch, 0, noise)
        losses = {name.removeprefix("loss/"): x for name, x in metrics.items() if name.startswith("loss/")}
        norms = [x for name, x in metrics.items() if name.startswith("grad/")]
        step = {f"loss_{name}": loss for name, loss in official(losses).items()}
        step |= {"opt_loss": total(agent, losses), "opt_grad_norm": norm_of(norms)}
        step |= {
            "opt_param_rms": flat().square().mean().sqrt(),
            "opt_update_rms": (flat() - old).square().mean().sqrt(),
        }
        track.append(step)
    for name in golden.names("out/train4"):
        golden.close(f"out/train4/{name}", torch.stack([step[name].float() for step in track]), GRAD)
