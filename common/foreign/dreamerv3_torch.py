"""Format `dreamerv3-torch`: the file latest.pt of NM512/dreamerv3-torch, the V3 agent of 2023.

The file has no settings. Those that no shape shows are taken to be the project's defaults: SiLU, unimix 1%, symlog
vectors, images without a sigmoid. Source: `dreamer.py` `main`, `networks.py`, `models.py`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gymnasium import spaces
from torch import Tensor

from common.errors import UserError
from common.foreign import torch_names as names
from common.foreign.slots import Slot, Slots, plain, torch_linear, under
from common.foreign.source import Description, Source, action_space, image_space, one_hots
from common.foreign.torch_file import read_torch
from common.nn.nets import MLP

SIDE = 4  # of the smallest image in encoder and decoder
WORLD, ACTOR, CRITIC = "_wm.", "_task_behavior.actor.", "_task_behavior.value."
ENCODER, DYNAMICS, HEADS = "_wm.encoder.", "_wm.dynamics.", "_wm.heads."
OPTIMISERS = {"model": "_model_opt._opt", "actor": "_actor_opt._opt", "critic": "_value_opt._opt"}


def read(path: Path) -> Source:
    """Read a checkpoint. Raises UserError if there is none at `path`."""
    file = path / "latest.pt" if path.is_dir() else path
    data = read_torch(file)
    if not isinstance(data, dict) or not {"agent_state_dict", "optims_state_dict"} <= set(data):
        raise UserError(f"{file} is not a latest.pt of dreamerv3-torch: it has no agent_state_dict.")
    tensors = without_aliases(data["agent_state_dict"])
    optims = optimisers(data["optims_state_dict"])
    source = Source(file, tensors, {"optimisers": optims})
    groups = {"model": WORLD, "actor": ACTOR, "critic": CRITIC}
    own = {group: [name for name in tensors if name.startswith(prefix)] for group, prefix in groups.items()}
    moments = names.adam_moments({group: (optims[group], own[group]) for group in groups}, source)
    return Source(file, tensors, source.settings, updates=moments.steps["model"] if moments else 0, moments=moments)


def without_aliases(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Return each tensor once: modules that are stored twice have a second name, and torch.compile adds a part."""
    found: dict[str, Any] = {}
    for name, tensor in tensors.items():
        name = name.replace("_orig_mod.", "")
        if "._world_model." not in name and not name.startswith("_expl_behavior."):
            found[name] = tensor
    explored = any(name.startswith("_expl_behavior._networks") for name in tensors)
    return found | ({name: x for name, x in tensors.items() if name.startswith("_expl_behavior.")} if explored else {})


def optimisers(states: Mapping[str, Any]) -> dict[str, Any]:
    """Return the state of the optimiser of each group; None where there is none."""
    last = lambda suffix: next((state for name, state in states.items() if name.endswith(suffix)), None)
    return {group: last(suffix) for group, suffix in OPTIMISERS.items()}


def describe(source: Source) -> Description:
    """Infer sizes from shapes; activations and distributions are the project's defaults."""
    action = source.shape(f"{ACTOR}mean_layer.weight")[0]
    discrete = not source.has(f"{ACTOR}std_layer.")
    flags = rssm_flags(source, action) | head_flags(source) | encoder_flags(source)
    flags |= {"discount": 0.997, "con.predict": "mean", "slow.copy": False}
    flags |= names.optimiser_flags(source.settings["optimisers"])
    found, encoder, decoder = observations(source)
    return Description("v3-2023", flags, found, action_space(action, discrete), encoder, decoder)


