"""Format `pydreamer`: the file latest.pt of jurgisp/pydreamer, a DreamerV2 for discrete actions from images.

Two differences are undone while reading: layers whose outputs are added are one layer here, and its head predicts the
end of an episode where ours predicts that it continues, so its last layer changes sign. The file has no settings and
counts gradient updates only. Source: `models/dreamer.py`, `models/rssm.py`, `models/rnn.py`, `tools.py`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces

from common.errors import UserError
from common.foreign import torch_names as names
from common.foreign.slots import Slot, Slots, plain, torch_conv, torch_linear, under
from common.foreign.source import Description, Moments, Source, action_space, image_space, one_hots
from common.foreign.torch_file import read_torch

SIDE, IMAGE = 2, 64  # of the last image of the encoder, of the images
CELL, ENCODER, DECODER = "wm.core.cell.", "wm.encoder.", "wm.decoder."
GRU, TERMINAL = f"{CELL}gru.layers.0.", f"{DECODER}terminal.model.model."
#: Name here -> weights of layers whose outputs are added: their inputs become one.
ADDED = {
    f"{CELL}z_mlp+a_mlp.weight": (f"{CELL}z_mlp.weight", f"{CELL}a_mlp.weight"),
    f"{CELL}post_mlp_h+e.weight": (f"{CELL}post_mlp_h.weight", f"{CELL}post_mlp_e.weight"),
    f"{GRU}weight_ih+hh.weight": (f"{GRU}weight_ih.weight", f"{GRU}weight_hh.weight"),
}
GROUPS = {"model": "wm.", "probe": "probe_model.", "actor": "ac.actor.", "critic": "ac.critic."}


def read(path: Path) -> Source:
    """Read a checkpoint. Raises UserError if there is none at `path`."""
    file = path / "latest.pt" if path.is_dir() else path
    data = read_torch(file)
    if not isinstance(data, dict) or f"{CELL}z_mlp.weight" not in data.get("model_state_dict", {}):
        raise UserError(f"{file} is not a latest.pt of pydreamer: it has no {CELL}z_mlp.weight in model_state_dict.")
    tensors, updates = data["model_state_dict"], int(data.get("epoch") or 0)
    optims = optimisers(data)
    raw = Source(file, tensors)
    own = {group: [name for name in tensors if name.startswith(prefix)] for group, prefix in GROUPS.items()}
    found = names.adam_moments({group: (state, own[group]) for group, state in optims.items()}, raw)
    numbers = raw.find(rf"{re.escape(TERMINAL)}(\d+)[.]weight")
    last = f"{TERMINAL}{max(map(int, numbers))}."
    moments = None
    if found:
        steps = {group: step for group, step in found.steps.items() if group != "probe"}
        moments = Moments(arranged(found.mu, last), arranged(found.nu, ""), steps)
    return Source(file, arranged(tensors, last), {"optimisers": optims}, updates=updates, moments=moments)


def optimisers(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of the optimiser of each group; the probe has its own unless it trains the world model."""
    states = [data[key] for key in sorted(data) if key.startswith("optimizer_")]
    groups = GROUPS if len(states) == len(GROUPS) else [group for group in GROUPS if group != "probe"]
    return dict(zip(groups, states, strict=False))


def arranged(arrays: Mapping[str, Any], last: str) -> dict[str, Any]:
    """Return arrays with joined layers, and with the other sign where the name begins with `last`."""
    found = {name: -x if last and name.startswith(last) else x for name, x in arrays.items()}
    for joined, parts in ADDED.items():
        if parts[0] in found:
            found[joined] = torch.cat([found.pop(part) for part in parts], 1)
    return found


def describe(source: Source) -> Description:
    """Infer sizes from shapes. Raises UserError for what our parts lack."""
    refuse_others(source)
    latent, action = source.shape(f"{CELL}prior_mlp.weight")[0], source.shape("ac.actor.model.12.weight")[0]
    if source.shape(f"{CELL}z_mlp+a_mlp.weight")[1] != latent + action:
        raise source.refuse("its states are Gaussian or its actions continuous; one-hots of both are read")
    hidden, deter = source.shape(f"{CELL}prior_mlp_h.weight")
    flags = {"rssm.deter": deter, "rssm.hidden": hidden, "conv.use": "BareValidConv", "optim.keras": False}
    flags |= one_hots(source, latent) | {"discount": 0.995, "actor.entropy": 3e-3, "optim.wd": 0.0}
    flags |= {"net.norm": "layer" if source.has(f"{CELL}in_norm.") else "none", "reward_transform": "none"}
    flags |= {"cell": {"use": "NormGRU", "bias": False} if is_late(source) else {"use": "GRU"}}
    for ours, prefix in HEADS.items():
        layers = sum(source.has(f"{prefix}{3 * i}.") for i in range(30)) - 1
        flags |= {f"mlp.{ours}.layers": layers, f"mlp.{ours}.units": source.shape(f"{prefix}0.weight")[0]}
    depth, channels, *_ = source.shape(f"{ENCODER}encoder_image.model.0.weight")
    known = {group: state for group, state in source.settings["optimisers"].items() if group != "probe"}
    flags |= {"conv.depth": depth} | names.optimiser_flags(known)
    found = spaces.Dict({"image": image_space(IMAGE, IMAGE, channels)})
    return Description("v2", flags, found, action_space(action, discrete=True))


