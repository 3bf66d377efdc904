"""Shared by the formats of SheepRL: files .ckpt of Eclectic-Sheep/sheeprl, with networks, optimisers and counters.

The file may hold the replay buffer as an object; it is left out unread. `config.yaml` of the run, above the file, gives
what no shape shows; without it the project's defaults are assumed. Source: `algos/dreamer_v*/agent.py`,
`models/models.py`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from common.errors import UserError
from common.foreign import torch_names as names
from common.foreign.settings import read_settings, require
from common.foreign.slots import Slots, channels_first_rows, plain, torch_linear, under
from common.foreign.source import Source, action_space, image_space
from common.foreign.torch_file import read_torch

PARTS = ("world_model", "actor", "critic", "target_critic", "moments")
OPTIMISERS = {"model": ("world_model.", "world"), "actor": ("actor.", "actor"), "critic": ("critic.", "critic")}
CNN, MLP = "world_model.encoder.cnn_encoder.model.0._model.", "world_model.encoder.mlp_encoder.model._model."
DECODER, RSSM = "world_model.observation_model.", "world_model.rssm."
INITIAL = f"{RSSM}initial_recurrent_state"
CLASSES = {"torch.nn.SiLU": "silu", "torch.nn.ELU": "elu", "torch.nn.ReLU": "relu", "torch.nn.Tanh": "tanh"}


def read(path: Path) -> Source:
    """Read a checkpoint; of a folder the newest one. Raises UserError if there is none at `path`."""
    file = newest(path) if path.is_dir() else path
    data = read_torch(file, unread="sheeprl.")
    if not isinstance(data, dict) or not {"world_model", "actor", "critic", "world_optimizer"} <= set(data):
        raise UserError(f"{file} is not a checkpoint of SheepRL's Dreamer: it has no world_model, actor and critic.")
    tensors = {f"{part}.{name}": x for part in PARTS for name, x in data.get(part, {}).items()}
    states = {group: data[f"{name}_optimizer"] for group, (_, name) in OPTIMISERS.items()}
    settings = read_settings(file.parent) | {"optimisers": states}
    source = Source(file, tensors, settings, steps=int(data.get("last_checkpoint", 0)))
    moments = names.adam_moments({g: (states[g], trained(source, g)) for g in OPTIMISERS}, source)
    updates = moments.steps["model"] if moments else 0
    return Source(file, tensors, settings, steps=source.steps, updates=updates, moments=moments)


def newest(folder: Path) -> Path:
    """Return the file with the most steps in a folder of a run. Raises UserError if there is none."""
    steps = lambda file: int((re.search(r"ckpt_(\d+)", file.name) or [0, -1])[1])
    files = sorted(folder.rglob("*.ckpt"), key=steps)
    if not files:
        raise UserError(f"{folder} has no file .ckpt. Give the file itself.")
    return files[-1]


def trained(source: Source, group: str) -> list[str]:
    """Return the names of the tensors that the optimiser of a group trains, in its order."""
    prefix, _ = OPTIMISERS[group]
    own = [name for name in source.tensors if name.startswith(prefix)]
    blocks = source.settings["optimisers"][group]["param_groups"]
    fixed = len(own) - sum(len(block["params"]) for block in blocks)
    return [name for name in own if name != INITIAL] if fixed == 1 else own  # a fixed initial state is not trained


def algo_settings(source: Source) -> dict[str, Any]:
    """Return the block `algo` of the settings. Raises UserError for values that our parts cannot represent."""
    settings = source.settings
    algo = settings.get("algo", {})
    require(algo.get("world_model", {}), "algo.world_model", decoupled_rssm=False)
    require(settings.get("distribution", {}), "distribution", type="auto")
    return algo


def activation_flags(source: Source, dense: str, conv: str) -> dict[str, str]:
    """Return the activations. dense, conv: those without settings. Raises UserError for one that we do not have."""
    algo, flags = algo_settings(source), {}
    for ours, theirs, default in (("net.act", "dense_act", dense), ("net.conv_act", "cnn_act", conv)):
        found = algo.get(theirs)
        if found is not None and found not in CLASSES:
            raise source.refuse(f"algo.{theirs} is {found}; net.act has {', '.join(CLASSES.values())}")
        flags[ours] = CLASSES[found] if found else default
    return flags


def latent_size(source: Source) -> int:
    """Return the numbers that the posterior's network gives."""
    return output_size(source, f"{RSSM}representation_model._model.")


