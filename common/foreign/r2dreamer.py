"""Format `r2dreamer`: the file latest.pt of NM512/r2dreamer, the V3 agent of 2024.

Its default, `model.rep_loss: r2dreamer`, and two others train without a decoder. The decoder here then starts new, and
what the other losses need is left over. `.hydra/config.yaml` next to the file gives what no shape shows; without it the
project's defaults are assumed. Source: `dreamer.py`, `rssm.py`, `networks.py`, `optim/laprop.py`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from torch import nn

from common.errors import UserError
from common.foreign import torch_names as names
from common.foreign.settings import read_settings, require
from common.foreign.slots import Slot, Slots, plain, torch_conv, torch_linear, under
from common.foreign.source import Description, Moments, Source, action_space, image_space, one_hots
from common.foreign.torch_file import read_torch

CELL, MULTIPLIERS = "rssm._deter_net.", (2, 3, 4, 4)
#: Modules in the order of the optimiser; a file has one kind of those after the encoder.
TRAINED: tuple[str, ...] = ("rssm.", "actor.", "value.", "reward.", "cont.", "encoder.", "decoder.", "prj.")
TRAINED += ("_prototypes", "obs_proj.", "feat_proj.", "_ema_encoder.", "_ema_obs_proj.")
GROUPS = ("model", "actor", "critic")
DECODER_NAMES = "world.decoder."


def read(path: Path) -> Source:
    """Read a checkpoint. Raises UserError if there is none at `path`."""
    file = path / "latest.pt" if path.is_dir() else path
    data = read_torch(file)
    if not isinstance(data, dict) or "rssm._deter_net._dyn_in0.0.weight" not in data.get("agent_state_dict", {}):
        raise UserError(f"{file} is not a latest.pt of r2dreamer: it has no rssm._deter_net in agent_state_dict.")
    tensors = {name: x for name, x in data["agent_state_dict"].items() if not name.startswith("_frozen_")}
    settings = read_settings(file.parent, ".hydra/config.yaml", 0)
    state = next(iter(data.get("optims_state_dict", {}).values()), None)
    source = Source(file, tensors, settings | {"optimiser": state})
    moments = laprop_moments(source, state)
    return Source(file, tensors, source.settings, updates=moments.steps["model"] if moments else 0, moments=moments)


def laprop_moments(source: Source, state: Mapping[str, Any] | None) -> Moments | None:
    """Return the moments of LaProp. Its first moment contains the learning rates; they are divided out."""
    order = [name for prefix in TRAINED for name in source.tensors if name.startswith(prefix)]
    found = names.adam_moments({"model": (state, order)}, source)
    if not found or not state:
        return None
    steps, beta = found.steps["model"], state["param_groups"][0]["betas"][0]
    rates = {name: state["state"][i]["exp_avg_lr_1"] for i, name in enumerate(order) if i in state["state"]}
    mu = {name: x * ((1 - beta**steps) / rates[name]) for name, x in found.mu.items()}
    return Moments(mu, found.nu, dict.fromkeys(GROUPS, steps))


def describe(source: Source) -> Description:
    """Infer sizes from shapes; the rest from the settings, or the project's defaults without any."""
    model = source.settings.get("model", {})
    require(model, "model", act="SiLU", norm=True)
    action = source.shape(f"{CELL}_dyn_in2.0.weight")[1]
    discrete = source.shape("actor.last.weight")[0] == action
    flags = rssm_flags(source, model.get("rssm", {})) | head_flags(source) | encoder_flags(source)
    flags |= {"con.use": "BinaryContinue", "con.predict": "mean", "vector.tolerance": 1e-8} | optimiser_flags(source)
    found, encoder, decoder = observations(source)
    fresh = () if source.has("decoder.") else (DECODER_NAMES,)
    return Description("v3", flags, found, action_space(action, discrete), encoder, decoder, fresh)


