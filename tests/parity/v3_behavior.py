"""Golden file of V3's returns and of the losses of actor and critic, run through `Behavior` itself.

Networks are tables: every imagined or replayed state has a one-hot feature of its own, and the weights of a linear
layer are the given outputs, so that gradients of weights are gradients of outputs.
"""

import re
from types import SimpleNamespace

import torch

import dreamer
from common.agent.behavior import Behavior
from common.agent.rssm import LatentState
from common.config import parts
from tests.parity.common import Spy
from tests.parity.v3_parts import GRAD, actions, close_bins, require


def check_returns(golden):
    check_lambda(golden)
    require(golden.meta, grad_of="mean(policy) + mean(value); repl: mean(repval)")
    for group in golden.groups("imag"):
        if group.startswith("out_"):
            _, kind, variant = group.split("_", 2)
            check_imagination(golden, f"imag/{group}", kind, golden.meta["variants"][variant])
    for group in golden.groups("repl"):
        if group.startswith("out_"):
            check_replay(golden, f"repl/{group}", bool(int(group.removeprefix("out_slowtar"))))


def check_lambda(golden):
    """ret_discX_lamYZ are returns with discount X and lambda Y.Z instead of the settings."""
    reward, last, term, boot = (golden[f"lambda/in/{name}"] for name in ("rew", "last", "term", "boot"))
    golden.skip("lambda/in/val", "the official function takes values but does not use them")
    for name in golden.names("lambda/out"):
        given = re.fullmatch(r"ret_disc(\d)_lam(\d)(\d+)", name)
        disc = float(given[1]) if given else discount(golden)
        lam = float(f"{given[2]}.{given[3]}") if given else golden.meta["lam"]
        returns = parts.build("returns", {"use": "DepartureReturns", "lam": lam})
        golden.close(f"lambda/out/{name}", returns.replay(reward, last, term, boot, disc))


def discount(golden):
    return 1 - 1 / golden.meta["horizon"]


def make_behavior(golden, classes, value, slow, width, slow_target):
    """Behaviour whose critic gives `value` and slow critic `slow`, both (N, L, bins), at one-hot features (N, L)."""
    norm, states = golden.meta["retnorm"], value.shape[:-1].numel()
    flags = {
        "policy_cont.use": "FreeNormal",  # means and stds are given, not what they are made from
        **{f"mlp.{net}.layers": 0 for net in ("actor", "critic")},
        **{f"advantage.{key}": norm[key] for key in ("rate", "limit", "debias")},
        "advantage.low": norm["lo"],
        "advantage.high": norm["hi"],
        "critic.bins": value.shape[-1],
        "discount": discount(golden),
        "returns.lam": golden.meta["lam"],
        "actor.entropy": golden.meta["actent"],
        "slow.scale": golden.meta["slowreg"],
        "slow.target": slow_target,
        "policy_disc.unimix": 0.0,
    }
    behavior = Behavior(states, width, classes, dreamer.resolve("v3", flags=flags))
    fill(behavior.critic.net[1], value)
    fill(behavior.slow.slow.net[1], slow)
    return behavior, torch.eye(states).unflatten(0, value.shape[:-1])


@torch.no_grad()
def fill(linear, table):
    """Makes a linear layer give table[n, l] at the feature of state (n, l)."""
    linear.weight.copy_(table.flatten(0, 1).t())
    linear.bias.zero_()


def close_table_grads(golden, prefix, loss, linears, shape):
    """Gradients of the tables (N, L, ...) by name."""
    grads = torch.autograd.grad(loss, [linear.weight for linear in linears.values()])
    for name, grad in zip(linears, grads, strict=True):
        golden.close(f"{prefix}/{name}", grad.t().unflatten(0, shape), GRAD)