def linears(source: Source, prefix: str) -> list[tuple[int, ...]]:
    """Return the shapes of the linear layers or convolutions in an nn.Sequential."""
    numbers = sorted(map(int, source.find(f"{re.escape(prefix)}(\\d+)[.]weight")))
    shapes = [source.shape(f"{prefix}{number}.weight") for number in numbers]
    return [shape for shape in shapes if len(shape) > 1]


def has_norm(source: Source, prefix: str) -> bool:
    """Whether the first layer of an nn.Sequential has a norm."""
    return source.has(f"{prefix}1.weight") and len(source.shape(f"{prefix}1.weight")) == 1


def output_size(source: Source, prefix: str) -> int:
    """Return the outputs of an nn.Sequential."""
    shapes = linears(source, prefix)
    return shapes[-1][0] if shapes else source.shape(f"{prefix}0.weight")[0]


def network_flags(source: Source) -> dict[str, Any]:
    """Return layers and units of all networks except the dynamics, and depth of the convolutions."""
    flags: dict[str, Any] = {}
    hidden = {"reward": "world_model.reward_model._model.", "critic": "critic._model."}
    hidden |= {"con": "world_model.continue_model._model."} if source.has("world_model.continue_model.") else {}
    for ours, prefix in hidden.items():
        shapes = linears(source, prefix)
        flags |= {f"mlp.{ours}.layers": len(shapes) - 1, f"mlp.{ours}.units": shapes[0][0]}
    bare = {"actor": "actor.model._model.", "encoder": MLP, "decoder": f"{DECODER}mlp_decoder.model._model."}
    for ours, prefix in bare.items():
        if shapes := linears(source, prefix):
            flags |= {f"mlp.{ours}.layers": len(shapes), f"mlp.{ours}.units": shapes[0][0]}
    if source.has(CNN):
        flags["conv.depth"] = source.shape(f"{CNN}0.weight")[0]
    return flags | names.optimiser_flags(source.settings["optimisers"])


def actions(source: Source, size: int) -> spaces.Space:
    """Return the space of actions. size: width of the actions that the dynamics read."""
    outs = [source.shape(f"actor.mlp_heads.{i}.weight")[0] for i in range(source.count("actor.mlp_heads.{}.weight"))]
    if outs == [2 * size]:
        return action_space(size, discrete=False)
    if len(outs) > 1:
        raise source.refuse(f"its actor has {len(outs)} heads, one for each discrete action; one head is read")
    return action_space(size, discrete=True)


def observations(source: Source, side: int) -> tuple[spaces.Dict, tuple[str, ...], tuple[str, ...]]:
    """Return the spaces of the observations, and the names that encoder and decoder have. side: of the images."""
    algo = source.settings.get("algo", {})
    keys = lambda kind, network: list((algo.get(f"{kind}_keys") or {}).get(network) or [])
    heads = source.count(f"{DECODER}mlp_decoder.heads.{{}}.weight")
    default = ["state"] if heads == 1 else [f"state{i}" for i in range(heads)]
    decoded = keys("mlp", "decoder") or default
    sizes = {key: source.shape(f"{DECODER}mlp_decoder.heads.{i}.weight")[0] for i, key in enumerate(decoded[:heads])}
    width = source.shape(f"{MLP}0.weight")[1] if source.has(MLP) else 0
    images: dict[str, spaces.Space] = {}
    if source.has(CNN):
        joined = keys("cnn", "encoder") or ["rgb"]
        if len(joined) > 1:
            raise source.refuse(f"it reads the images {', '.join(joined)}; no shape shows their channels")
        images[joined[0]] = image_space(side, side, source.shape(f"{CNN}0.weight")[1])
    has_decoder = source.has(f"{DECODER}cnn_decoder.")
    return names.joined_observations(source, width, sizes, images, has_decoder, keys("mlp", "encoder"))