def rssm_flags(source: Source, action: int) -> dict[str, Any]:
    """Return the sizes of the dynamics. Raises UserError for Gaussian states and networks without norms."""
    hidden, width = source.shape(f"{DYNAMICS}_img_in_layers.0.weight")
    deter = source.shape(f"{DYNAMICS}_cell.layers.GRU_linear.weight")[0] // 3
    if not source.has(f"{DYNAMICS}_img_in_layers.1."):
        raise source.refuse("norm is False: its layers have neither norm nor bias; ours need one of them")
    latent = source.shape(f"{DYNAMICS}_obs_stat_layer.weight")[0]
    if latent != width - action:
        raise source.refuse("dyn_discrete is False: version v3-2023 has one-hot states, not Gaussian ones")
    initial = "learned" if source.has(f"{DYNAMICS}W") else "zeros"
    return one_hots(source, latent) | {"rssm": {"deter": deter, "hidden": hidden, "initial": initial}}


def head_flags(source: Source) -> dict[str, Any]:
    """Return layers and units of the heads."""
    flags: dict[str, Any] = {}
    heads = {"reward": (f"{HEADS}reward.", "Reward"), "con": (f"{HEADS}cont.", "Cont")}
    heads |= {"actor": (ACTOR, "Actor"), "critic": (CRITIC, "Value")}
    for ours, (prefix, name) in heads.items():
        flags[f"mlp.{ours}.layers"] = source.count(f"{prefix}layers.{name}_linear{{}}.weight")
        flags[f"mlp.{ours}.units"] = source.shape(f"{prefix}layers.{name}_linear0.weight")[0]
    for ours, prefix in {"reward": f"{HEADS}reward.", "critic": CRITIC}.items():
        flags[f"{ours}.bins"] = bins = source.shape(f"{prefix}mean_layer.weight")[0]
        if bins == 1:
            raise source.refuse(f"its {ours} head has one output; only dist symlog_disc is read, with 255 bins")
    return flags


def encoder_flags(source: Source) -> dict[str, Any]:
    """Return the sizes of encoder and decoder."""
    flags: dict[str, Any] = {}
    networks = {"encoder": (f"{ENCODER}_mlp.", "Encoder"), "decoder": (f"{HEADS}decoder._mlp.", "Decoder")}
    for ours, (prefix, name) in networks.items():
        if source.has(prefix):
            flags[f"mlp.{ours}.layers"] = source.count(f"{prefix}layers.{name}_linear{{}}.weight")
            flags[f"mlp.{ours}.units"] = source.shape(f"{prefix}layers.{name}_linear0.weight")[0]
    if source.has(f"{ENCODER}_cnn."):
        depth, _, *kernel = source.shape(f"{ENCODER}_cnn.layers.0.weight")
        if kernel != [4, 4]:
            raise source.refuse(f"its convolutions have kernels {kernel}; StrideConv has 4 x 4")
        flags["conv.depth"] = depth
    return flags


def observations(source: Source) -> tuple[spaces.Dict, tuple[str, ...], tuple[str, ...]]:
    """Return the spaces of the observations, and the names that encoder and decoder have.

    The file names the vectors of the decoder only. The encoder is taken to read the same ones.
    """
    width = source.shape(f"{ENCODER}_mlp.layers.Encoder_linear0.weight")[1] if source.has(f"{ENCODER}_mlp.") else 0
    images: dict[str, spaces.Space] = {}
    if source.has(f"{ENCODER}_cnn."):
        side = SIDE * 2 ** stages(source)
        images["image"] = image_space(side, side, source.shape(f"{ENCODER}_cnn.layers.0.weight")[1])
    has_decoder = source.has(f"{HEADS}decoder._cnn.")
    return names.joined_observations(source, width, decoded_vectors(source), images, has_decoder)


def decoded_vectors(source: Source) -> dict[str, int]:
    """Return the sizes of the vectors that the decoder predicts, by name."""
    prefix = f"{HEADS}decoder._mlp.mean_layer."
    keys = source.find(f"{prefix.replace('.', '[.]')}(.+)[.]weight")
    return {key: source.shape(f"{prefix}{key}.weight")[0] for key in keys}


def stages(source: Source) -> int:
    """Return the number of convolutions; each is followed by norm and activation."""
    count = 0
    while f"{ENCODER}_cnn.layers.{3 * count}.weight" in source.tensors:
        count += 1
    return count


