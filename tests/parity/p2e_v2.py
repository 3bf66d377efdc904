"""Golden files of Plan2Explore in V2: ensembles on given numbers, and whole updates."""

import torch

from common.agent.returns import discount_weights
from common.config import config as configs
from common.foreign import danijar_names as names
from common.foreign.danijar_v2_settings import GRADS
from common.foreign.slots import feature_rows, under
from tests.parity.common import close_grads, gradients, leaf, load, swap
from tests.parity.p2e_shared import (
    ExplorationUpdate,
    check_steps,
    close_after,
    flat_state,
    input_rows,
    make_agent,
    official_rows,
    out_dense,
    rewards,
    target_rows,
)
from tests.parity.shared import HALF_LOG_2PI, given_noise


def v2_slots(agent):
    slots, rows, outs = {}, input_rows(agent), target_rows(agent)
    for m, member in enumerate(agent.explorer.ensemble.members):
        hidden, out = member.net
        slots |= under(f"model{m}", names.mlp(hidden, rows) | under("out/out", out_dense(out, None, outs)))
    return slots


def v2_flags(setting):
    """Flags of an official config (flat, dotted): latent, ensemble and its optimiser."""
    discrete, use = setting["rssm.discrete"], {"use": "Gaussian", "std": "sigmoid2"}
    latent = {"use": "Categorical", "classes": discrete} if discrete else use
    norm = {key: float(setting[f"expl_reward_norm.{key}"]) for key in ("momentum", "scale", "eps")}
    return {
        "latent": latent | {"stoch": setting["rssm.stoch"]},
        "rssm.deter": setting["rssm.deter"],
        "net": {"act": setting["expl_head.act"], "norm": setting["expl_head.norm"]},
        "explore": {
            "models": setting["disag_models"], "offset": setting["disag_offset"], "target": setting["disag_target"],
            "action": "arrival" if setting["disag_action_cond"] else "none", "log": setting["disag_log"],
            "layers": setting["expl_head.layers"], "units": setting["expl_head.units"],
            "lr": setting["expl_opt.lr"], "intr_scale": setting["expl_intr_scale"],
            "extr_scale": setting["expl_extr_scale"], "momentum": norm["momentum"], "norm_scale": norm["scale"],
            "norm_eps": norm["eps"],
        },
        "optim.eps.critic": setting["expl_opt.eps"],
        "optim.wd": setting["expl_opt.wd"],
        "clip.critic": float(setting["expl_opt.clip"]),
    }  # fmt: skip


def check_v2(golden):
    for case in golden.groups():
        setting, here = configs.flatten(golden.case(case)), f"{case}/"
        flags = v2_flags(setting) | {"mlp.encoder": {"layers": 1, "units": setting["target_size"]}}
        agent = make_agent("v2", flags, golden[f"{here}in/seq/action"].shape[-1] if setting["disag_action_cond"] else 1)
        slots = v2_slots(agent)
        load(golden, f"{here}param", slots)
        check_v2_reward(golden, here, agent, setting)
        check_steps(golden, here, agent, slots, setting, arrival_batch(golden, here, agent))


def arrival_batch(golden, here, agent):
    """The batch of a file whose actions led to their states."""
    shape = golden[f"{here}in/deter"].shape[:2]
    action = golden.get(f"{here}in/action")
    action = torch.zeros(*shape, agent.actions) if action is None else action
    return {"prev_action": action, "is_first": torch.zeros(shape, dtype=torch.bool)}


def check_v2_reward(golden, here, agent, setting):
    rssm, explorer = agent.world.rssm, agent.explorer
    official = flat_state(golden, f"{here}in/seq").apply(swap)
    feat = leaf(official.feat)
    action = golden.get(f"{here}in/seq/action")
    action = leaf(swap(torch.zeros(*official.deter.shape[1::-1], 1) if action is None else action))
    with torch.no_grad():
        pred = explorer.ensemble(explorer.read_inputs(feat), explorer.read_action(action))
    golden.close(f"{here}out/seq_pred", official_rows(pred, agent).transpose(1, 2))
    task = golden.get(f"{here}in/seq/reward")
    reward = swap(rewards(agent, feat, action, None if task is None else swap(task)))
    golden.close(f"{here}out/reward", reward)
    behavior = explorer.behavior
    for name, norm in (("intr_mag", behavior.intr_norm), ("extr_mag", behavior.extr_norm)):
        if f"{here}out/{name}" in golden:
            golden.close(f"{here}out/{name}", norm.mag)
    grads = gradients((reward * golden[f"{here}in/reward_weight"]).sum(), [feat, action])
    rows = feature_rows(rssm.deter, rssm.latent.size)
    golden.close(f"{here}grad/reward/feat", swap(grads[id(feat)])[..., rows])
    if f"{here}grad/reward/action" in golden:
        golden.close(f"{here}grad/reward/action", swap(grads[id(action)]))


