"""Names of the official V3 modules' parameters, and where each lives in our modules. Those of 2023 differ."""

from common.foreign.slots import Slots, affine, conv, dense, feature_rows, plain, under


def norm(module):
    """scale of an RMS norm, scale and shift of a layer norm."""
    return {name: plain(param) for name, param in module.named_parameters()}


def layer(module, name, rows=None):
    """A linear layer and its norm."""
    return under(name, dense(module.linear, rows)) | under(f"{name}norm", norm(module.norm))


def block(module):
    """Block-linear layers are laid out alike."""
    return affine(module, lambda weight: weight)


def mlp(module, rows=None):
    """Hidden layers of a head. rows: our input feature for each official one."""
    slots: Slots = {}
    for i, hidden in enumerate(module):
        slots |= under(f"mlp/linear{i}", dense(hidden.linear, None if i else rows))
        slots |= under(f"mlp/norm{i}", norm(hidden.norm))
    return slots


def head(net, name="logits"):
    """Sequential(hidden, output) of a prediction."""
    return mlp(net[0]) | under(f"head/{name}", dense(net[1]))


def policy(actor):
    """Return the slots of an actor; its action must be called `action`."""
    outs = ("logits",) if len(actor.outs) == 1 else ("mean", "stddev")
    slots = mlp(actor.net)
    for name, out in zip(outs, actor.outs, strict=True):
        slots |= under(f"head/action/{name}", dense(out))
    return slots


def stages(convs, norms, name):
    """Return the slots of numbered convolutions and their norms."""
    slots: Slots = {}
    for i, (module, after) in enumerate(zip(convs, norms, strict=True)):
        slots |= under(f"{name}{i}", conv(module)) | under(f"{name}{i}norm", norm(after.norm))
    return slots


def encoder(module, rows=None):
    """rows: of the vector inputs."""
    slots = stages(module.cnn.convs, module.cnn.norms, "cnn") if module.images else {}
    for i, hidden in enumerate(module.mlp if module.vectors else ()):
        slots |= layer(hidden, f"mlp{i}", None if i else rows)
    return slots


def decoder(module, deter, stoch, names=None):
    """The official vector network reads [stoch, deter]. names: our vector -> its official name, if they differ."""
    slots = pixels(module.cnn) if module.images else {}
    if module.vectors:
        slots |= mlp(module.mlp, feature_rows(deter, stoch))
        for key, linear in zip(module.vectors, module.linears, strict=True):
            slots |= under(f"vec/{(names or {}).get(key, key)}/pred", dense(linear))
    return slots


def pixels(cnn):
    """The official convolutions are numbered from the image."""
    start, out = cnn.from_stoch
    slots = under("sp0", block(cnn.from_deter)) | layer(start, "sp1") | under("sp2", dense(out))
    slots |= under("spnorm", norm(cnn.start_norm.norm)) | stages(cnn.convs[::-1], cnn.norms[::-1], "conv")
    return slots | under("imgout", conv(cnn.out))


def rssm(module):
    """Return the slots of cell, prior and posterior."""
    slots: Slots = {}
    cell = module.cell
    for i, inp in enumerate(cell.inputs):
        slots |= layer(inp, f"dynin{i}")
    for i, (hidden, after) in enumerate(zip(cell.hidden, cell.norms, strict=True)):
        slots |= under(f"dynhid{i}", block(hidden)) | under(f"dynhid{i}norm", norm(after))
    slots |= under("dyngru", block(cell.gates))
    for name, out, (hidden, last) in (("prior", "priorlogit", module.priors[0]), ("obs", "obslogit", module.post)):
        for i, inner in enumerate(hidden):
            slots |= layer(inner, f"{name}{i}")
        slots |= under(out, dense(last))
    return slots


def agent(agent, rows=None, names=None):
    """Official module -> slots of everything that is trained. rows, names: see `encoder`, `decoder`."""
    world, behavior = agent.world, agent.behavior
    return {
        "enc": encoder(world.encoder, rows),
        "dyn": rssm(world.rssm),
        "dec": decoder(world.decoder, world.rssm.deter, agent.latent.size, names),
        "rew": head(world.reward.net),
        "con": head(world.con.net, "logit"),
        "pol": policy(behavior.actor),
        "val": head(behavior.critic.net),
    }
