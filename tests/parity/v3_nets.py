"""Golden files of V3's networks: layers, heads, RSSM, encoder and decoder."""

import numpy as np
import torch
from gymnasium import spaces

from common.agent.behavior import Actor
from common.agent.heads import Head, SoftContinue
from common.agent.rssm import RSSM, LatentState
from common.config import parts
from common.foreign import danijar_v3_names as names
from common.foreign.danijar_v3_settings import EPS
from common.foreign.slots import dense, under
from common.nn.encoder import Decoder, Encoder
from common.nn.nets import MLP, BlockLinear, Linear, Style, conv, symlog
from dreamer_v3.heads import BinaryContinue
from tests.parity.common import close_grads_of, close_input_grads, count, leaf, load
from tests.parity.v3_parts import GRAD, actions, bounded_normal, categorical, one_hot_policy, require


def style(cfg=None):
    """Style of an official module's settings; without them the usual one."""
    cfg = cfg or {"act": "silu", "norm": "rms"}
    return Style(act=cfg["act"], conv_act=cfg["act"], norm=cfg["norm"], eps=EPS[cfg["norm"]], init="fan_in")


def check_layers(golden):
    groups = {"norm": norm_layer, "block": block_layer, "linear": linear_layer, "mlp": mlp_layer, "conv": conv_layer}
    for case in golden.groups():
        module, slots, call = groups[case.split("_")[0]](golden, case)
        load(golden, f"{case}/param", slots)
        x = leaf(golden[f"{case}/in/x"])
        y = call(module, x)
        golden.close(f"{case}/out/y", y)
        loss = (y * golden[f"{case}/in/w"]).sum()
        close_grads_of(golden, f"{case}/grad/param", slots, loss, GRAD)
        close_input_grads(golden, f"{case}/grad", loss, {"x": x}, GRAD)


def plain_call(module, x):
    return module(x)


def norm_layer(golden, case):
    """norm_KIND and norm_KIND1emN: the suffix is part of the official name of the norm."""
    name = case.removeprefix("norm_")
    kind = Style(norm=name.split("1em")[0], eps=golden.meta["norm_eps"][name])
    module = kind.make_norm(golden[f"{case}/in/x"].shape[-1])
    return module, under(case, names.norm(module)), plain_call


def block_layer(golden, case):
    blocks, inp, out = golden[f"{case}/param/blk/kernel"].shape
    assert blocks == golden.meta["block_groups"]
    module = BlockLinear(blocks * inp, blocks * out, blocks)
    return module, under("blk", names.block(module)), plain_call


def linear_layer(golden, case):
    """The official layer also arranges its outputs on several axes."""
    module = Linear(*golden[f"{case}/param/lin/kernel"].shape)
    shape = golden[f"{case}/in/w"].shape
    return module, under("lin", dense(module)), lambda module, x: module(x).reshape(shape)


def mlp_layer(golden, case):
    prefix = f"{case}/param/mlp"
    inp, units = golden[f"{prefix}/linear0/kernel"].shape
    module = MLP(inp, style(), layers=count(golden.names(prefix), "linear"), units=units)
    return module, names.mlp(module), plain_call


