"""Golden files of V2's encoder, decoder and output distributions."""

import re

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from common.agent.behavior import Actor
from common.agent.heads import Head, SoftContinue
from common.agent.rssm import LatentState
from common.config import parts
from common.foreign import danijar_names as names
from common.foreign.danijar_v2_settings import policy_block
from common.foreign.slots import key_rows
from common.nn.distributions import normal_entropy
from common.nn.encoder import Decoder, Encoder
from common.nn.nets import Layer, Style
from dreamer_v1.actor import tanh_inverse, tanh_log_slope
from dreamer_v2.actor import cdf
from tests.parity.common import close_grads_of, close_input_grads, leaf, load, one_hot_noise
from tests.parity.shared import HALF_LOG_2PI, close_modes, given_noise


def check_encoder_decoder(golden):
    for case in golden.meta["cases"]:
        setting, obs = golden.case(case), selected(golden, golden.meta["cases"][case])
        style = Style(act=setting["act"], conv_act=setting["act"], norm=setting["norm"])
        assert (setting["encoder_cnn_kernels"], setting["decoder_cnn_kernels"]) == ([4] * 4, [5, 5, 6, 6])
        conv = parts.build("conv", {"use": "ValidConv", "depth": setting["cnn_depth"]})
        check_encoder(golden, case, obs, conv, style)
        check_decoder(golden, case, obs, conv, style)


def selected(golden, setting):
    """Observations whose keys the case selects, in the official order."""
    obs = {"image": golden["in/image_uint8"]}
    obs |= {key: golden[f"in/{key}"] for key in golden.names("in") if key not in ("image_uint8", "feat")}
    pattern = lambda value: setting["cnn_keys" if value.dtype == torch.uint8 else "mlp_keys"]
    return {key: value for key, value in obs.items() if re.match(pattern(value), key)}


def space_of(obs):
    box = lambda x: spaces.Box(0, 255, x.shape[2:], np.uint8 if x.dtype == torch.uint8 else np.float32)
    return spaces.Dict({key: box(value) for key, value in obs.items()})


def stack(module, widths, style):
    """Replaces a network's hidden layers by ones of these widths (ours are equally wide by configuration)."""
    inp = module.mlp[0].linear.in_features
    module.mlp = nn.Sequential(*(Layer(i, o, style) for i, o in zip([inp, *widths], widths, strict=False)))


def vector_rows(obs):
    vectors = {key: value.shape[-1] for key, value in obs.items() if value.dtype != torch.uint8}
    return key_rows(list(vectors), vectors) if vectors else None


def check_encoder(golden, case, obs, conv, style):
    widths = golden.meta["cases"][case]["mlp_layers"]
    encoder = Encoder(space_of(obs), conv, style, layers=len(widths), units=widths[-1])
    if encoder.vectors:
        stack(encoder, widths, style)
    slots = names.v2_encoder(encoder, vector_rows(obs))
    load(golden, f"{case}/param/encoder", slots)
    embed = encoder(obs)[..., names.embed_rows_of(encoder.size, widths[-1] if encoder.vectors else 0)]
    golden.close(f"{case}/out/embed", embed)
    loss = (embed * golden[f"{case}/in/embed_weight"]).sum()
    close_grads_of(golden, f"{case}/grad/encoder", slots, loss)


def check_decoder(golden, case, obs, conv, style):
    widths, feat = golden.meta["cases"][case]["mlp_layers"], leaf(golden["in/feat"])
    likelihoods = parts.build("image", {"use": "PixelNormal"}), parts.build("vector", {"use": "UnitNormal"})
    sizes = {"layers": len(widths), "units": widths[-1]}
    decoder = Decoder(space_of(obs), 1, feat.shape[-1] - 1, conv, *likelihoods, style, **sizes)
    if decoder.vectors:
        stack(decoder, widths, style)
    slots, states = names.v2_decoder(decoder), LatentState(feat[..., :1], feat[..., 1:])
    load(golden, f"{case}/param/decoder", slots)
    preds, losses, total = decoder.predict(states), decoder.losses(states, obs), 0.0
    assert set(losses) == set(obs)
    for key, loss in losses.items():
        golden.close(f"{case}/out/decoder_mode/{key}", preds[key] - (0.5 if key in decoder.images else 0.0))
        golden.close(f"{case}/out/decoder_log_prob/{key}", -loss - obs[key][0, 0].numel() * HALF_LOG_2PI)
        total = total + loss.mean()
    close_grads_of(golden, f"{case}/grad/decoder", slots, total)
    close_input_grads(golden, f"{case}/grad", total, {"feat": feat})


