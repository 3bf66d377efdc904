"""Golden files of single parts of V2."""

import numpy as np
import torch

from common.agent.rssm import RSSM, LatentState
from common.config import parts
from common.config.annealing import schedule
from common.foreign import danijar_names as names
from common.nn.nets import Style
from tests.parity import v2_full, v2_losses, v2_nets
from tests.parity.common import close_grads_of, close_input_grads, leaf, load, swap
from tests.parity.shared import close_latent, close_prior, given_noise, official_feat, optimize
from tests.parity.v2_losses import kl_loss


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


def noise_at(golden, rssm, name):
    return given_noise(golden, name, getattr(rssm.latent, "shape", (0, 0))[1])


def rssm_step(golden, rssm):
    """One step each of posterior and prior, by their modes."""
    start = LatentState(golden["in/prev/deter"], golden["in/prev/stoch"].flatten(1))
    action, none = golden["in/prev_action"], no_noise(rssm, len(start.deter))
    state, post = rssm.obs_step(start, action, golden["in/embed"], golden["in/is_first"], none)
    mode = LatentState(state.deter, rssm.latent.mode(post))
    close_latent(golden, "out/obs_step/post", rssm.latent, mode, post)
    close_prior(golden, "out/obs_step/prior", rssm, state.deter, none)
    golden.close("out/feat", official_feat(rssm, state))
    golden.close("out/post_entropy", rssm.latent.entropy(post))
    ahead, _ = rssm.imagine(start, lambda feat, t: action, none[None])
    ahead = ahead.apply(lambda x: x[:, 1])
    close_latent(golden, "out/img_step", rssm.latent, ahead, rssm.prior(ahead.deter))


def rssm_roll(golden, rssm):
    """Filtering a sequence with resets from zeros -> its last state."""
    embed, action = leaf(golden["in/roll/embed"]), leaf(golden["in/roll/action"])
    noise = noise_at(golden, rssm, "in/roll/post")
    states, post = rssm.observe(embed, action, golden["in/roll/is_first"], noise)
    close_latent(golden, "out/roll/post", rssm.latent, states, post)
    noise = swap(noise_at(golden, rssm, "in/roll/prior"))
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
    states, post = rssm.observe(embed, action, first, noise_at(golden, rssm, "in/seg2/post"), last)
    close_latent(golden, "out/seg2/post", rssm.latent, states, post)
    close_prior(golden, "out/seg2/prior", rssm, states.deter, swap(noise_at(golden, rssm, "in/seg2/prior")))


def rssm_imagine(golden, rssm, last):
    action = golden["in/imag/action"]
    ahead, _ = rssm.imagine(last, lambda feat, t: action[:, t], noise_at(golden, rssm, "in/imag"))
    ahead = ahead.apply(lambda x: x[:, 1:])
    close_latent(golden, "out/imag", rssm.latent, ahead, rssm.prior(ahead.deter))


def rssm_modes(golden, rssm):
    embed, action, first = (golden[f"in/roll/{name}"] for name in ("embed", "action", "is_first"))
    none = no_noise(rssm, *first.shape)
    states, post = rssm.observe(embed, action, first, swap(none))
    close_latent(golden, "out/roll_mode/post", rssm.latent, states, post)
    close_prior(golden, "out/roll_mode/prior", rssm, states.deter, none)


def check_optimizer(golden):
    for name in golden.meta["cases"]:
        case = golden.case(name)
        pattern = case.get("wd_pattern", ".*")
        assert pattern in (".*", "kernel"), f"decay of {pattern} is not an option here"
        optimize(golden, name, case, {"decay": "all" if pattern == ".*" else "kernels"})


def check_schedule(golden):
    """Every string at every step."""
    got = [[schedule(text, step) for step in golden.meta["steps"]] for text in golden.meta["strings"]]
    golden.close("out", np.array(got))


CHECKS = {
    "v2_actor_critic": v2_losses.check_actor_critic,
    "v2_dists": v2_nets.check_dists,
    "v2_encoder_decoder": v2_nets.check_encoder_decoder,
    "v2_full_atari": v2_full.check,
    "v2_full_dmc_vision": v2_full.check,
    "v2_full_proprio_gauss": v2_full.check,
    "v2_gru": check_gru,
    "v2_kl": v2_losses.check_kl,
    "v2_lambda_return": v2_losses.check_lambda_return,
    "v2_mlp_dists": v2_nets.check_mlp_dists,
    "v2_optimizer": check_optimizer,
    "v2_rssm_discrete": check_rssm,
    "v2_rssm_discrete_layernorm": check_rssm,
    "v2_rssm_gauss": check_rssm,
    "v2_rssm_gauss_softplus": check_rssm,
    "v2_schedule": check_schedule,
    "v2_slow_target": v2_losses.check_slow_target,
    "v2_streamnorm": v2_losses.check_streamnorm,
}
