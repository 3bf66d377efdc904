"""Golden files of Plan2Explore in V3 of 2023: ensembles on given numbers, and whole updates."""

import torch

from common.config import config as configs
from common.foreign import danijar_v3_2023_names as names
from common.foreign.slots import under
from tests.parity.common import close_grads, gradients, leaf, load, swap
from tests.parity.p2e_shared import ExplorationUpdate, check_steps, close_after, flat_state, make_agent, rewards

GRADS = {"reinforce": "Reinforce", "backprop": "DynamicsGradient"}


def ensemble(agent):
    slots = {}
    for m, member in enumerate(agent.explorer.ensemble.members):
        slots |= under(f"disag{m}", names.head(member.net))
    return slots


def ensemble_flags(setting):
    """Flags of an official config (flat, dotted): latent, ensemble and its optimiser."""
    classes = setting["rssm.classes"]
    latent = {"use": "Categorical", "classes": classes, "unimix": setting.get("rssm.unimix", 0.01)}
    target = setting["disag_target"]
    return {
        "latent": (latent if classes else {"use": "Gaussian", "std": "sigmoid2"}) | {"stoch": setting["rssm.stoch"]},
        "rssm.deter": setting["rssm.deter"],
        "net": {"act": setting["disag_head.act"], "norm": setting["disag_head.norm"]},
        "explore": {
            "models": setting["disag_models"], "target": "feat" if target == ["deter", "stoch"] else target[0],
            "action": "departure" if "action" in setting["disag_head.inputs"] else "none",
            "layers": setting["disag_head.layers"], "units": setting["disag_head.units"],
            "lr": setting["expl_opt.lr"],
        },
        "optim.eps.critic": setting["expl_opt.eps"],
        "optim.wd": setting["expl_opt.wd"],
        "clip.critic": setting["expl_opt.clip"],
    }  # fmt: skip


def departure_batch(golden, here, agent):
    """The batch of a file whose actions were chosen in their states."""
    shape = golden[f"{here}in/deter"].shape[:2]
    action = golden.get(f"{here}in/action")
    action = torch.zeros(*shape, agent.actions) if action is None else action
    action = torch.cat([torch.zeros_like(action[:, :1]), action[:, :-1]], 1)
    return {"prev_action": action, "is_first": torch.zeros(shape, dtype=torch.bool)}


def check_ensemble(golden):
    for case in golden.groups():
        setting, here = configs.flatten(golden.case(case)), f"{case}/"
        action = golden.get(f"{here}in/traj/action")
        agent = make_agent("v3-2023", ensemble_flags(setting), 1 if action is None else action.shape[-1])
        slots = ensemble(agent)
        load(golden, f"{here}param", slots)
        check_reward(golden, here, agent, action)
        check_steps(golden, here, agent, slots, setting, departure_batch(golden, here, agent))


def check_reward(golden, here, agent, action):
    """The official reward leaves the one of the start state out."""
    official, explorer = flat_state(golden, f"{here}in/traj").apply(swap), agent.explorer
    feat = leaf(official.feat)
    action = leaf(swap(torch.zeros(*official.deter.shape[1::-1], 1) if action is None else action))
    with torch.no_grad():
        pred = explorer.ensemble(explorer.read_inputs(feat), explorer.read_action(action))
    golden.close(f"{here}out/traj_pred", pred.transpose(1, 2))
    reward = swap(rewards(agent, feat, action)[:, 1:])
    golden.close(f"{here}out/reward", reward)
    grads = gradients((reward * golden[f"{here}in/reward_weight"]).sum(), [feat, action])
    deter, stoch = swap(grads[id(feat)]).tensor_split([official.deter.shape[-1]], -1)
    golden.close(f"{here}grad/reward/deter", deter)
    golden.close(f"{here}grad/reward/stoch", stoch.reshape(golden.arrays[f"{here}grad/reward/stoch"].shape))
    if f"{here}grad/reward/action" in golden:
        golden.close(f"{here}grad/reward/action", swap(grads[id(action)]))