def check_mlp_dists(golden):
    """Every output distribution on top of an MLP."""
    for case in golden.meta["cases"]:
        setting = golden.case(case)
        style = Style(act=setting["act"], norm=setting["norm"])
        size = {"layers": setting["layers"], "units": setting["units"]}
        {"mse": check_mse, "binary": check_binary}.get(setting["dist"], check_policy)(golden, case, style, size)


def check_mse(golden, case, style, size):
    x, value, shape = golden["in/x"], golden[f"{case}/in/value"], golden.meta["cases"][case]["shape"]
    if shape:
        space, vector = spaces.Dict({"x": spaces.Box(-9, 9, shape)}), parts.build("vector", {"use": "UnitNormal"})
        decoder = Decoder(space, 1, x.shape[-1] - 1, None, None, vector, style, **size)
        slots, states = names.v2_vector(decoder, "x"), LatentState(x[..., :1], x[..., 1:])
        pred, loss = lambda: decoder.predict(states)["x"], lambda: decoder.losses(states, {"x": value})["x"]
    else:
        head = Head(x.shape[-1], parts.build("reward", {"use": "UnitNormal"}), style, **size)
        slots, pred, loss = names.v2_head(head.net), lambda: head.pred(x), lambda: head.loss(x, value)
    load(golden, f"{case}/param", slots)
    dims = int(np.prod(shape))
    for name in ("mean", "mode"):
        golden.close(f"{case}/out/{name}", pred())
    golden.close(f"{case}/out/log_prob", -loss() - dims * HALF_LOG_2PI)
    golden.close(f"{case}/out/entropy", normal_entropy(torch.ones(*value.shape[:2], dims)).sum(-1))
    close_grads_of(golden, f"{case}/grad/nll", slots, loss().mean())


def check_binary(golden, case, style, size):
    """The continue head with the file's values as targets."""
    x, value = golden["in/x"], golden[f"{case}/in/value"]
    head = SoftContinue(x.shape[-1], style, value, **size)
    slots = names.v2_head(head.net)
    load(golden, f"{case}/param", slots)
    loss = head.losses(x, torch.zeros(value.shape, dtype=torch.bool))["con"]
    golden.close(f"{case}/out/log_prob", -loss)
    golden.close(f"{case}/out/mean", head.pred(x))
    golden.close(f"{case}/out/mode", (head.pred(x) > 0.5).float())
    close_grads_of(golden, f"{case}/grad/nll", slots, loss.mean())
    for name in ("out/entropy", "grad/entropy"):
        golden.skip(f"{case}/{name}", "nothing uses the entropy of the continue head")


def policy_of(setting, width):
    """Action distribution for official settings."""
    if setting["dist"] == "onehot":
        return parts.build("policy_disc", {"use": "OneHot"}, [width])
    return parts.build("policy_cont", policy_block(setting))


def check_policy(golden, case, style, size):
    setting, x = golden.meta["cases"][case], golden["in/x"]
    (width,) = setting["shape"]
    actor = Actor(x.shape[-1], width, policy_of(setting, width), style, **size, outscale=1.0)
    slots = names.v2_actor(actor)
    load(golden, f"{case}/param", slots)
    out, dist, kind = actor(x), actor.dist, setting["dist"]
    logp = dist.log_prob(out, golden[f"{case}/in/value"])
    golden.close(f"{case}/out/log_prob", logp)
    close_grads_of(golden, f"{case}/grad/nll", slots, -logp.mean())
    sample = dist.sample(out, given_noise(golden, f"{case}/in/sample", width))
    golden.close(f"{case}/out/sample", sample)
    close_grads_of(golden, f"{case}/grad/sample", slots, (sample * golden[f"{case}/in/sample_weight"]).sum())
    loose = 0.15 if case == "tanh_normal_init" else None
    entropy = dist.entropy(out, golden.get(f"{case}/in/entropy_eps"))
    golden.close(f"{case}/out/entropy", entropy, loose)
    close_grads_of(golden, f"{case}/grad/entropy", slots, entropy.mean(), loose)
    {"tanh_normal": close_tanh, "onehot": close_onehot}.get(kind, close_normal)(golden, case, dist, out)


def close_tanh(golden, case, dist, out):
    golden.close(f"{case}/out/mean", dist.draw(out, golden[f"{case}/in/mean_eps"])[0].mean(0))
    golden.close(f"{case}/out/edge_log_prob", dist.log_prob(out, golden[f"{case}/in/edge_value"]), 0.15)
    if f"{case}/in/mode_eps" in golden:
        flat, eps = out.flatten(0, -2), golden[f"{case}/in/mode_eps"]
        close_modes(golden, f"{case}/out", dist, flat, eps)


