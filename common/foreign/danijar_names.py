"""Names of the official V1 and V2 modules' parameters, and where each lives in our modules.

The official feature is [stoch, deter] and the official embedding [image, vector]; ours are [deter, stoch] and [vector,
image]. `rows` translates: the index of our feature for each official one.
"""

import torch

from common.foreign.slots import Slot, Slots, affine, conv, dense, feature_rows, plain, under
from common.nn.nets import Layer


def embed_rows(encoder):
    """Our place of each official embedding number."""
    vector = encoder.mlp.size if encoder.vectors else 0
    return embed_rows_of(encoder.size, vector)


def embed_rows_of(size, vector):
    """Return the same for an embedding of `size` numbers, of which `vector` are of vectors."""
    return torch.cat([torch.arange(vector, size), torch.arange(vector)])


def norm(module):
    """gamma, beta of a layer norm; nothing where there is none."""
    return {"gamma": plain(module.scale), "beta": plain(module.shift)} if hasattr(module, "scale") else {}


def layer(module: Layer, name, norm_name, rows=None):
    """Return the slots of a linear layer and its norm, under their names."""
    return under(name, dense(module.linear, rows)) | under(norm_name, norm(module.norm))


def mlp(module, rows=None, dense_name="dense{}", norm_name="norm{}"):
    """Hidden layers, numbered from 0."""
    slots: Slots = {}
    for i, hidden in enumerate(module):
        slots |= layer(hidden, dense_name.format(i), norm_name.format(i), None if i else rows)
    return slots


# V1


def gru(cell):
    """Keras GRU: gates z, r, h where ours are r, z, n; bias (2, 3d) = input, recurrent."""

    def gates(x):
        reset, update, cand = x.chunk(3)
        return torch.cat([update, reset, cand])

    kernel = lambda weight: gates(weight).t()
    return {
        "kernel": Slot((cell.weight_ih,), kernel),
        "recurrent_kernel": Slot((cell.weight_hh,), kernel),
        "bias": Slot((cell.bias_ih, cell.bias_hh), lambda *biases: torch.stack([gates(bias) for bias in biases])),
    }


def v1_rssm(rssm, embed=None):
    """embed: rows of the embedding."""
    prior, post = rssm.priors[0], rssm.post
    return (
        under("img1", dense(rssm.cell.inp.linear))
        | under("cell", gru(rssm.cell.gru))
        | under("img2", dense(prior[0][0].linear))
        | under("img3", dense(prior[1]))
        | under("obs1", dense(post[0][0].linear, posterior_rows(rssm, embed)))
        | under("obs2", dense(post[1]))
    )


def posterior_rows(rssm, embed):
    return None if embed is None else torch.cat([torch.arange(rssm.deter), embed + rssm.deter])


def v1_encoder(encoder):
    """Return the slots of the image encoder."""
    slots: Slots = {}
    for i, stage in enumerate(list(encoder.cnn)[::2]):
        slots |= under(f"h{i + 1}", conv(stage))
    return slots


def v1_decoder(decoder, rows=None):
    """Return the slots of the image decoder."""
    slots = under("h1", dense(decoder.cnn.inp, rows))
    for i, stage in enumerate(list(decoder.cnn.stages)[::2]):
        slots |= under(f"h{i + 2}", conv(stage))
    return slots


def v1_dense(hidden, outs, rows=None):
    """Hidden layers and their output layers, which the file holds as one."""
    kernel = Slot(tuple(out.weight for out in outs), lambda *weights: torch.cat([w.t() for w in weights], 1))
    bias = Slot(tuple(out.bias for out in outs), lambda *biases: torch.cat(biases))
    return mlp(hidden, rows, "h{}") | {"hout/kernel": kernel, "hout/bias": bias}


def v1_head(net, rows=None):
    """A head's Sequential(hidden, output)."""
    return v1_dense(net[0], [net[1]], rows)


def v1_actor(actor, rows=None):
    """Return the slots of an actor, whose output layers the file holds as one."""
    return v1_dense(actor.net, actor.outs, rows)


