"""Golden files of single parts of V2."""

import numpy as np
import torch

from common import parts
from common.heads import Head
from common.nets import Style
from common.rssm import RSSM, State
from common.schedule import schedule
from parity import names, v2_full, v2_nets
from parity.common import (
    close_grads_of,
    close_input_grads,
    count,
    leaf,
    load,
    one_hot_noise,
    optimize,
    plain_gaussian,
    swap,
)


def check_gru(golden):
    for case in golden.groups():
        kernel, prefix = golden[f"{case}/param/kernel"], f"{case}/param"
        deter, norm = kernel.shape[1] // 3, f"{case}/param/gamma" in golden
        options = {"use": "NormGRU", "norm": norm}
        cell = parts.build("cell", options, 1, 1, deter, len(kernel) - deter, Style())
        slots = names.norm_gru(cell)
        load(golden, prefix, slots)
        x, h = leaf(golden[f"{case}/in/x"]), leaf(golden[f"{case}/in/h"])
        out = cell.gru(x, h)
        loss = (out * golden[f"{case}/in/out_weight"]).sum()
        golden.close(f"{case}/out/h", out)
        golden.close(f"{case}/out/loss", loss)
        close_grads_of(golden, f"{case}/grad/param", slots, loss)
        close_input_grads(golden, f"{case}/grad", loss, {"x": x, "h": h})


def latent_of(kwargs):
    """Latent part from the official settings of the RSSM."""
    if kwargs["discrete"]:
        return parts.build("latent", {"use": "Categorical", "stoch": kwargs["stoch"], "classes": kwargs["discrete"]})
    options = {"stoch": kwargs["stoch"], "std": kwargs["std_act"], "min_std": kwargs["min_std"]}
    return parts.build("latent", {"use": "Gaussian", **options})


def check_rssm(golden):
    kwargs = golden.meta["kwargs"]
    style = Style(act=kwargs["act"], norm=kwargs["norm"])
    sizes = {key: kwargs[key] for key in ("deter", "hidden", "ensemble")}
    cell = lambda *args: parts.build("cell", {"use": "NormGRU"}, *args)
    rssm = RSSM(golden.meta["embed"], golden.meta["action"], latent_of(kwargs), cell, style, **sizes)
    load(golden, "param", names.v2_rssm(rssm))
    for name in set(golden.names("in/prev")) - {"deter", "stoch"}:
        golden.skip(f"in/prev/{name}", "a step needs nothing of the previous distribution but its sample")
    rssm_step(golden, rssm)
    last = rssm_roll(golden, rssm)
    rssm_second(golden, rssm, last)
    rssm_imagine(golden, rssm, last)
    rssm_modes(golden, rssm)


def no_noise(rssm, *shape):
    """Under it a sample is the mode (or mean)."""
    return torch.zeros_like(rssm.latent.noise(*shape))


def given_noise(golden, rssm, name):
    """`NAME_idx` or `NAME_eps` (or the bare names) as the latent takes it."""
    if f"{name}eps" in golden:
        return golden[f"{name}eps"]
    return one_hot_noise(golden[f"{name}idx"], rssm.latent.shape[1])


def close_latent(golden, prefix, rssm, state, params):
    """Compares state and distribution with `prefix/{deter, stoch, mean, std | logit}`."""
    discrete = hasattr(rssm.latent, "classes") or hasattr(rssm.latent, "shape")
    split = lambda x: x.unflatten(-1, rssm.latent.shape) if discrete else x
    stats = {"logit": split(params)} if discrete else dict(zip(("mean", "std"), rssm.latent.stats(params), strict=True))
    for name, got in {"deter": state.deter, "stoch": split(state.stoch), **stats}.items():
        golden.close(f"{prefix}/{name}", got)


def close_prior(golden, prefix, rssm, deter, noise):
    """The prior at deter (..., D) and its sample with given noise (...)."""
    prior = rssm.prior(deter)
    close_latent(golden, prefix, rssm, State(deter, rssm.latent.sample(prior, noise)), prior)
    return prior


def official_feat(rssm, state):
    return state.feat[..., names.feature_rows(rssm.deter, rssm.latent.size)]


def rssm_step(golden, rssm):
    """One step each of posterior and prior, by their modes."""
    start = State(golden["in/prev/deter"], golden["in/prev/stoch"].flatten(1))
    action, none = golden["in/prev_action"], no_noise(rssm, len(start.deter))
    state, post = rssm.filter(start, action, golden["in/embed"], golden["in/is_first"], none)
    mode = State(state.deter, rssm.latent.mode(post))
    close_latent(golden, "out/obs_step/post", rssm, mode, post)
    close_prior(golden, "out/obs_step/prior", rssm, state.deter, none)
    golden.close("out/feat", official_feat(rssm, state))
    golden.close("out/post_entropy", rssm.latent.entropy(post))
    ahead, _ = rssm.imagine(start, lambda feat, t: action, none[None])
    ahead = ahead.apply(lambda x: x[:, 1])
    close_latent(golden, "out/img_step", rssm, ahead, rssm.prior(ahead.deter))


