"""Golden files of V1's networks and action distributions."""

import numpy as np
import torch
from gymnasium import spaces

from common.agent.behavior import Actor
from common.agent.heads import Head, SoftContinue
from common.agent.rssm import LatentState
from common.config import parts
from common.foreign import danijar_names as names
from common.nn.encoder import Decoder, Encoder
from common.nn.nets import Style
from tests.parity.common import close_grads_of, close_input_grads, count, leaf, load, one_hot_noise
from tests.parity.shared import HALF_LOG_2PI, close_modes


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
    slots, states = names.v1_decoder(decoder), LatentState(feat[..., :1], feat[..., 1:])
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
        slots = names.v1_dense(module.mlp, [module.linears[module.vectors.index("x")]])
        states = LatentState(feat[..., :1], feat[..., 1:])
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
