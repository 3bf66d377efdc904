"""Golden files of single parts of V1."""

from unittest import mock

import torch

import dreamer
from common.agent.behavior import Behavior
from common.agent.rssm import RSSM, LatentState
from common.config import parts
from common.foreign import danijar_names as names
from common.nn.nets import Style
from tests.parity import v1_full, v1_nets
from tests.parity.common import close_grads_of, close_input_grads, count, leaf, load, swap
from tests.parity.shared import (
    HALF_LOG_2PI,
    behave,
    close_latent,
    close_prior,
    official_feat,
    optimize,
    plain_gaussian,
)


def check_gru(golden):
    """The standard GRU in Keras' form."""
    kernel = golden["param/kernel"]
    deter = kernel.shape[1] // 3
    cell = parts.build("cell", {"use": "GRU"}, 1, 1, deter, len(kernel), Style())
    slots = names.gru(cell.gru)
    load(golden, "param", slots)
    x, h = leaf(golden["in/x"]), leaf(golden["in/h"])
    out = cell.gru(x, h)
    golden.close("out/h", out)
    loss = (out * golden["in/out_weight"]).sum()
    close_grads_of(golden, "grad/param", slots, loss)
    close_input_grads(golden, "grad", loss, {"x": x, "h": h})


def check_rssm(golden):
    meta = golden.meta
    latent = parts.build("latent", {"use": "Gaussian", "stoch": meta["stoch"], "std": "softplus", "min_std": 0.1})
    cell = lambda *sizes: parts.build("cell", {"use": "GRU"}, *sizes)
    sizes = {"deter": meta["deter"], "hidden": meta["hidden"]}
    rssm = RSSM(meta["embed"], meta["action"], latent, cell, Style(act=meta["act"]), **sizes)
    load(golden, "param", names.v1_rssm(rssm))
    for name in ("mean", "std"):
        golden.skip(f"in/prev/{name}", "a step needs nothing of the previous distribution but its sample")
    rssm_steps(golden, rssm)
    last = rssm_roll(golden, rssm)
    rssm_imagine(golden, rssm, last)


def rssm_steps(golden, rssm):
    """One posterior and one prior step, with noise and with none (the means)."""
    start = LatentState(golden["in/prev/deter"], golden["in/prev/stoch"])
    action, embed = golden["in/prev_action"], golden["in/embed"]
    golden.close("out/feat", official_feat(rssm, start))
    first = torch.zeros(len(action), dtype=torch.bool)
    for case, scale in (("noise", 1.0), ("mean", 0.0)):
        eps = {name: golden[f"in/eps_{name}"] * scale for name in ("prior", "post", "img")}
        state, post = rssm.obs_step(start, action, embed, first, eps["post"])
        close_latent(golden, f"out/{case}/obs_step/post", rssm.latent, state, post)
        close_prior(golden, f"out/{case}/obs_step/prior", rssm, state.deter, eps["prior"])
        ahead, _ = rssm.imagine(start, lambda feat, t: action, eps["img"][None])
        ahead = ahead.apply(lambda x: x[:, 1])
        close_latent(golden, f"out/{case}/img_step", rssm.latent, ahead, rssm.prior(ahead.deter))


def rssm_roll(golden, rssm):
    """Filtering a sequence from zeros -> its last state."""
    embed, action = leaf(golden["in/roll/embed"]), leaf(golden["in/roll/action"])
    first = torch.zeros(action.shape[:2], dtype=torch.bool)
    states, post = rssm.observe(embed, action, first, golden["in/roll/eps_post"])
    close_latent(golden, "out/roll/post", rssm.latent, states, post)
    prior = close_prior(golden, "out/roll/prior", rssm, states.deter, swap(golden["in/roll/eps_prior"]))
    kl, feat = rssm.latent.kl(post, prior), official_feat(rssm, states)
    golden.close("out/roll/kl", kl)
    golden.close("out/roll/feat", feat)
    loss = (feat * golden["in/roll/feat_weight"]).sum() + kl.mean()
    golden.close("out/roll/loss", loss)
    close_grads_of(golden, "grad/roll/param", names.v1_rssm(rssm), loss)
    close_input_grads(golden, "grad/roll", loss, {"embed": embed, "action": action})
    return states.detach().apply(lambda x: x[:, -1])


def rssm_imagine(golden, rssm, last):
    action = golden["in/imag/action"]
    ahead, _ = rssm.imagine(last, lambda feat, t: action[:, t], golden["in/imag/eps"])
    ahead = ahead.apply(lambda x: x[:, 1:])
    close_latent(golden, "out/imag", rssm.latent, ahead, rssm.prior(ahead.deter))