def check_imagination(golden, prefix, kind, variant):
    value, slow = golden["imag/in/value_logits"], golden["imag/in/slow_logits"]
    tables = {"cont": ("mean", "std"), "disc": ("policy_logits",)}[kind]
    width = golden[f"imag/in/{tables[0]}"].shape[-1]
    classes = [width] if kind == "disc" else []
    behavior, feat = make_behavior(golden, classes, value, slow, width, variant["slowtar"])
    close_bins(golden, "bins", behavior.critic.dist)
    linears = dict(zip(tables, behavior.actor.outs, strict=True))
    for name, linear in linears.items():
        fill(linear, golden[f"imag/in/{name}"])
    norm = behavior.advantage
    norm.range.copy_(torch.stack([golden["imag/in/retnorm_lo"], golden["imag/in/retnorm_hi"]]))
    if not variant["update"]:
        norm.update = lambda ret, advantage: None
    outside = 1.0 if variant["contdisc"] else behavior.discount
    action = actions(golden[f"imag/in/act_{kind}"], width)
    losses, targets, value_at, stats = behave(behavior, feat, *predictions(golden, outside), outside, action)
    golden.close(f"{prefix}/policy", losses["actor"])
    golden.close(f"{prefix}/value", losses["critic"])
    golden.close(f"{prefix}/ret", targets.ret)
    for name, got in zip(("lo", "hi"), norm.range, strict=True):
        golden.close(f"{prefix}/retnorm_{name}_after", got)
    close_metrics(golden, f"{prefix}/metric", behavior, feat, targets, value_at, stats)
    if golden.has(f"{prefix}/grad"):
        linears["value_logits"] = behavior.critic.net[1]
        loss = losses["actor"].mean() + losses["critic"].mean()
        close_table_grads(golden, f"{prefix}/grad", loss, linears, feat.shape[:2])


def predictions(golden, outside):
    """Rewards and continuations as our heads predict them, with all of the discount."""
    return golden["imag/in/rew"], golden["imag/in/con"] * outside


def behave(behavior, feat, reward, con, outside, action):
    """Behavior.losses on a given imagination (N, H+1, ...) -> losses, targets, values (N, H+1), statistics."""
    states = LatentState(feat[..., :1], feat[..., 1:])
    world = SimpleNamespace(
        rssm=SimpleNamespace(imagine=lambda start, policy, noise: (states, action[:, :-1])),
        reward=SimpleNamespace(pred=lambda feat: reward),
        con=SimpleNamespace(pred=lambda feat: con, outer_discount=outside),
    )
    behavior.returns, behavior.replay_value = Spy(behavior.returns), lambda *args: {}
    batch = {"is_terminal": torch.zeros(1, len(feat), dtype=torch.bool)}
    noise = {"act": None, "img": None, "entropy": None}
    losses, stats = behavior.losses(world, states.apply(lambda x: x[None, :, 0]), batch, 0, noise)
    return losses, behavior.returns.result, behavior.returns.args[1], stats


@torch.no_grad()
def close_metrics(golden, prefix, behavior, feat, targets, value, stats):
    """Averages of what the losses were made from."""
    advantage = behavior.advantage(targets.actor_ret - value[:, targets.actor])
    low, scale = behavior.advantage.stats()
    normed = (targets.ret - low) / scale
    con = behavior.returns.args[2][:, -1:]
    got = {
        "adv": advantage.mean(),
        "adv_std": advantage.std(correction=0),
        "adv_mag": advantage.abs().mean(),
        "weight": torch.cat([targets.actor_weight, targets.actor_weight[:, -1:] * con], 1).mean(),
        "ret": normed.mean(),
        "ret_min": normed.min(),
        "ret_max": normed.max(),
        "ret_rate": (normed.abs() >= 1).float().mean(),
        "val": behavior.critic.pred(feat).mean(),
        "slowval": behavior.slow.slow.pred(feat).mean(),
        "ent/action": stats["train/entropy"],
    }
    for name in golden.names(prefix):
        golden.close(f"{prefix}/{name}", got[name])


def check_replay(golden, prefix, slow_target):
    value, slow = golden["repl/in/value_logits"], golden["repl/in/slow_logits"]
    behavior, feat = make_behavior(golden, [], value, slow, 1, slow_target)
    reward, last, term, boot = (golden[f"repl/in/{name}"] for name in ("rew", "last", "term", "boot"))
    batch = {"reward": reward, "is_last": last, "is_terminal": term}
    losses = behavior.replay_value(behavior, LatentState(feat[..., :1], feat[..., 1:]), batch, boot.flatten()[:, None])
    golden.close(f"{prefix}/repval", losses["repval"])
    golden.close(f"{prefix}/ret", behavior.returns.replay(reward, last, term, boot, behavior.discount))
    if golden.has(f"{prefix}/grad"):
        linears = {"value_logits": behavior.critic.net[1]}
        close_table_grads(golden, f"{prefix}/grad", losses["repval"].mean(), linears, feat.shape[:2])
