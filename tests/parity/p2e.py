"""Golden files of Plan2Explore in V1 and V2: ensembles on given numbers, and whole updates of V2."""

from types import SimpleNamespace

import numpy as np
import torch
from gymnasium import spaces

import dreamer
from common.agent.agent import Agent
from common.agent.returns import discount_weights
from common.agent.rssm import LatentState
from common.nn.nets import frozen
from tests.parity import names
from tests.parity.common import Slot, Spy, close_grads, close_grads_of, dense, gradients, leaf, load, swap, under
from tests.parity.shared import HALF_LOG_2PI, given_noise
from tests.parity.v2_config import GRADS

AFTER = 5e-2  # tolerance of steps, in units of the learning rate


def make_agent(algo, flags, actions, discrete=False):
    """An agent on a vector, with the exploration of a version and further flags."""
    observed = spaces.Dict({"state": spaces.Box(-9, 9, (3,), np.float32)})
    acting = spaces.Discrete(actions) if discrete else spaces.Box(-1, 1, (actions,), np.float32)
    config = dreamer.resolve(algo, ["debug"], {"explore.use": "Plan2Explore", "run.prefill": 0} | flags)
    return Agent(observed, acting, config)


def flat_state(golden, prefix, stoch="stoch"):
    """`prefix/deter` and `prefix/stoch`, a discrete one flattened; zeros for a missing one."""
    deter = golden[f"{prefix}/deter"]
    sample = golden.get(f"{prefix}/{stoch}")
    if sample is None:
        sample = torch.zeros(*deter.shape[:-1], 1)
    return LatentState(deter, sample.flatten(deter.ndim - 1))


def out_dense(linear, rows, out_rows):
    """Kernel and bias with rows of inputs and columns of outputs in the official order; None keeps ours."""
    pick = lambda x: x if out_rows is None else x[..., out_rows]
    kernel = lambda w: pick(w.t() if rows is None else w.t()[rows])
    return {"kernel": Slot((linear.weight,), kernel), "bias": Slot((linear.bias,), pick)}


def input_rows(agent):
    """Our place of each official input of the ensemble: [stoch, deter, action] there."""
    explorer, rssm = agent.explorer, agent.world.rssm
    rows = names.feature_rows(rssm.deter, rssm.latent.size)
    if explorer.inputs == "deter":
        rows = torch.arange(rssm.deter)
    actions = 0 if explorer.action == "none" else rssm.action
    return torch.cat([rows, torch.arange(actions) + len(rows)])


def target_rows(agent):
    """Our place of each official number of the target; None if the orders agree."""
    rssm = agent.world.rssm
    return names.feature_rows(rssm.deter, rssm.latent.size) if agent.explorer.target == "feat" else None


def official_rows(x, agent):
    rows = target_rows(agent)
    return x if rows is None else x[..., rows]


def close_after(golden, prefix, slots, before, lr):
    """Steps in units of the learning rate. before: parameter id -> value before."""
    for name, slot in slots.items():
        old = slot.arranged([before[id(p)] for p in slot.params])
        want = (golden.expect(f"{prefix}/{name}") - old) / lr
        golden.compare(f"{prefix}/{name}", (slot.arranged() - old) / lr, want, AFTER, absolute=True)


def values_of(module):
    return {id(p): p.detach().clone() for p in module.parameters()}


def rewards(agent, feat, action, reward=None):
    """Rewards (N, H+1) of features and actions that belong together, from predicted task rewards."""
    behavior, world = agent.explorer.behavior, SimpleNamespace(reward=SimpleNamespace(pred=lambda feat: reward))
    behavior.departure = True  # the actions are aligned with the states already
    with frozen(agent.explorer.ensemble):
        return behavior.imagined_rewards(world, feat, action)["reward"]


# V1


def v1_slots(agent):
    slots, rows, outs = {}, input_rows(agent), target_rows(agent)
    for m, member in enumerate(agent.explorer.ensemble.members):
        for i, layer in enumerate(member.layers):
            slots |= under(f"model{m}/dense{i}", dense(layer.linear, None if i else rows))
        slots |= under(f"model{m}/dense{len(member.layers)}", out_dense(member.out, None, outs))
    return slots


def check_v1(golden):
    for case in golden.groups():
        setting, here = golden.case(case), f"{case}/"
        agent = make_agent("v1", v1_flags(golden, here, setting), golden[f"{here}in/action"].shape[-1])
        slots = v1_slots(agent)
        load(golden, f"{here}param", slots)
        check_v1_loss(golden, here, agent, slots)
        check_v1_reward(golden, here, agent)


def v1_flags(golden, here, setting):
    kind = setting["ensemble_model_type"]
    deter = golden[f"{here}in/prior/deter"].shape[-1]
    sample = golden.get(f"{here}in/prior/sample")
    flags = {"latent.stoch": 1 if sample is None else sample.shape[-1], "rssm.deter": deter}
    flags |= {"mlp.encoder": {"layers": 1, "units": setting["target_size"]}} if kind == 1 else {}
    return flags | {
        "explore.models": setting["num_models"],
        "explore.bootstrap": setting["bootstrap"],
        "explore.inputs": "deter" if kind == 1 else "prior",
        "explore.target": {1: "embed", 2: "deter", 3: "stoch", 4: "feat"}[kind],
        "explore.layers": setting["layers"],
        "explore.units": setting["target_size"] * setting["model_width_factor"],
        "explore.scale": float(setting["ensemble_loss_scale"]),
        "explore.intr_scale": float(setting["intrinsic_reward_scale"]),
    }


