"""Names of the parameters of the official V3 of 2023 (arXiv 2301.04104v1), and where each lives in our modules."""

import torch

from common.foreign.slots import Slot, Slots, affine, conv, dense, plain, under


def layer_norm(module):
    """Scale and bias of a layer norm."""
    return {"scale": plain(module.scale), "bias": plain(module.shift)}


def layer(module, rows=None):
    """Linear layer without bias, scale and bias of its layer norm. rows: our input feature for each official one."""
    return dense(module.linear, rows) | under("norm", layer_norm(module.norm))


def hidden(layers, rows=None):
    """Hidden layers. rows: of the inputs of the first."""
    slots: Slots = {}
    for i, module in enumerate(layers):
        slots |= under(f"h{i}", layer(module, None if i else rows))
    return slots


def head(net, name="dist_out/out"):
    """Sequential(hidden, output)."""
    return hidden(net[0]) | under(name, dense(net[1]))


def actor(module):
    """Hidden layers and outputs of an actor."""
    slots = hidden(module.net)
    for name, out in zip(("out", "std"), module.outs, strict=False):
        slots |= under(f"dist_out/{name}", dense(out))
    return slots


def dynamics(module):
    """The parts of imagination; the official cell reads [deter, inputs]."""
    cell, (prior, out) = module.cell, module.priors[0]
    size = cell.inp.linear.out_features
    rows = torch.cat([torch.arange(module.deter) + size, torch.arange(size)])
    gates = {"kernel": Slot((cell.gates.weight,), lambda weight: weight.t()[rows])} | under(
        "norm", layer_norm(cell.norm)
    )
    slots = under("img_in", layer(cell.inp)) | under("gru", gates)
    return slots | under("img_out", layer(prior[0])) | under("img_stats", dense(out))


def rssm(module, embed):
    """All parts. embed: our place of each official embedding number."""
    post, out = module.post
    rows = torch.cat([torch.arange(module.deter), embed + module.deter])
    slots = dynamics(module) | under("obs_out", layer(post[0], rows)) | under("obs_stats", dense(out))
    return slots | ({"initial": plain(module.first)} if module.first is not None else {})


def transposed(module):
    """A transposed convolution. JAX does not mirror the kernel (kh, kw, out, in), as PyTorch and TensorFlow do."""
    return affine(module, lambda weight: weight.permute(2, 3, 1, 0).flip(0, 1))


def stages(convs, layout):
    """Convolutions, each with a layer norm except the last of a decoder. layout: slots of one of them."""
    slots: Slots = {}
    for i, (module, after) in enumerate(zip(convs[::2], [*convs[1::2], None], strict=False)):
        own = layout(module) | (under("norm", layer_norm(after.norm)) if after is not None else {})
        slots |= under(f"s{i}res", own)
    return slots


def encoder(module, rows=None):
    """rows: of the vector inputs."""
    slots = under("cnn", stages(list(module.cnn), conv)) if module.images else {}
    return slots | (under("mlp", hidden(module.mlp, rows)) if module.vectors else {})


def decoder(module, names=None):
    """names: our vector -> its official name, if they differ."""
    slots: Slots = {}
    if module.images:
        slots |= under("cnn", under("in", affine(module.cnn.inp, lambda weight: weight.t())))
        slots |= under("cnn", stages(list(module.cnn.stages), transposed))
    if module.vectors:
        slots |= under("mlp", hidden(module.mlp))
        for key, linear in zip(module.vectors, module.linears, strict=True):
            slots |= under(f"mlp/dist_{(names or {}).get(key, key)}/out", dense(linear))
    return slots