def v1_agent(agent):
    """Official module -> slots."""
    world, behavior = agent.world, agent.behavior
    rows = feature_rows(world.rssm.deter, world.rssm.latent.size)
    slots = {
        "encode": v1_encoder(world.encoder),
        "dynamics": v1_rssm(world.rssm),
        "decode": v1_decoder(world.decoder, rows),
        "reward": v1_head(world.reward.net, rows),
        "value": v1_head(behavior.critic.net, rows),
        "actor": v1_actor(behavior.actor, rows),
    }
    return slots | ({"pcont": v1_head(world.con.net, rows)} if hasattr(world.con, "net") else {})


# V2


def norm_gru(cell):
    """Return the slots of the recurrent cell."""
    return affine(cell.gates, lambda weight: weight.t()) | norm(cell.norm)


def v2_rssm(rssm, embed=None):
    """Return the slots of an RSSM with one prior. embed: rows of the embedding."""
    (prior, prior_out), (post, post_out) = rssm.priors[0], rssm.post
    return (
        layer(rssm.cell.inp, "img_in", "img_in_norm")
        | under("cell", norm_gru(rssm.cell))
        | layer(prior[0], "img_out_0", "img_out_norm_0")
        | under("img_dist_0", dense(prior_out))
        | layer(post[0], "obs_out", "obs_out_norm", posterior_rows(rssm, embed))
        | under("obs_dist", dense(post_out))
    )


def v2_stages(stages):
    """Convolutions with a norm and activation after each, or none after the last."""
    slots: Slots = {}
    for i, (stage, after) in enumerate(zip(stages[::2], [*stages[1::2], None], strict=False)):
        slots |= under(f"conv{i}", conv(stage)) | under(f"convnorm{i}", norm(getattr(after, "norm", None)))
    return slots


def v2_encoder(encoder, rows=None):
    """rows: of the vector inputs."""
    slots = v2_stages(list(encoder.cnn)) if encoder.images else {}
    return slots | (mlp(encoder.mlp, rows, norm_name="densenorm{}") if encoder.vectors else {})


def v2_decoder(decoder, rows=None, names=None):
    """names: our vector -> its official name, if they differ."""
    slots: Slots = {}
    if decoder.images:
        slots |= under("convin", dense(decoder.cnn.inp, rows)) | v2_stages(list(decoder.cnn.stages))
    if decoder.vectors:
        slots |= mlp(decoder.mlp, rows, norm_name="densenorm{}")
        for key, linear in zip(decoder.vectors, decoder.linears, strict=True):
            slots |= under(f"dense_{(names or {}).get(key, key)}/out", dense(linear))
    return slots


def v2_vector(decoder, key, rows=None):
    """A decoder of one vector, as an official head."""
    return mlp(decoder.mlp, rows) | under("out/out", dense(decoder.linears[decoder.vectors.index(key)]))


def v2_head(net, rows=None):
    """Return the slots of a head's Sequential(hidden, output)."""
    return mlp(net[0], rows) | under("out/out", dense(net[1]))


def v2_actor(actor, rows=None):
    """Return the slots of an actor with one or two output layers."""
    slots = mlp(actor.net, rows)
    for name, out in zip(("out", "std"), actor.outs, strict=False):
        slots |= under(f"out/{name}", dense(out))
    return slots


def v2_agent(agent, vector_rows=None, names=None):
    """Official module -> slots. vector_rows: of the vector inputs. names: see `v2_decoder`."""
    world, behavior = agent.world, agent.behavior
    rows = feature_rows(world.rssm.deter, world.rssm.latent.size)
    slots = {
        "wm/encoder": v2_encoder(world.encoder, vector_rows),
        "wm/rssm": v2_rssm(world.rssm, embed_rows(world.encoder)),
        "wm/head_decoder": v2_decoder(world.decoder, rows, names),
        "wm/head_reward": v2_head(world.reward.net, rows),
        "ac/actor": v2_actor(behavior.actor, rows),
        "ac/critic": v2_head(behavior.critic.net, rows),
    }
    if hasattr(world.con, "net"):
        slots["wm/head_discount"] = v2_head(world.con.net, rows)
    return slots | (
        {"ac/target_critic": v2_head(behavior.slow.slow.net, rows)} if hasattr(behavior.slow, "slow") else {}
    )