def conv_layer(golden, case):
    size, _, inp, out = golden[f"{case}/param/conv/kernel"].shape
    require(golden.meta["conv"], stride=1, pad="same", kernel=size)
    module = conv(inp, out, size, 1, size // 2, style=style())
    call = lambda module, x: module(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    return module, under("conv", names.affine(module, lambda w: w.permute(2, 3, 1, 0))), call


def check_heads(golden):
    x = golden["in/x"]
    for case in golden.groups():
        if case != "in":
            prefix = f"{case}/param/{case}"
            layers = count(golden.names(f"{prefix}/mlp"), "linear")
            assert layers == golden.meta["layers"][case.split("_")[0]]
            size = {"layers": layers, "units": golden[f"{prefix}/mlp/linear0/kernel"].shape[1]}
            check = {"rew": scalar_head, "val": scalar_head, "con": continue_head, "pol": policy_head}
            check[case.split("_")[0]](golden, case, x, size)


def scalar_head(golden, case, x, size):
    dist = parts.build("reward", {"use": "SymexpTwohot", "bins": golden.meta["bins"]})
    head = Head(x.shape[-1], dist, style(), **size)
    load(golden, f"{case}/param/{case}", names.head(head.net))
    golden.close(f"{case}/out/logits", head(x))
    golden.close(f"{case}/out/pred", head.pred(x))
    golden.close(f"{case}/out/loss", head.loss(x, golden[f"in/target/{case}"]))


def continue_head(golden, case, x, size):
    """The soft target of a state that continues is the discount, here one for each element."""
    target = golden[f"in/target/{case}"]
    head = SoftContinue(x.shape[-1], style(), target, **size)
    load(golden, f"{case}/param/{case}", names.head(head.net, "logit"))
    golden.close(f"{case}/out/logit", head.logit(x))
    golden.close(f"{case}/out/prob1", head.pred(x))
    golden.close(f"{case}/out/loss", head.losses(x, torch.zeros(target.shape) > 0)["con"])
    flag = BinaryContinue(x.shape[-1], style(), 1.0, predict="mode", **size)
    flag.load_state_dict(head.state_dict())
    golden.close(f"{case}/out/pred", flag.pred(x))


def policy_head(golden, case, x, size):
    given = golden[f"{case}/in/action"]
    discrete = f"{case}/out/logits" in golden
    width = len(golden[f"{case}/param/{case}/head/action/{'logits' if discrete else 'mean'}/bias"])
    dist = one_hot_policy(width) if discrete else bounded_normal(golden.meta)
    actor = Actor(x.shape[-1], width, dist, style(), outscale=1.0, **size)
    load(golden, f"{case}/param/{case}", names.policy(actor))
    out = actor(x)
    golden.close(f"{case}/out/logp", dist.log_prob(out, actions(given, width)))
    golden.close(f"{case}/out/entropy", dist.entropy(out))
    if discrete:
        golden.close(f"{case}/out/logits", out)
        golden.close(f"{case}/out/pred", dist.mode(out).argmax(-1))
    else:
        golden.close(f"{case}/out/pred", dist.mode(out))
        for name, got in zip(("mean", "std"), dist.stats(out), strict=True):
            golden.close(f"{case}/out/{name}", got)


def make_rssm(cfg, embed, action):
    require(cfg, absolute=False)
    latent = categorical((cfg["stoch"], cfg["classes"]), cfg)
    options = {"use": "BlockGRU", "blocks": cfg["blocks"], "layers": cfg["dynlayers"]}
    cell = lambda *sizes: parts.build("cell", options, *sizes)
    layers = {"prior_layers": cfg["imglayers"], "post_layers": cfg["obslayers"]}
    sizes = {"deter": cfg["deter"], "hidden": cfg["hidden"], "action_clip": 1.0}
    return RSSM(embed, action, latent, cell, style(cfg), **sizes, **layers)


def check_rssm(golden):
    cfg, tokens = golden.meta["rssm"], golden["in/tokens"]
    require(golden.meta, sampling="mode (argmax) everywhere")
    rssm = make_rssm(cfg, tokens.shape[-1], golden.meta["n_actions"])
    load(golden, "param/dyn", names.rssm(rssm))
    start = LatentState(golden["in/carry/deter"], golden["in/carry/stoch"].flatten(-2))
    check_core(golden, rssm, start, tokens)
    last = check_observe(golden, rssm, start, tokens)
    action = actions(golden["imagine/in/acts/action"], rssm.action)
    zeros = torch.zeros(action.shape[1], len(action), *rssm.latent.shape)
    ahead, _ = rssm.imagine(last, lambda feat, t: action[:, t], zeros)
    close_states(golden, "imagine/out", rssm, ahead.apply(lambda x: x[:, 1:]))


def grouped(rssm, x):
    """(..., S C) -> (..., S, C)."""
    return x.unflatten(-1, rssm.latent.shape)


def close_states(golden, prefix, rssm, states):
    golden.close(f"{prefix}/deter", states.deter)
    golden.close(f"{prefix}/stoch", grouped(rssm, states.stoch))
    golden.close(f"{prefix}/prior_logits", grouped(rssm, rssm.prior(states.deter)))


def check_core(golden, rssm, start, tokens):
    """One step; the logits of the posterior are those of the first token."""
    deter, stoch, action = leaf(start.deter), leaf(start.stoch), leaf(golden["core/in/action_vec"])
    out = rssm.deter_step(LatentState(deter, stoch), action)
    golden.close("core/out/deter", out)
    golden.close("core/out/prior_logits", grouped(rssm, rssm.prior(out)))
    golden.close("core/out/post_logits", grouped(rssm, rssm.post(torch.cat([out, tokens[:, 0]], -1))))
    loss = (out * golden["core/in/w"]).sum()
    slots = names.rssm(rssm)
    used = {name: slot for name, slot in slots.items() if name.startswith("dyn")}
    close_grads_of(golden, "core/grad/param/dyn", used, loss, GRAD)
    close_input_grads(golden, "core/grad", loss, {"deter": deter, "action": action}, GRAD)
    (grad,) = torch.autograd.grad(loss, [stoch])
    golden.close("core/grad/stoch", grouped(rssm, grad), GRAD)


def check_observe(golden, rssm, start, tokens):
    """Filtering -> last state."""
    action, first = actions(golden["in/acts/action"], rssm.action), golden["in/reset"]
    zeros = torch.zeros(tokens.shape[1], len(tokens), *rssm.latent.shape)
    states, post = rssm.observe(tokens, action, first, zeros, start)
    close_states(golden, "observe/out", rssm, states)
    golden.close("observe/out/post_logits", grouped(rssm, post))
    last, prior = states.apply(lambda x: x[:, -1]), rssm.prior(states.deter)
    golden.close("observe/out/final_deter", last.deter)
    golden.close("observe/out/final_stoch", grouped(rssm, last.stoch))
    kl = parts.build("kl", {"use": "BalancedKL", "free": golden.meta["rssm"]["free_nats"]})
    for name, loss in kl(rssm.latent, post, prior).items():
        golden.close(f"observe/out/{name}", loss)
    for name, params in (("dyn", prior), ("rep", post)):
        golden.close(f"observe/out/{name}_ent", rssm.latent.entropy(params).mean())
    return last


def make_conv(cfg, blocks=1):
    """Convolutions; `mults` and the kernel are the part's own."""
    require(cfg, outer=False, strided=False, kernel=5)
    part = parts.build("conv", {"use": "PoolConv", "depth": cfg["depth"], "blocks": blocks})
    assert part.widths == [cfg["depth"] * mult for mult in cfg["mults"]]
    return part


def check_encoder_decoder(golden):
    boxes, obs = {}, {}
    for key, shape in golden.meta["obs"].items():
        obs[key], low = golden[f"in/{key}"], 0 if len(shape) == 3 else -np.inf
        boxes[key] = spaces.Box(low, 255 if len(shape) == 3 else np.inf, shape, obs[key].numpy().dtype.type)
    for case in golden.groups():
        if case.startswith("enc"):
            check_encoder(golden, case, boxes, obs)
    check_decoder(golden, boxes, obs)


def check_encoder(golden, case, boxes, obs):
    """An encoder of what its parameters show: images, vectors, or both."""
    cfg, prefix = golden.meta["enc"], f"{case}/param/{case}"
    axes = {n for n, layer in ((3, "cnn0"), (1, "mlp0")) if golden.has(f"{prefix}/{layer}")}
    space = spaces.Dict({key: box for key, box in boxes.items() if len(box.shape) in axes})
    sizes = {"layers": cfg["layers"], "units": cfg["units"], "symlog": cfg["symlog"]}
    encoder = Encoder(space, make_conv(cfg), style(cfg), **sizes)
    load(golden, prefix, names.encoder(encoder))
    golden.close(f"{case}/out/tokens", encoder(obs))


def check_decoder(golden, boxes, obs):
    cfg, states = golden.meta["dec"], LatentState(golden["in/feat/deter"], golden["in/feat/stoch"].flatten(-2))
    sizes, outputs = (states.deter.shape[-1], states.stoch.shape[-1]), (("image", "PixelMSE"), ("vector", "SymlogMSE"))
    outputs = [parts.build(seam, {"use": name}) for seam, name in outputs]
    layers = {"layers": cfg["layers"], "units": cfg["units"]}
    pixels = make_conv(cfg, cfg["bspace"])
    decoder = Decoder(spaces.Dict(boxes), *sizes, pixels, *outputs, style(cfg), **layers)
    load(golden, "dec/param/dec", names.decoder(decoder, *sizes))
    losses, recon = decoder.losses(states, obs), reconstruction(decoder, states)
    for key in boxes:
        golden.close(f"dec/out/pred/{key}", recon[key])
        golden.close(f"dec/out/loss/{key}", losses[key])


def reconstruction(decoder, states):
    """Predictions by key; the official ones of vectors are left in symlog space."""
    return {key: pred if key in decoder.images else symlog(pred) for key, pred in decoder.predict(states).items()}