def full_flags(golden):
    """Flags of a whole update from the official config."""
    config, discrete = golden.meta["config"], golden.meta["discrete_actions"]
    heads = {"reward": "reward_head", "con": "cont_head", "critic": "critic", "actor": "actor"}
    mlps = {ours: {key: config[f"{name}.{key}"] for key in ("layers", "units")} for ours, name in heads.items()}
    each = lambda key: {name: float(config[f"{name}_opt.{key}"]) for name in ("actor", "critic")}
    assert all(config[f"critic_opt.{key}"] == config[f"expl_opt.{key}"] for key in ("eps", "clip", "wd"))
    flags = ensemble_flags(config)
    flags["explore"] |= {"extr_scale": config["expl_rewards.extr"], "intr_scale": config["expl_rewards.disag"]}
    seam = "grad_disc" if discrete else "grad_cont"
    grad = GRADS[config["actor_grad_disc" if discrete else "actor_grad_cont"]]
    baseline = {"baseline": True} if grad == "DynamicsGradient" else {}
    return flags | {
        "mlp": mlps,
        "rssm.hidden": config["rssm.units"],
        "rssm.action_clip": config["rssm.action_clip"],
        seam: {"use": grad} | baseline,
        "imagination.horizon": config["imag_horizon"],
        "returns.lam": config["return_lambda"],
        "discount": 1 - 1 / config["horizon"],
        "actor.entropy": config["actent"],
        "policy_cont": {"min_std": config["actor.minstd"], "max_std": config["actor.maxstd"]},
        "policy_disc.unimix": config["actor.unimix"],
        "reward.bins": config["reward_head.bins"],
        "critic.bins": config["critic.bins"],
        "slow": {"rate": config["slow_critic_fraction"], "every": config["slow_critic_update"]},
        "advantage": {"rate": 1 - config["retnorm.decay"], "limit": 1 / config["retnorm.max"],
                      "low": config["retnorm.perclo"], "high": config["retnorm.perchi"]},
        "optim.lr": each("lr"),
        "optim.eps": each("eps"),
        "clip": each("clip"),
    }  # fmt: skip


def critics(agent):
    """Official reward -> our critic with its parts."""
    named = agent.explorer.behavior.critics()
    return {"disag": named["critic"]} | ({"extr": named["critic_extr"]} if "critic_extr" in named else {})


def full_slots(agent):
    """Official path -> slots."""
    world, behavior = agent.world, agent.explorer.behavior
    slots = {"expl/ac/actor": names.actor(behavior.actor), "expl/disag_reward": ensemble(agent)}
    for name, valuation in critics(agent).items():
        slots[f"expl/{name}/net"] = names.head(valuation.critic.net)
        slots[f"expl/{name}/slow"] = names.head(valuation.slow.slow.net)
    slots |= {"wm/rssm": names.dynamics(world.rssm), "wm/cont": names.head(world.con.net)}
    return slots | ({"wm/rew": names.head(world.reward.net)} if "extr" in critics(agent) else {})


def check_full(golden):
    """The ensemble's step, then imagination with the new ensemble and the step of actor and critics."""
    actions, discrete = golden["in/action"].shape[-1], golden.meta["discrete_actions"]
    agent = make_agent("v3-2023", full_flags(golden), actions, discrete)
    slots = full_slots(agent)
    golden.skip("param/wm/rssm/initial", "imagination begins in given states")
    for key, group in slots.items():
        if key == "wm/rssm":
            [slot.assign(golden[f"param/{key}/{name}"]) for name, slot in group.items()]
        else:
            load(golden, f"param/{key}", group)
    for name, valuation in critics(agent).items():
        low, high = (golden[f"in/state/retnorm_{name}/{end}"] for end in ("low", "high"))
        valuation.advantage.range.copy_(torch.stack([low, high]))
        valuation.slow.updates = golden.meta["updates_before"]
    batch = departure_batch(golden, "", agent) | {"is_terminal": golden["in/is_terminal"]}
    advantages = record_advantages(agent)
    update = ExplorationUpdate(agent, flat_state(golden, "in"), batch, given_noise(agent, batch, golden.meta["noise"]))
    agent.explorer.finish_update()
    close_training(golden, slots, update)
    close_behavior(golden, update, advantages)