def close_onehot(golden, case, dist, out):
    golden.close(f"{case}/out/mode", dist.mode(out))
    golden.close(f"{case}/out/mean", dist.logits(out)[0].exp())


def close_normal(golden, case, dist, out):
    golden.close(f"{case}/out/mode", dist.mode(out))
    if golden.meta["cases"][case]["dist"] == "trunc_normal":
        golden.skip(f"{case}/out/mean", "nothing uses the mean of a truncated Normal")
    else:
        golden.close(f"{case}/out/mean", dist.stats(out)[0])


def check_dists(golden):
    dist = parts.build("policy_cont", {"use": "TruncNormal"})
    dist.stats = lambda out: out.chunk(2, -1)  # means and stds come from the file
    check_trunc(golden, dist)
    check_edge(dist)
    check_official_draw(golden, dist)
    check_categorical(golden)
    golden.close("tanh/out/inverse", tanh_inverse(golden["tanh/in/y"]))
    golden.close("tanh/out/fldj", tanh_log_slope(golden["tanh/in/x"]))


def trunc_out(golden):
    loc, scale = leaf(golden["trunc/in/loc"]), leaf(golden["trunc/in/scale"])
    return loc, scale, torch.stack([loc, scale], -1)


def check_trunc(golden, dist):
    loc, scale, out = trunc_out(golden)
    got = {
        "log_prob": dist.log_prob(out, golden["trunc/in/value"][:, None]),
        "entropy": dist.entropy(out),
        "sample": dist.sample(out, golden["trunc/in/u"][:, None])[:, 0],
        "mode": dist.mode(out)[:, 0],
    }
    for name, value in got.items():
        golden.close(f"trunc/out/{name}", value)
    for name, suffix in {"log_prob": "", "entropy": "", "sample": "_op"}.items():
        leaves = {f"{name}_loc{suffix}": loc, f"{name}_scale{suffix}": scale}
        close_input_grads(golden, "trunc/grad", got[name].sum(), leaves)
    for name in ("out/mean", "out/stddev"):
        golden.skip(f"trunc/{name}", "nothing uses these moments of a truncated Normal")
    for name in ("loc", "scale"):
        golden.skip(f"trunc/grad/sample_{name}_implicit", "the exact rule, which the official code does not follow")


def check_edge(dist):
    """A sample on the bound, of which the file has none: clipped to just inside, straight through."""
    mean, std = leaf(torch.tensor([0.5])), leaf(torch.tensor([1.0]))
    sample = dist.sample(torch.cat([mean, std]), torch.ones(1))
    assert abs(sample.item() - (1 - 1e-6)) < 1e-7
    grads = torch.stack(torch.autograd.grad(sample, [mean, std]))[:, 0]
    assert torch.allclose(grads, torch.tensor([1.0, 0.5]), atol=1e-5)


def check_official_draw(golden, dist):
    """A draw of the official operation: the uniform number behind it, and from that our draw and its gradients."""
    loc, scale, out = trunc_out(golden)
    draw = golden.expect("trunc_official_draw/sample")
    at = lambda x: cdf((x - loc.detach().double()) / scale.detach().double())
    noise = ((at(draw) - at(-1)) / (at(1) - at(-1))).float()
    sample = dist.sample(out, noise[:, None])[:, 0]
    golden.close("trunc_official_draw/sample", sample)
    leaves = {"grad_loc": loc, "grad_scale": scale}
    close_input_grads(golden, "trunc_official_draw", sample.sum(), leaves)


def check_categorical(golden):
    logits = leaf(golden["onehot/in/logits"])
    width = logits.shape[-1]
    dist = parts.build("policy_disc", {"use": "OneHot"}, [width])
    sample = dist.sample(logits, one_hot_noise(golden["onehot/in/sample_idx"], width))
    weight, value = golden["onehot/in/weight"], golden["onehot/in/value"]
    got = {"log_prob": dist.log_prob(logits, value), "entropy": dist.entropy(logits), "sample": sample}
    got |= {"mode": dist.mode(logits), "probs": dist.logits(logits)[0].exp()}
    for name, result in got.items():
        golden.close(f"onehot/out/{name}", result)
    losses = {"sample": (sample * weight).sum(), "log_prob": got["log_prob"].sum(), "entropy": got["entropy"].sum()}
    for name, loss in losses.items():
        close_input_grads(golden, "onehot/grad", loss, {name: logits})