# Places


def head_slots(agent: Any, source: Source) -> Slots:
    """Reward, continue, actor, critic and its slow copy."""
    world, behavior, rows = agent.world, agent.behavior, names.latent_rows(agent)
    nets = {"world_model.reward_model._model.": world.reward.net, "critic._model.": behavior.critic.net}
    if hasattr(world.con, "net"):
        nets["world_model.continue_model._model."] = world.con.net
    if source.has("target_critic."):
        nets["target_critic._model."] = behavior.slow.slow.net
    found: Slots = {}
    for prefix, net in nets.items():
        found |= names.sequential(prefix, net[0], net[1], rows)
    found |= names.sequential("actor.model._model.", behavior.actor.net, rows=rows)
    return found | under("actor.mlp_heads.0", names.joined(behavior.actor.outs), ".")


def encoder_slots(agent: Any, source: Source, keys: Mapping[str, str], side: int) -> Slots:
    """Encoder of images and vectors. side: of the images."""
    encoder = agent.world.encoder
    found: Slots = {}
    if encoder.images:
        found |= names.convolutions(CNN, list(encoder.cnn))
    if encoder.vectors:
        spaces_of, order, _ = observations(source, side)
        found |= names.sequential(MLP, encoder.mlp, rows=names.vector_rows(order, keys, spaces_of))
    return found


def decoder_slots(agent: Any, source: Source, keys: Mapping[str, str], side: int, start: Tensor | None) -> Slots:
    """Decoder of images and vectors. start: our place of each number of the first image; None if it is one pixel."""
    decoder, rows = agent.world.decoder, names.latent_rows(agent)
    found: Slots = {}
    if decoder.images:
        found |= under(f"{DECODER}cnn_decoder.model.0", torch_linear(decoder.cnn.inp, rows, start), ".")
        found |= names.convolutions(f"{DECODER}cnn_decoder.model.2._model.", list(decoder.cnn.stages))
    if decoder.vectors:
        found |= names.sequential(f"{DECODER}mlp_decoder.model._model.", decoder.mlp, rows=rows)
        spaces_of, _, order = observations(source, side)
        vectors = [key for key in order if len(spaces_of[key].shape or ()) == 1]
        for i, key in enumerate(vectors):
            linear = decoder.linears[decoder.vectors.index(keys[key])]
            found |= under(f"{DECODER}mlp_decoder.heads.{i}", torch_linear(linear), ".")
    return found


def latent_slots(agent: Any, side: int) -> Slots:
    """Prior and posterior. side: of the encoder's last image."""
    (prior, prior_out), (post, post_out) = agent.world.rssm.priors[0], agent.world.rssm.post
    rows = names.posterior_rows(agent, side)
    return names.sequential(f"{RSSM}transition_model._model.", prior, prior_out) | names.sequential(
        f"{RSSM}representation_model._model.", post, post_out, rows
    )


def gru_slots(agent: Any) -> Slots:
    """The layer before the cell, and the cell of V2 and V3, which reads [deter, input]; ours reads [input, deter]."""
    cell, deter = agent.world.rssm.cell, agent.world.rssm.deter
    size = cell.gates.in_features - deter
    rows = torch.cat([torch.arange(deter) + size, torch.arange(size)])
    found = names.layer(cell.inp, "mlp._model.0", "mlp._model.1")
    found |= under("rnn.linear", torch_linear(cell.gates, rows), ".")
    return under(f"{RSSM}recurrent_model", found | under("rnn.layer_norm", names.norm(cell.norm), "."), ".")


def first_image_rows(agent: Any, side: int) -> Tensor:
    """Return our place of each number of the decoder's first image, which the file flattens as (C, H, W)."""
    size = agent.world.decoder.cnn.inp.out_features if agent.world.decoder.images else 0
    return channels_first_rows(size // side**2, side, side)


def return_range_slots(agent: Any) -> Slots:
    """The running percentiles of returns of V3."""
    norm: Any = agent.behavior.advantage
    return {"moments.low": plain(norm.range[0]), "moments.high": plain(norm.range[1])}