def given_noise(agent, batch, number):
    """The file's rule of sampling: the mode of classes, mean + number * std of Gaussians."""
    noise = agent.explorer.noise(*batch["is_terminal"].shape)["explore"]
    numbers = {"img": 0.0 if hasattr(agent.latent, "shape") else number, "act": 0.0 if agent.classes else number}
    return noise | {name: torch.full_like(noise[name], value) for name, value in numbers.items()}


def record_advantages(agent):
    """Keep the value (N, L) of the joint advantage, for an objective that is the advantage itself."""
    behavior, found = agent.explorer.behavior, {}
    grad = behavior.grad

    def keep(norm, ret, value, logp, mix):
        found[id(norm)] = norm(ret - value).detach()
        return grad(norm, ret, value, logp, mix)

    for name in ("through_model", "stop_action", "reads_logp", "mix"):
        setattr(keep, name, getattr(grad, name))
    behavior.grad = keep
    return found


def close_training(golden, slots, update):
    config, norms = golden.meta["config"], update.norms
    golden.close("out/ensemble_loss", update.losses["ensemble"].mean())
    golden.close("out/ensemble_grad_norm", norms["grad/ensemble"])
    golden.close("out/actor_grad_norm", norms["grad/explore_actor"])
    places = {"ensemble": ("expl/disag_reward", "expl_opt"), "actor": ("expl/ac/actor", "actor_opt")}
    places |= {name: (f"expl/{name}/net", "critic_opt") for name in critics(update.agent)}
    for name, (group, optim) in places.items():
        close_grads(golden, f"grad/{name}", slots[group], update.grads)
        close_after(golden, f"after/{name}", slots[group], update.before, config[f"{optim}.lr"])
    for name, valuation in critics(update.agent).items():
        close_after(golden, f"after/{name}_slow", slots[f"expl/{name}/slow"], update.before, config["critic_opt.lr"])
        for end, value in zip(("low", "high"), valuation.advantage.range, strict=True):
            golden.close(f"after/state/retnorm_{name}/{end}", value)


def close_behavior(golden, update, advantages):
    agent, imagined, scales = update.agent, update.imagined.apply(swap), golden.meta["config"]
    golden.close("out/traj/deter", imagined.deter)
    golden.close("out/traj/stoch", imagined.stoch.reshape(golden.arrays["out/traj/stoch"].shape))
    golden.close("out/traj/action", swap(update.action))
    outer = agent.world.con.outer_discount
    golden.close("out/traj/cont", swap(update.con) / outer)
    golden.close("out/traj/weight", swap(update.con.cumprod(1)) / outer)
    rows, joint = critic_rows(update), 0.0
    for name, valuation in critics(agent).items():
        reward, value, targets, loss = rows[name]
        golden.close(f"out/{name}/reward", swap(reward[:, 1:]))
        golden.close(f"out/{name}/return", swap(targets.ret))
        golden.close(f"out/{name}/base", swap(value[:, :-1]))
        golden.close(f"out/{name}/critic_loss", update.losses[loss].mean())
        joint = joint + scales[f"expl_rewards.{name}"] * advantages[id(valuation.advantage)]
    joint = joint / sum(scales[f"expl_rewards.{name}"] for name in critics(agent))
    golden.close("out/adv_mean", joint.mean())
    golden.close("out/adv_std", joint.std(correction=0))
    golden.close("out/actor_loss", update.losses["explore_actor"].mean())


def critic_rows(update):
    """Official reward -> rewards and values (N, H+1), targets, name of the loss."""
    calls = update.behavior.returns.calls
    rows = {"disag": (*calls[0][0][:2], calls[0][1], "explore_critic")}
    if len(calls) > 1:
        rows["extr"] = (*calls[1][0][:2], calls[1][1], "explore_critic_extr")
    return rows


CHECKS = {
    "v3_2023_disag": check_ensemble,
    **dict.fromkeys(
        ("v3_2023_full_discrete_reinforce", "v3_2023_full_discrete_backprop", "v3_2023_full_gauss_backprop"), check_full
    ),
}