def rssm_roll(golden, rssm):
    """Filtering a sequence with resets from zeros -> its last state."""
    embed, action = leaf(golden["in/roll/embed"]), leaf(golden["in/roll/action"])
    noise = given_noise(golden, rssm, "in/roll/post_")
    states, post = rssm.observe(embed, action, golden["in/roll/is_first"], noise)
    close_latent(golden, "out/roll/post", rssm, states, post)
    noise = swap(given_noise(golden, rssm, "in/roll/prior_"))
    prior = close_prior(golden, "out/roll/prior", rssm, states.deter, noise)
    feat = official_feat(rssm, states)
    golden.close("out/roll/feat", feat)
    golden.close("out/roll/kl_value", rssm.latent.kl(post, prior))
    loss = kl_loss({"balance": 0.8, "free": 0.0, "free_avg": True, "forward": False}, rssm.latent, post, prior)
    golden.close("out/roll/kl_loss", loss)
    loss = loss + (feat * golden["in/roll/feat_weight"]).sum()
    golden.close("out/roll/loss", loss)
    close_grads_of(golden, "grad/roll/param", names.v2_rssm(rssm), loss)
    close_input_grads(golden, "grad/roll", loss, {"embed": embed, "action": action})
    return states.detach().apply(lambda x: x[:, -1])


def rssm_second(golden, rssm, last):
    """The first steps again, from the state at the end of the sequence."""
    first = golden["in/seg2/is_first"]
    embed, action = (golden[f"in/roll/{name}"][:, : first.shape[1]] for name in ("embed", "action"))
    states, post = rssm.observe(embed, action, first, given_noise(golden, rssm, "in/seg2/post_"), last)
    close_latent(golden, "out/seg2/post", rssm, states, post)
    close_prior(golden, "out/seg2/prior", rssm, states.deter, swap(given_noise(golden, rssm, "in/seg2/prior_")))


def rssm_imagine(golden, rssm, last):
    action = golden["in/imag/action"]
    ahead, _ = rssm.imagine(last, lambda feat, t: action[:, t], given_noise(golden, rssm, "in/imag/"))
    ahead = ahead.apply(lambda x: x[:, 1:])
    close_latent(golden, "out/imag", rssm, ahead, rssm.prior(ahead.deter))


def rssm_modes(golden, rssm):
    embed, action, first = (golden[f"in/roll/{name}"] for name in ("embed", "action", "is_first"))
    none = no_noise(rssm, *first.shape)
    states, post = rssm.observe(embed, action, first, swap(none))
    close_latent(golden, "out/roll_mode/post", rssm, states, post)
    close_prior(golden, "out/roll_mode/prior", rssm, states.deter, none)


def kl_loss(case, latent, post, prior):
    """Our KL losses, scaled and added up."""
    kl = parts.build("kl", kl_block(case))
    return sum(kl.scales[name] * loss.mean() for name, loss in kl(latent, post, prior).items())


def kl_block(case, scale=1.0):
    """Config of the KL part for official settings. Balance 0.5 is a case of its own there: one undivided KL."""
    options = {"free": case["free"], "forward": case["forward"]}
    if case["balance"] == 0.5:
        return {"use": "PlainKL", "scale": scale, "where": "element", **options}
    scales = {"dyn": case["balance"] * scale, "rep": (1 - case["balance"]) * scale}
    return {"use": "SplitKL", "where": "mean" if case["free_avg"] else "element", **scales, **options}


def check_kl(golden):
    for name in golden.meta["cases"]:
        case = golden.case(name)
        kind = case["kind"]
        if kind == "discrete":
            post, prior = leaf(golden["in/discrete/post"]), leaf(golden["in/discrete/prior"])
            latent = parts.build("latent", {"use": "Categorical", "stoch": post.shape[-2], "classes": post.shape[-1]})
            params, leaves = (post.flatten(-2), prior.flatten(-2)), {"grad_post/logit": post, "grad_prior/logit": prior}
        else:
            keys = [f"{which}/{stat}" for which in ("post", "prior") for stat in ("mean", "std")]
            leaves = {f"grad_{key}": leaf(golden[f"in/gauss/{key}"]) for key in keys}
            values = list(leaves.values())
            params, latent = (torch.cat(values[:2], -1), torch.cat(values[2:], -1)), plain_gaussian(values[0].shape[-1])
        loss = kl_loss(case, latent, *params)
        golden.close(f"{name}/loss", loss)
        golden.close(f"{name}/value", latent.kl(*(params[::-1] if case["forward"] else params)))
        close_input_grads(golden, name, loss, leaves)