def rssm_flags(source: Source, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sizes of the dynamics."""
    hidden, deter = source.shape(f"{CELL}_dyn_in0.0.weight")
    latent = source.shape(f"{CELL}_dyn_in1.0.weight")[1]
    rssm = {"deter": deter, "hidden": hidden}
    rssm |= {f"{ours}_layers": source.count(f"rssm.{name}.{name[1:]}_{{}}.weight") for ours, name in NETS.items()}
    blocks = source.shape(f"{CELL}_dyn_hid.dyn_hid_0.weight")[2]
    cell = {"blocks": blocks, "layers": source.count(f"{CELL}_dyn_hid.dyn_hid_{{}}.weight")}
    return one_hots(source, latent, settings.get("stoch")) | {"rssm": rssm, "cell": cell}


NETS = {"prior": "_img_net", "post": "_obs_net"}


def head_flags(source: Source) -> dict[str, Any]:
    """Return layers, units and bins of the heads."""
    flags: dict[str, Any] = {}
    for ours, theirs in {"reward": "reward", "con": "cont", "actor": "actor", "critic": "value"}.items():
        flags[f"mlp.{ours}.layers"] = source.count(f"{theirs}.mlp.layers.{theirs}_linear{{}}.weight")
        flags[f"mlp.{ours}.units"] = source.shape(f"{theirs}.mlp.layers.{theirs}_linear0.weight")[0]
    for ours, theirs in {"reward": "reward", "critic": "value"}.items():
        flags[f"{ours}.bins"] = source.shape(f"{theirs}.last.weight")[0]
    return flags


def encoder_flags(source: Source) -> dict[str, Any]:
    """Return the sizes of encoder and decoder. Raises UserError for convolutions that PoolConv lacks."""
    flags: dict[str, Any] = {}
    if vectors := vector_encoder(source):
        flags["mlp.encoder.layers"] = source.count(f"{vectors}linear{{}}.weight")
        flags["mlp.encoder.units"] = source.shape(f"{vectors}linear0.weight")[0]
    units = set()
    if source.has("decoder._mlp."):
        flags["mlp.decoder.layers"] = source.count("decoder._mlp.mlp.layers.mlp_decoder_linear{}.weight")
        units.add(source.shape("decoder._mlp.mlp.layers.mlp_decoder_linear0.weight")[0])
    if source.has("decoder._cnn."):
        units.add(source.shape("decoder._cnn.sp2.weight")[1] // 2)
        flags["conv.blocks"] = source.shape("decoder._cnn.sp0.weight")[2]
    if len(units) > 1:
        raise source.refuse(f"its decoders have {sorted(units)} units; mlp.decoder.units is one number")
    flags["mlp.decoder.units"] = (units or {source.shape("reward.mlp.layers.reward_linear0.weight")[0]}).pop()
    if source.has(f"{IMAGES}0."):
        shapes = [source.shape(f"{IMAGES}{4 * i}.weight") for i in range(len(MULTIPLIERS))]
        depth = shapes[0][0] // MULTIPLIERS[0]
        if [shape[0] for shape in shapes] != [depth * m for m in MULTIPLIERS] or shapes[0][2:] != (5, 5):
            raise source.refuse(
                f"its convolutions are {shapes}; PoolConv has 5 x 5, multiples {MULTIPLIERS} of a depth"
            )
        flags["conv.depth"] = depth
    return flags


IMAGES = "encoder.encoders.0.layers."  # of the convolutions, if there are any


def vector_encoder(source: Source) -> str:
    """Return the beginning of the names of the encoder of vectors; "" without one."""
    starts = [f"encoder.encoders.{i}.layers.mlp_encoder_" for i in (0, 1)]
    return next((start for start in starts if source.has(start)), "")


def optimiser_flags(source: Source) -> dict[str, Any]:
    """Return rates and constants of LaProp."""
    state = source.settings["optimiser"]
    if not state:
        return {}
    block = state["param_groups"][0]
    rate = float(block.get("initial_lr", block["lr"]))
    flags: dict[str, Any] = {f"optim.lr.{group}": rate for group in GROUPS} | {"optim.eps": float(block["eps"])}
    return flags | {"optim.beta1": float(block["betas"][0]), "optim.beta2": float(block["betas"][1])}


def image_side(source: Source) -> int:
    """Return the side of the last image of the encoder."""
    embed = source.shape("rssm._obs_net.obs_net_0.weight")[1] - source.shape(f"{CELL}_dyn_in0.0.weight")[1]
    vectors = vector_encoder(source)
    embed -= source.shape(f"{vectors}linear0.weight")[0] if vectors else 0
    return round((embed // source.shape(f"{IMAGES}12.weight")[0]) ** 0.5)


def observations(source: Source) -> tuple[spaces.Dict, tuple[str, ...], tuple[str, ...]]:
    """Return the spaces of the observations, and the names that encoder and decoder have.

    The file has no names: all vectors together are one, `vector`, and all images one, `image`.
    """
    vectors, images = vector_encoder(source), {}
    width = source.shape(f"{vectors}linear0.weight")[1] if vectors else 0
    decoded = {"vector": source.shape("decoder._mlp.last.weight")[0]} if source.has("decoder._mlp.") else {}
    if source.has(f"{IMAGES}0."):
        side = 16 * image_side(source)
        images["image"] = image_space(side, side, source.shape(f"{IMAGES}0.weight")[1])
    found, encoder, decoder = names.joined_observations(source, width, decoded, images, source.has("decoder._cnn."))
    return found, encoder, decoder or encoder  # without a decoder, a new one predicts all


def slots(agent: Any, source: Source, keys: dict[str, str]) -> Slots:
    """Return the places of all tensors in an agent."""
    world, behavior, rows = agent.world, agent.behavior, names.latent_rows(agent)
    found = rssm_slots(agent, image_side(source) if world.encoder.images else 1) | encoder_slots(agent, source)
    found |= decoder_slots(agent) if source.has("decoder.") else {}
    nets: dict[str, Any] = {"reward": world.reward.net, "cont": world.con.net}
    nets |= {"value": behavior.critic.net, "_slow_value": behavior.slow.slow.net}
    for name, net in nets.items():
        inner = name.replace("_slow_", "")
        found |= named_mlp(f"{name}.mlp.layers.{inner}_", net[0], rows)
        found |= under(f"{name}.last", torch_linear(net[1]), ".")
    found |= named_mlp("actor.mlp.layers.actor_", behavior.actor.net, rows)
    found |= under("actor.last", names.joined(behavior.actor.outs), ".")
    norm: Any = behavior.advantage
    return found | {"return_ema.ema_vals": plain(norm.range)}


def named_mlp(prefix: str, module: Any, rows: torch.Tensor | None = None) -> Slots:
    """Hidden layers whose modules are called linear0, norm0, linear1 and so on."""
    return names.mlp(module, f"{prefix}linear{{}}", f"{prefix}norm{{}}", rows)


def block_linear(module: Any) -> Slots:
    """Weight (out, in, blocks) and bias of a block-linear layer."""
    return {"weight": Slot((module.weight,), lambda x: x.permute(2, 1, 0)), "bias": plain(module.bias)}


def rssm_slots(agent: Any, side: int) -> Slots:
    """Cell, prior and posterior. side: of the encoder's last image."""
    rssm: Any = agent.world.rssm
    found: Slots = {}
    for i, layer in enumerate(rssm.cell.inputs):
        found |= names.layer(layer, f"{CELL}_dyn_in{i}.0", f"{CELL}_dyn_in{i}.1")
    for i, (hidden, norm) in enumerate(zip(rssm.cell.hidden, rssm.cell.norms, strict=True)):
        found |= under(f"{CELL}_dyn_hid.dyn_hid_{i}", block_linear(hidden), ".")
        found |= under(f"{CELL}_dyn_hid.norm_{i}", names.norm(norm), ".")
    found |= under(f"{CELL}_dyn_gru", block_linear(rssm.cell.gates), ".")
    for name, net, rows in (
        ("img_net", rssm.priors[0], None), ("obs_net", rssm.post, names.posterior_rows(agent, side))
    ):  # fmt: skip
        prefix = f"rssm._{name}.{name}_"
        found |= names.mlp(net[0], f"{prefix}{{}}", f"{prefix}n_{{}}", rows)
        found |= under(f"{prefix}logit", torch_linear(net[1]), ".")
    return found


def encoder_slots(agent: Any, source: Source) -> Slots:
    """Encoder of images and vectors."""
    encoder = agent.world.encoder
    found: Slots = {}
    if encoder.images:
        found |= stage_slots(IMAGES, encoder.cnn.convs, encoder.cnn.norms, 0)
    return found | (named_mlp(vector_encoder(source), encoder.mlp) if encoder.vectors else {})


def stage_slots(prefix: str, convs: Sequence[nn.Module], norms: Sequence[Any], start: int) -> Slots:
    """Convolutions with norms, four modules a stage. start: place of the convolution in a stage."""
    found: Slots = {}
    for i, conv in enumerate(convs):
        found |= under(f"{prefix}{4 * i + start}", torch_conv(conv), ".")
        if i < len(norms):
            found |= under(f"{prefix}{4 * i + 2}", names.norm(norms[i].norm), ".")
    return found


def decoder_slots(agent: Any) -> Slots:
    """Decoder of images and vectors."""
    decoder = agent.world.decoder
    found: Slots = {}
    if decoder.images:
        cnn: Any = decoder.cnn
        found |= under("sp0", block_linear(cnn.from_deter), ".") | names.layer(cnn.from_stoch[0], "sp1.0", "sp1.1")
        found |= under("sp2", torch_linear(cnn.from_stoch[1]), ".")
        found |= under("sp_norm.0", names.norm(cnn.start_norm.norm), ".")
        found |= stage_slots("layers.", [*cnn.convs, cnn.out], cnn.norms, 1)
        found = under("decoder._cnn", found, ".")
    if decoder.vectors:
        found |= named_mlp("decoder._mlp.mlp.layers.mlp_decoder_", decoder.mlp, names.latent_rows(agent))
        found |= under("decoder._mlp.last", names.joined(decoder.linears), ".")
    return found