HEADS = {"reward": f"{DECODER}reward.model.model.", "con": TERMINAL}
HEADS |= {"actor": "ac.actor.model.", "critic": "ac.critic.model."}


def is_late(source: Source) -> bool:
    """Whether the recurrent cell is `gru_layernorm_dv2`."""
    return source.has(f"{GRU}lnorm.")


def refuse_others(source: Source) -> None:
    """Raise UserError for networks that our parts lack."""
    if source.has(f"{ENCODER}encoder_vecobs."):
        raise source.refuse("vecobs_size: its encoder of vectors ends with a linear layer, ours with an activation")
    if (
        not source.has(f"{ENCODER}encoder_image.model.0.")
        or len(source.shape(f"{ENCODER}encoder_image.model.0.weight")) < 4
    ):
        raise source.refuse("image_encoder is not cnn; images are read by convolutions")
    if not source.has(f"{DECODER}image.model.8."):
        raise source.refuse("image_decoder is not cnn, or has hidden layers; ours is one linear layer and convolutions")
    if source.shape(f"{ENCODER}encoder_image.model.0.weight")[1] != source.shape(f"{DECODER}image.model.8.weight")[1]:
        raise source.refuse("reward_input: its encoder also reads reward and terminal")
    if source.has(f"{CELL}gru.layers.1."):
        raise source.refuse("gru_layers: its recurrent cell is a stack of cells")
    if source.has(f"{GRU}ln_reset."):
        raise source.refuse("gru_type gru_layernorm has a norm for each gate; gru and gru_layernorm_dv2 are read")
    if source.shape("ac.critic.model.12.weight")[0] != 1 or "ac.actor.model.12.bias" not in source.tensors:
        raise source.refuse("its actor and critic do not have four hidden layers")


def slots(agent: Any, source: Source, keys: dict[str, str]) -> Slots:
    """Return the places of all tensors in an agent. The feature is [deter, stoch] in both."""
    world, behavior = agent.world, agent.behavior
    nets: dict[str, Any] = {HEADS["reward"]: world.reward.net, TERMINAL: world.con.net}
    nets |= {HEADS["critic"]: behavior.critic.net, "ac.critic_target.model.": behavior.slow.slow.net}
    found = rssm_slots(agent, source) | image_slots(agent)
    for prefix, net in nets.items():
        found |= hidden_slots(prefix, net[0]) | under(f"{prefix}{3 * len(net[0])}", torch_linear(net[1]), ".")
    actor, out = behavior.actor.net, behavior.actor.outs[0]
    found |= hidden_slots(HEADS["actor"], actor)
    return found | under(f"{HEADS['actor']}{3 * len(actor)}", torch_linear(out), ".")


def hidden_slots(prefix: str, module: Any) -> Slots:
    """Hidden layers: a norm that does nothing also counts as a module."""
    found: Slots = {}
    for i, layer in enumerate(module):
        found |= names.layer(layer, f"{prefix}{3 * i}", f"{prefix}{3 * i + 1}")
    return found


def image_slots(agent: Any) -> Slots:
    """Encoder and decoder of images."""
    found: Slots = {}
    for i, stage in enumerate(list(agent.world.encoder.cnn)[::2]):
        found |= under(f"{ENCODER}encoder_image.model.{2 * i}", torch_conv(stage), ".")
    decoder = agent.world.decoder.cnn
    found |= under(f"{DECODER}image.model.0", torch_linear(decoder.inp), ".")
    for i, stage in enumerate(list(decoder.stages)[::2]):
        found |= under(f"{DECODER}image.model.{2 * i + 2}", torch_conv(stage), ".")
    return found


def rssm_slots(agent: Any, source: Source) -> Slots:
    """Dynamics, prior and posterior."""
    rssm: Any = agent.world.rssm
    (prior, prior_out), (post, post_out) = rssm.priors[0], rssm.post
    first, embed = rssm.cell.inp, names.posterior_rows(agent, SIDE)
    found = {"z_mlp+a_mlp.weight": plain(first.linear.weight), "z_mlp.bias": plain(first.linear.bias)}
    found |= under("in_norm", names.norm(first.norm), ".")
    found |= names.layer(prior[0], "prior_mlp_h", "prior_norm") | under("prior_mlp", torch_linear(prior_out), ".")
    found |= {"post_mlp_h+e.weight": Slot((post[0].linear.weight,), lambda x: x[:, embed])}
    found |= {"post_mlp_h.bias": plain(post[0].linear.bias)} | under("post_norm", names.norm(post[0].norm), ".")
    found |= under("post_mlp", torch_linear(post_out), ".")
    return under(CELL, found, "") | under(GRU, gru_slots(rssm.cell, is_late(source)), "")


def gru_slots(cell: Any, late: bool) -> Slots:
    """The recurrent cell; with `late` its gates are reset, update, candidate, where ours end with the update."""
    if not late:
        return {name: plain(param) for name, param in cell.gru.named_parameters()}

    def gates(x: torch.Tensor) -> torch.Tensor:
        reset, candidate, update = x.chunk(3)
        return torch.cat([reset, update, candidate])

    norm = {"lnorm.weight": cell.norm.scale, "lnorm.bias": cell.norm.shift, "weight_ih+hh.weight": cell.gates.weight}
    return {name: Slot((param,), gates) for name, param in norm.items()}