def check_kl(golden):
    for case in golden.meta["cases"]:
        free, data = golden.case(case)["free_nats"], case.rsplit("/", 1)[0]
        leaves = {
            f"{which}/{stat}": leaf(golden[f"{data}/in/{which}/{stat}"])
            for which in ("post", "prior")
            for stat in ("mean", "std")
        }
        post, prior = (torch.cat([leaves[f"{which}/mean"], leaves[f"{which}/std"]], -1) for which in ("post", "prior"))
        latent = plain_gaussian(post.shape[-1] // 2)
        loss = parts.build("kl", {"use": "PlainKL", "free": free, "where": "mean"})(latent, post, prior)["kl"].mean()
        golden.close(f"{case}/kl", latent.kl(post, prior))
        golden.close(f"{case}/div", loss)
        close_input_grads(golden, case, loss, {f"grad_{name}": x for name, x in leaves.items()})


def check_losses(golden):
    """Actor and value loss on a given imagined sequence, by the behaviour itself."""
    feat = golden["in/imag_feat"]
    layers = count(golden.names("param/value"), "h")
    config = dreamer.resolve(
        "v1",
        flags={
            "mlp.critic.layers": layers,
            "mlp.critic.units": golden["param/value/h0/kernel"].shape[1],
            "mlp.actor.units": 2,
            "discount": golden.meta["discount"],
            "returns.lam": golden.meta["disclam"],
        },
    )
    assert layers == golden.meta["value_layers"]
    behavior = Behavior(feat.shape[-1], 2, [], config)
    slots = names.v1_head(behavior.critic.net)
    load(golden, "param/value", slots)
    cases = [group for group in golden.groups() if group not in ("param", "in")]
    for case in cases:
        losses_case(golden, case, behavior, slots)


def losses_case(golden, case, behavior, slots):
    given = f"in/pcont_{case}"
    con = golden[given] if given in golden else torch.full(golden["in/reward"].shape, golden.meta["discount"])
    inputs = {"imag_feat": leaf(golden["in/imag_feat"]), "reward": leaf(golden["in/reward"]), "pcont": leaf(con)}
    ahead = lambda x: swap(torch.cat([torch.full_like(x[:1], 7.0), x]))  # a start state, which must not matter
    losses, targets, value, _ = behave(behavior, *(ahead(x) for x in inputs.values()))
    golden.close(f"{case}/out/value", swap(value)[1:])
    golden.close(f"{case}/out/returns", swap(targets.critic_ret))
    golden.close(f"{case}/out/discount", swap(targets.critic_weight))
    golden.close(f"{case}/out/actor_loss", losses["actor"].mean())
    constant = targets.critic_weight.mean() * HALF_LOG_2PI  # our losses leave it out
    golden.close(f"{case}/out/value_loss", losses["critic"].mean() + constant)
    close_grads_of(golden, f"{case}/grad/value", slots, losses["critic"].mean())
    close_input_grads(golden, f"{case}/grad/actor_loss_wrt", losses["actor"].mean(), inputs)


def check_adam(golden):
    """Five steps on given gradients. The official weight decay has no effect, so there is none."""
    for case in golden.meta["cases"]:
        setting = golden.case(case)
        assert golden.meta["wd_effect_max_abs"] == 0
        options = {"beta1": golden.meta["beta1"], "beta2": golden.meta["beta2"]}
        optimize(golden, case, setting | {"wd": 0.0, "eps": golden.meta["eps"]}, options)


def check_exploration(golden):
    """Action noise; where noise is drawn, it is the file's."""
    rename = {"expl_amount": "amount", "expl_decay": "decay", "expl_min": "minimum", "eval_noise": "eval"}
    for case in golden.meta["cases"]:
        setting = golden.case(case)
        options = {rename[key]: value for key, value in setting.items() if key in rename}
        explore = parts.build("explore", dreamer.resolve("v1")["explore"] | options)
        eps = golden.get(f"{case}/in/eps")
        with mock.patch("torch.randn_like", return_value=eps):
            mode = "train" if setting["training"] else "eval"
            golden.close(f"{case}/out/action", explore(golden["in/action"], None, mode, setting["step"]))


CHECKS = {
    "v1_action_head": v1_nets.check_action_head,
    "v1_adam": check_adam,
    "v1_exploration": check_exploration,
    "v1_full_dmc": v1_full.check,
    "v1_full_dmc_freenats0": v1_full.check,
    "v1_full_onehot_pcont": v1_full.check,
    "v1_full_pcont": v1_full.check,
    "v1_gru": check_gru,
    "v1_kl": check_kl,
    "v1_losses": check_losses,
    "v1_nets": v1_nets.check_nets,
    "v1_rssm": check_rssm,
}