def check_lambda_return(golden):
    for name in golden.meta["cases"]:
        case = golden.case(name)
        inputs = {key: leaf(golden[f"in/{key}"]) for key in ("reward", "value", "pcont", "bootstrap")}
        if case["pcont"] != "array":
            inputs["pcont"] = torch.full_like(inputs["reward"], case["pcont"])
        if case["bootstrap"] is None:
            inputs["bootstrap"] = torch.zeros_like(inputs["bootstrap"])
        reward, value, con = (inputs[key] for key in ("reward", "value", "pcont"))
        last = inputs["bootstrap"][None]
        series = [swap(torch.cat([x, last if x is value else torch.zeros_like(last)])) for x in (reward, value, con)]
        part = parts.build("returns", {"use": "ArrivalReturns", "lam": case["lambda_"], "start": True})
        ret = part(*series, 1.0).ret
        leaves = {key: x for key, x in inputs.items() if x.requires_grad}
        flip = (lambda x: x) if case["axis"] else swap
        golden.close(f"{name}/out", flip(ret))
        loss = (flip(ret) * golden.input(f"{name}/weight")).sum()
        close_returns_grads(golden, f"{name}/grad", loss, leaves, case["axis"])


def close_returns_grads(golden, prefix, loss, leaves, axis):
    grads = torch.autograd.grad(loss, list(leaves.values()))
    for (key, x), grad in zip(leaves.items(), grads, strict=True):
        golden.close(f"{prefix}/{key}", swap(grad) if axis and x.ndim > 1 else grad)


def check_optimizer(golden):
    for name in golden.meta["cases"]:
        case = golden.case(name)
        pattern = case.get("wd_pattern", ".*")
        assert pattern in (".*", "kernel"), f"decay of {pattern} is not an option here"
        optimize(golden, name, case, {"decay": "all" if pattern == ".*" else "kernels"})


def check_slow_target(golden):
    for name in golden.meta["cases"]:
        case = golden.case(name)
        kernel, start = golden[f"{name}/in/target0/dense0/kernel"], golden.names(f"{name}/in/target0")
        sizes = {"layers": count(start, "dense"), "units": kernel.shape[1]}
        critic = Head(kernel.shape[0], parts.build("critic", {"use": "UnitNormal"}), Style(), **sizes)
        options = {"every": case["slow_target_update"], "fraction": case["slow_target_fraction"]}
        slow = parts.build("slow", {"use": "HardCopy", **options})
        slow.setup(critic)
        load(golden, f"{name}/in/target0", names.v2_head(slow.slow.net))
        for i in range(case["steps"]):
            load(golden, f"{name}/in/critic{i}", names.v2_head(critic.net))
            slow.update(critic)
            for key, slot in names.v2_head(slow.slow.net).items():
                golden.close(f"{name}/out/target{i}/{key}", slot.arranged())


def check_streamnorm(golden):
    for name in golden.meta["cases"]:
        norm = parts.build("reward_norm", {"use": "StreamNorm"} | golden.case(name))
        for i in range(count(golden.groups("in"), "x")):
            x = golden[f"in/x{i}"]
            out = norm(x)
            golden.close(f"{name}/out{i}", out)
            golden.close(f"{name}/mag{i}", norm.mag)
            golden.close(f"{name}/metrics{i}/normed_mean", out.mean())
            golden.close(f"{name}/metrics{i}/normed_std", out.std(unbiased=False))
            for stat in ("mean", "std"):
                golden.skip(f"{name}/metrics{i}/{stat}", "a statistic of the input, which we do not log")


def check_schedule(golden):
    """Every string at every step."""
    got = [[schedule(text, step) for step in golden.meta["steps"]] for text in golden.meta["strings"]]
    golden.close("out", np.array(got))


CHECKS = {
    "v2_actor_critic": v2_full.check_actor_critic,
    "v2_dists": v2_nets.check_dists,
    "v2_encoder_decoder": v2_nets.check_encoder_decoder,
    "v2_full_atari": v2_full.check,
    "v2_full_dmc_vision": v2_full.check,
    "v2_full_proprio_gauss": v2_full.check,
    "v2_gru": check_gru,
    "v2_kl": check_kl,
    "v2_lambda_return": check_lambda_return,
    "v2_mlp_dists": v2_nets.check_mlp_dists,
    "v2_optimizer": check_optimizer,
    "v2_rssm_discrete": check_rssm,
    "v2_rssm_discrete_layernorm": check_rssm,
    "v2_rssm_gauss": check_rssm,
    "v2_rssm_gauss_softplus": check_rssm,
    "v2_schedule": check_schedule,
    "v2_slow_target": check_slow_target,
    "v2_streamnorm": check_streamnorm,
}