def check_v1_loss(golden, here, agent, slots):
    """The prior's sample is given; the posterior's deter is the prior's."""
    deter, post = golden[f"{here}in/prior/deter"], golden.get(f"{here}in/post/sample")
    if golden.get(f"{here}in/post/deter") is not None:
        torch.testing.assert_close(golden[f"{here}in/post/deter"], deter, rtol=0, atol=0)
    prior = golden.get(f"{here}in/prior/sample")
    given = {"rows": golden.get(f"{here}in/rows"), "prior": prior}
    given = {name: x.long() if name == "rows" else x for name, x in given.items() if x is not None}
    if prior is not None:
        agent.world.rssm.latent.sample = lambda params, noise: noise
    states = LatentState(deter, torch.zeros(*deter.shape[:-1], agent.latent.size) if post is None else post)
    embed, batch = golden.get(f"{here}in/embed"), {"prev_action": golden[f"{here}in/action"]}
    batch |= {"is_first": torch.zeros(deter.shape[:2], dtype=torch.bool)}
    explorer = agent.explorer
    losses, stats = explorer.model_losses(agent.world, states, embed, batch, {"explore": given})
    for m in range(explorer.models):
        golden.close(f"{here}out/loss/model{m}", stats[f"explore/error_{m}"])
    close_grads_of(golden, f"{here}grad/loss", slots, agent.scales["ensemble"] * losses["ensemble"].mean())


def check_v1_reward(golden, here, agent):
    states, explorer = flat_state(golden, f"{here}in/imag", "sample"), agent.explorer
    feat, action = leaf(states.feat), leaf(golden[f"{here}in/imag/action"])
    with torch.no_grad():
        pred = explorer.ensemble(explorer.read_inputs(feat), explorer.read_action(action))
    golden.close(f"{here}out/imag_pred", official_rows(pred, agent))
    reward = rewards(agent, feat, action)
    golden.close(f"{here}out/reward", reward)
    assert not reward.requires_grad, "the official reward has no gradient to states or actions"


# V2


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
        setting, here = dreamer.configs.flatten(golden.case(case)), f"{case}/"
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


def check_steps(golden, here, agent, slots, setting, batch):
    """Two losses and steps on the same batch; V2's loss also has the constants of its Gaussians."""
    explorer, states, embed = agent.explorer, flat_state(golden, f"{here}in"), golden.get(f"{here}in/embed")
    before = values_of(explorer.ensemble)
    size = explorer.ensemble.members[0].net[-1].out_features
    constant = HALF_LOG_2PI * size * explorer.models if explorer.ensemble.factor == 0.5 else 0.0
    for step, name in enumerate(("loss", "loss2"), 1):
        losses, _ = explorer.model_losses(agent.world, states, embed, batch, {"explore": {}})
        golden.close(f"{here}out/{name}", losses["ensemble"].mean() + constant)
        if step == 1:
            close_grads_of(golden, f"{here}grad/loss", slots, losses["ensemble"].mean())
        norms = agent.step_now(losses)
        if step == 1:
            golden.close(f"{here}out/grad_norm", norms["grad/ensemble"])
        close_after(golden, f"{here}after{step}", slots, before, setting["expl_opt.lr"])


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
    rows = names.feature_rows(rssm.deter, rssm.latent.size)
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
    rows = names.feature_rows(world.rssm.deter, world.rssm.latent.size)
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


class ExplorationUpdate:
    """One update of the exploration alone: ensemble, then actor-critic, as `ModelFirst` orders them.

    grads: parameter id -> gradient before clipping. before: parameter id -> value before the update.
    """

    def __init__(self, agent, states, batch, noise):
        self.agent, explorer = agent, agent.explorer
        self.behavior, self.grads, self.clip = explorer.behavior, {}, agent.optim.clip
        self.behavior.imagine, self.behavior.returns = Spy(self.behavior.imagine), Spy(self.behavior.returns)
        self.before, agent.optim.clip = values_of(agent), self.keep_gradients
        losses, _ = explorer.model_losses(agent.world, states, None, batch, {"explore": {}})
        self.norms = agent.step_now(losses)
        with frozen(agent.world):
            more, self.stats = explorer.behavior_losses(agent.world, states, batch, 0, {"explore": noise})
        self.norms |= agent.step_later(more)
        agent.optim.step_groups(agent.guard.pending)
        self.losses, (self.imagined, self.action) = losses | more, self.behavior.imagine.result
        self.reward, self.value, self.con, _ = self.behavior.returns.args
        self.targets = self.behavior.returns.result

    def keep_gradients(self, groups, grads):
        for name, values in grads.items():
            self.grads |= {id(p): g.clone() for p, g in zip(groups[name], values, strict=True)}
        return self.clip(groups, grads)


CHECKS = {
    "v1_disag": check_v1,
    **dict.fromkeys(("v2_disag_discrete", "v2_disag_gauss"), check_v2),
    **dict.fromkeys(
        ("v2_full_gauss_dynamics", "v2_full_discrete_dynamics", "v2_full_discrete_reinforce"), check_v2_full
    ),
}