def v2_full_flags(golden):
    """Flags of a whole update from the official config."""
    config = golden.meta["config"]
    discrete = golden.meta["resolved_actor_dist"] == "onehot"
    heads = {"reward": "reward_head", "con": "discount_head", "critic": "critic", "actor": "actor"}
    mlps = {ours: {key: config[f"{name}.{key}"] for key in ("layers", "units")} for ours, name in heads.items()}
    each = lambda key: {name: float(config[f"{name}_opt.{key}"]) for name in ("actor", "critic")}
    assert config["critic_opt.eps"] == config["expl_opt.eps"]
    assert config["critic_opt.clip"] == config["expl_opt.clip"]
    return v2_flags(config) | {
        "mlp": mlps | {"encoder": {"layers": 1, "units": golden.meta["embed"]}},
        "rssm.hidden": config["rssm.hidden"],
        "con.use": "SoftContinue" if config["pred_discount"] else "NoContinue",
        "imagination.horizon": golden.meta["horizon"],
        "returns.lam": config["discount_lambda"],
        "discount": config["discount"],
        "actor.entropy": config["actor_ent"],
        f"grad_{'disc' if discrete else 'cont'}.use": GRADS[golden.meta["resolved_actor_grad"]],
        "reward_norm": {key: config[f"reward_norm.{key}"] for key in ("momentum", "scale", "eps")},
        "optim.lr": each("lr"),
        "optim.eps": each("eps"),
        "clip": each("clip"),
    }


def v2_full_slots(agent):
    """Official path -> slots."""
    world, behavior = agent.world, agent.explorer.behavior
    rows = feature_rows(world.rssm.deter, world.rssm.latent.size)
    slots = {
        "wm/rssm": names.v2_rssm(world.rssm, names.embed_rows(world.encoder)),
        "ac/actor": names.v2_actor(behavior.actor, rows),
        "ac/critic": names.v2_head(behavior.critic.net, rows),
        "ac/target_critic": names.v2_head(behavior.slow.slow.net, rows),
        "wm/head_reward": names.v2_head(world.reward.net, rows),
        "ensemble": v2_slots(agent),
    }
    return slots | ({"wm/head_discount": names.v2_head(world.con.net, rows)} if hasattr(world.con, "net") else {})


def check_v2_full(golden):
    """The ensemble's step, then imagination with the new ensemble and the step of actor and critic."""
    actions, discrete = golden["in/action"].shape[-1], golden.meta["resolved_actor_dist"] == "onehot"
    agent = make_agent("v2", v2_full_flags(golden), actions, discrete)
    slots = v2_full_slots(agent)
    given = set(golden.groups("param/wm"))
    slots = {name: group for name, group in slots.items() if not name.startswith("wm/") or name[3:] in given}
    load(golden, "param", {name: slot for key, group in slots.items() for name, slot in under(key, group).items()})
    classes = {"act": actions, "img": golden.meta["config"]["rssm.discrete"]}
    noise = {name: given_noise(golden, f"in/noise/{name}", classes[name]) for name in classes} | {"entropy": None}
    states, batch = flat_state(golden, "in"), arrival_batch(golden, "", agent)
    terminal = golden["in/is_terminal"]
    update = ExplorationUpdate(agent, states, batch | {"is_terminal": terminal}, noise)
    size = agent.explorer.ensemble.members[0].net[-1].out_features
    constant = HALF_LOG_2PI * size * agent.explorer.models
    golden.close("out/ensemble_loss", update.losses["ensemble"].mean() + constant)
    golden.close("out/ensemble_grad_norm", update.norms["grad/ensemble"])
    for key, group in {"ensemble": "ensemble", "actor": "ac/actor", "critic": "ac/critic"}.items():
        close_grads(golden, f"grad/{key}", slots[group], update.grads)
        config = golden.meta["config"]
        lr = config[{"ensemble": "expl_opt.lr"}.get(key, f"{key}_opt.lr")]
        close_after(golden, f"after/{group}", slots[group], update.before, lr)
    close_v2_behavior(golden, update)


def close_v2_behavior(golden, update):
    agent, targets = update.agent, update.targets
    behavior = agent.explorer.behavior
    imagined, action = update.imagined.apply(swap), swap(update.action)
    split = imagined.stoch.unflatten(-1, agent.latent.shape) if hasattr(agent.latent, "shape") else imagined.stoch
    golden.close("out/ac/seq/stoch", split)
    golden.close("out/ac/seq/deter", imagined.deter)
    golden.close("out/ac/seq/action", torch.cat([torch.zeros_like(action[:1]), action]))
    golden.close("out/ac/seq/discount", swap(update.con))
    golden.close("out/ac/seq/weight", swap(discount_weights(update.con[:, :-1])))
    for name in ("seq/reward", "reward_intr"):
        golden.close(f"out/ac/{name}", swap(update.reward))
    golden.close("out/ac/target", swap(targets.ret))
    golden.close("out/ac/actor_loss", update.losses["explore_actor"].mean())
    constant = HALF_LOG_2PI * targets.critic_weight.mean()  # our loss leaves it out
    golden.close("out/ac/critic_loss", update.losses["explore_critic"].mean() + constant)
    for name in ("actor", "critic"):
        golden.close(f"out/ac/{name}_grad_norm", update.norms[f"grad/explore_{name}"])
    golden.close("out/ac/intr_mag", behavior.intr_norm.mag)
    if "out/ac/extr_mag" in golden:
        golden.close("out/ac/extr_mag", behavior.extr_norm.mag)


CHECKS = {
    **dict.fromkeys(("v2_disag_discrete", "v2_disag_gauss"), check_v2),
    **dict.fromkeys(
        ("v2_full_gauss_dynamics", "v2_full_discrete_dynamics", "v2_full_discrete_reinforce"), check_v2_full
    ),
}
