"""Golden files of single parts of V1."""

from unittest import mock

import numpy as np
import torch
from gymnasium import spaces

import dreamer
from common import parts
from common.behavior import Actor, Behavior
from common.encoder import Decoder, Encoder
from common.heads import Head, SoftContinue
from common.nets import Style
from common.rssm import RSSM, State
from parity import names, v1_full
from parity.common import (
    HALF_LOG_2PI,
    behave,
    close_grads_of,
    close_input_grads,
    close_modes,
    count,
    leaf,
    load,
    one_hot_noise,
    optimize,
    plain_gaussian,
    swap,
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
    start = State(golden["in/prev/deter"], golden["in/prev/stoch"])
    action, embed = golden["in/prev_action"], golden["in/embed"]
    golden.close("out/feat", official_feat(rssm, start))
    first = torch.zeros(len(action), dtype=torch.bool)
    for case, scale in (("noise", 1.0), ("mean", 0.0)):
        eps = {name: golden[f"in/eps_{name}"] * scale for name in ("prior", "post", "img")}
        state, post = rssm.filter(start, action, embed, first, eps["post"])
        close_latent(golden, f"out/{case}/obs_step/post", rssm.latent, state, post)
        close_latent(golden, f"out/{case}/obs_step/prior", rssm.latent, *sampled(rssm, state.deter, eps["prior"]))
        ahead, _ = rssm.imagine(start, lambda feat, t: action, eps["img"][None])
        ahead = ahead.apply(lambda x: x[:, 1])
        close_latent(golden, f"out/{case}/img_step", rssm.latent, ahead, rssm.prior(ahead.deter))


def sampled(rssm, deter, eps):
    """State and parameters of the prior at deter (B, ..., D) with given noise."""
    prior = rssm.prior(deter)
    return State(deter, rssm.latent.sample(prior, eps)), prior


def official_feat(rssm, state):
    return state.feat[..., names.feature_rows(rssm.deter, rssm.latent.size)]


def close_latent(golden, prefix, latent, state, params):
    """Compares state and distribution with `prefix/{deter, stoch, mean, std}`."""
    mean, std = latent.stats(params)
    for name, got in {"deter": state.deter, "stoch": state.stoch, "mean": mean, "std": std}.items():
        golden.close(f"{prefix}/{name}", got)


def rssm_roll(golden, rssm):
    """Filtering a sequence from zeros -> its last state."""
    embed, action = leaf(golden["in/roll/embed"]), leaf(golden["in/roll/action"])
    first = torch.zeros(action.shape[:2], dtype=torch.bool)
    states, post = rssm.observe(embed, action, first, golden["in/roll/eps_post"])
    close_latent(golden, "out/roll/post", rssm.latent, states, post)
    ahead, prior = sampled(rssm, states.deter, swap(golden["in/roll/eps_prior"]))
    close_latent(golden, "out/roll/prior", rssm.latent, ahead, prior)
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
    config = dreamer.load(
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


def check_nets(golden):
    """Image encoder and decoder, and dense heads."""
    style = Style(act=golden.meta["dense_act"], conv_act=golden.meta["cnn_act"])
    conv = parts.build("conv", {"use": "ValidConv", "depth": golden.meta["depth"]})
    image, feat = golden["in/image_uint8"], leaf(golden["in/feat"])
    space = spaces.Dict({"image": spaces.Box(0, 255, image.shape[-3:], np.uint8)})
    encoder = Encoder(space, conv, style, layers=0, units=0)
    slots = names.v1_encoder(encoder)
    load(golden, "param/encoder", slots)
    embed = encoder({"image": image})
    golden.close("out/embed", embed)
    close_grads_of(golden, "grad/encoder", slots, (embed * golden["in/embed_weight"]).sum())

    decoder = image_decoder(space, feat, conv, style)
    slots, states = names.v1_decoder(decoder), State(feat[..., :1], feat[..., 1:])
    load(golden, "param/decoder", slots)
    golden.close("out/decoder_mode", decoder.predict(states)["image"] - 0.5)
    logp = -decoder.losses(states, {"image": image})["image"] - image[0, 0].numel() * HALF_LOG_2PI
    golden.close("out/decoder_log_prob", logp)
    close_grads_of(golden, "grad/decoder", slots, -logp.mean())
    close_input_grads(golden, "grad", -logp.mean(), {"feat": feat})
    for case in [group for group in golden.groups() if group.startswith("dense_")]:
        check_dense(golden, case, feat.detach(), style)


def image_decoder(space, feat, conv, style):
    likelihood, vector = parts.build("image", {"use": "PixelNormal"}), parts.build("vector", {"use": "UnitNormal"})
    return Decoder(space, 1, feat.shape[-1] - 1, conv, likelihood, vector, style, layers=0, units=0)


def check_dense(golden, case, feat, style):
    """A dense decoder of a reward, a continuation probability or a vector."""
    value, prefix = golden.input(f"{case}/value"), f"{case}/param"
    size = {"layers": count(golden.names(prefix), "h"), "units": golden[f"{prefix}/h0/kernel"].shape[1]}
    if case == "dense_pcont":
        module = SoftContinue(feat.shape[-1], style, value, **size)  # the target: "discount" where not terminal
        slots, logp = names.v1_head(module.net), lambda: -module.losses(feat, torch.zeros(value.shape) > 0)["con"]
        pred = lambda: (module.pred(feat), module.pred(feat) > 0.5)
    elif value.ndim == feat.ndim:
        module = vector_decoder(feat, value, style, size)
        slots = names.v1_dense(module.mlp, [module.linears["x"]])
        states = State(feat[..., :1], feat[..., 1:])
        logp = lambda: -module.losses(states, {"x": value})["x"] - value.shape[-1] * HALF_LOG_2PI
        pred = lambda: (module.predict(states)["x"],) * 2
    else:
        module = Head(feat.shape[-1], parts.build("reward", {"use": "UnitNormal"}), style, **size)
        slots, logp = names.v1_head(module.net), lambda: -module.loss(feat, value) - HALF_LOG_2PI
        pred = lambda: (module.pred(feat),) * 2
    load(golden, prefix, slots)
    for name, got in zip(("mean", "mode"), pred(), strict=True):
        golden.close(f"{case}/{name}", got)
    golden.close(f"{case}/log_prob", logp())
    close_grads_of(golden, f"{case}/grad", slots, -logp().mean())


def vector_decoder(feat, value, style, size):
    space = spaces.Dict({"x": spaces.Box(-9, 9, value.shape[-1:])})
    vector = parts.build("vector", {"use": "UnitNormal"})
    return Decoder(space, 1, feat.shape[-1] - 1, None, None, vector, style, **size)


def check_action_head(golden):
    cases = [group for group in golden.groups() if group != "in"]
    for case in cases:
        prefix, x = f"{case}/param", golden["in/x"]
        size = {"layers": count(golden.names(prefix), "h"), "units": golden[f"{prefix}/h0/kernel"].shape[1]}
        assert size == {key: golden.meta[key] for key in size}
        discrete = f"{case}/in/sample_idx" in golden
        width = golden[f"{case}/in/value"].shape[-1]
        actor = Actor(x.shape[-1], width, policy(golden, case, width, discrete), Style(), **size, outscale=1.0)
        load(golden, prefix, names.v1_actor(actor))
        (check_onehot if discrete else check_tanh)(golden, case, actor, actor(x))


def policy(golden, case, width, discrete):
    if discrete:
        return parts.build("policy_disc", {"use": "OneHot"}, [width])
    meta = golden.meta
    options = {"init_std": meta[f"{case}_init_std"], "min_std": meta["min_std"], "mean_scale": meta["mean_scale"]}
    return parts.build("policy_cont", {"use": "TanhNormal", **options})


def check_onehot(golden, case, actor, out):
    dist, slots = actor.dist, names.v1_actor(actor)
    sample = dist.sample(out, one_hot_noise(golden[f"{case}/in/sample_idx"], out.shape[-1]))
    golden.close(f"{case}/out/sample", sample)
    close_grads_of(golden, f"{case}/grad/sample", slots, (sample * golden[f"{case}/in/sample_weight"]).sum())
    golden.close(f"{case}/out/mode", dist.mode(out))
    golden.close(f"{case}/out/log_prob", dist.log_prob(out, golden[f"{case}/in/value"]))
    golden.close(f"{case}/out/entropy", dist.entropy(out))
    golden.close(f"{case}/out/mean", dist.logits(out)[0].exp())


def check_tanh(golden, case, actor, out):
    """Saturated values (rows 0 and 1 of log_prob, wide policies' entropy) have the looser official tolerances."""
    dist, slots = actor.dist, names.v1_actor(actor)
    for name, got in zip(("base_mean", "base_std"), dist.stats(out), strict=True):
        golden.close(f"{case}/out/{name}", got)
    logp = dist.log_prob(out, golden[f"{case}/in/value"])
    golden.close(f"{case}/out/log_prob", logp, tol=5e-2)
    golden.compare(f"{case} log_prob, rows 2+", logp[2:], golden[f"{case}/out/log_prob"][2:], golden.tol)
    close_grads_of(golden, f"{case}/grad/log_prob_rows2plus", slots, logp[2:].mean())
    sample = dist.sample(out, golden[f"{case}/in/sample_eps"])
    golden.close(f"{case}/out/sample", sample)
    close_grads_of(golden, f"{case}/grad/sample", slots, (sample * golden[f"{case}/in/sample_weight"]).sum())
    golden.close(f"{case}/out/mean", dist.draw(out, golden[f"{case}/in/mean_eps"])[0].mean(0))
    entropy = dist.entropy(out, golden[f"{case}/in/entropy_eps"])
    golden.close(f"{case}/out/entropy", entropy, tol=5e-2 if case == "tanh" else None)
    if f"{case}/in/mode_eps" in golden:
        close_modes(golden, f"{case}/out", dist, out, golden[f"{case}/in/mode_eps"])


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
        explore = parts.build("explore", dreamer.load("v1")["explore"] | options)
        eps = golden.get(f"{case}/in/eps")
        with mock.patch("torch.randn_like", return_value=eps):
            mode = "train" if setting["training"] else "eval"
            golden.close(f"{case}/out/action", explore(golden["in/action"], None, mode, setting["step"]))


CHECKS = {
    "v1_action_head": check_action_head,
    "v1_adam": check_adam,
    "v1_exploration": check_exploration,
    "v1_full_dmc": v1_full.check,
    "v1_full_dmc_freenats0": v1_full.check,
    "v1_full_onehot_pcont": v1_full.check,
    "v1_full_pcont": v1_full.check,
    "v1_gru": check_gru,
    "v1_kl": check_kl,
    "v1_losses": check_losses,
    "v1_nets": check_nets,
    "v1_rssm": check_rssm,
}