def slots(agent: Any, source: Source, keys: dict[str, str]) -> Slots:
    """Return the places of all tensors in an agent."""
    behavior, world, rows = agent.behavior, agent.world, names.latent_rows(agent)
    found = rssm_slots(agent) | encoder_slots(agent, source, keys) | decoder_slots(agent, keys)
    heads = {f"{HEADS}reward.": ("Reward", world.reward.net), f"{HEADS}cont.": ("Cont", world.con.net)}
    heads |= {CRITIC: ("Value", behavior.critic.net), "_task_behavior._slow_value.": ("Value", behavior.slow.slow.net)}
    for prefix, (name, net) in heads.items():
        found |= hidden_layers(prefix, name, net[0], rows) | under(f"{prefix}mean_layer", torch_linear(net[1]), ".")
    found |= hidden_layers(ACTOR, "Actor", behavior.actor.net, rows)
    for name, out in zip(("mean_layer", "std_layer"), behavior.actor.outs, strict=False):
        found |= under(f"{ACTOR}{name}", torch_linear(out), ".")
    if source.has("_task_behavior.ema_vals"):
        found["_task_behavior.ema_vals"] = plain(behavior.advantage.range)
    return found


def hidden_layers(prefix: str, name: str, module: MLP, rows: Tensor | None) -> Slots:
    """Hidden layers of a head."""
    return names.mlp(module, f"{prefix}layers.{name}_linear{{}}", f"{prefix}layers.{name}_norm{{}}", rows)


def rssm_slots(agent: Any) -> Slots:
    """Dynamics, prior, posterior and initial state."""
    rssm = agent.world.rssm
    (prior, prior_out), (post, post_out) = rssm.priors[0], rssm.post
    cell = under("_cell.layers.GRU_linear", torch_linear(rssm.cell.gates), ".")
    found = names.layer(rssm.cell.inp, "_img_in_layers.0", "_img_in_layers.1") | cell
    found |= under("_cell.layers.GRU_norm", names.norm(rssm.cell.norm), ".")
    found |= names.layer(prior[0], "_img_out_layers.0", "_img_out_layers.1")
    found |= under("_imgs_stat_layer", torch_linear(prior_out), ".")
    found |= names.layer(post[0], "_obs_out_layers.0", "_obs_out_layers.1", names.posterior_rows(agent, SIDE))
    found |= under("_obs_stat_layer", torch_linear(post_out), ".")
    if rssm.first is not None:
        found["W"] = Slot((rssm.first,), lambda x: x[None])
    return under(DYNAMICS, found, "")


def encoder_slots(agent: Any, source: Source, keys: dict[str, str]) -> Slots:
    """Encoder of images and vectors."""
    encoder = agent.world.encoder
    found: Slots = {}
    if encoder.images:
        found |= names.convolutions(f"{ENCODER}_cnn.layers.", list(encoder.cnn), "norm")
    if encoder.vectors:
        spaces_of, order, _ = observations(source)
        found |= hidden_layers(f"{ENCODER}_mlp.", "Encoder", encoder.mlp, names.vector_rows(order, keys, spaces_of))
    return found


def decoder_slots(agent: Any, keys: dict[str, str]) -> Slots:
    """Decoder of images and vectors."""
    decoder, rows = agent.world.decoder, names.latent_rows(agent)
    found: Slots = {}
    if decoder.images:
        prefix = f"{HEADS}decoder._cnn."
        found |= under(f"{prefix}_linear_layer", torch_linear(decoder.cnn.inp, rows), ".")
        found |= names.convolutions(f"{prefix}layers.", list(decoder.cnn.stages), "norm")
    if decoder.vectors:
        prefix = f"{HEADS}decoder._mlp."
        found |= hidden_layers(prefix, "Decoder", decoder.mlp, rows)
        for theirs, ours in keys.items():
            if ours in decoder.vectors:
                linear = decoder.linears[decoder.vectors.index(ours)]
                found |= under(f"{prefix}mean_layer.{theirs}", torch_linear(linear), ".")
    return found
