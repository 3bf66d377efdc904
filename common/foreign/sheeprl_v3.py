"""Format `sheeprl-v3`: SheepRL's DreamerV3, the agent of 2023. See `sheeprl.py`."""

from collections.abc import Mapping
from typing import Any

from common.foreign import sheeprl
from common.foreign.settings import require
from common.foreign.slots import Slots, plain
from common.foreign.source import Description, Source, one_hots

read = sheeprl.read
SIDE = 4  # of the smallest image in encoder and decoder


def describe(source: Source) -> Description:
    """Infer sizes from shapes; the rest from the settings, or the project's defaults without any."""
    algo = sheeprl.algo_settings(source)
    if not source.has(sheeprl.INITIAL):
        raise source.refuse("it has no initial_recurrent_state: it is not a DreamerV3; try sheeprl-v2")
    model = algo.get("world_model", {})
    for block in ("cnn_layer_norm", "mlp_layer_norm"):
        require(algo.get(block, {}).get("kw", {}), f"algo.{block}.kw", eps=1e-3)
    require(algo.get("actor", {}), "algo.actor", init_std=2.0, max_std=1.0)
    latent = sheeprl.latent_size(source)
    flags = dynamics_flags(source, model, latent) | sheeprl.network_flags(source)
    flags |= sheeprl.activation_flags(source, "silu", "silu")
    for ours, prefix in {"reward": "world_model.reward_model._model.", "critic": "critic._model."}.items():
        flags[f"{ours}.bins"] = sheeprl.output_size(source, prefix)
    if "unimix" in algo:
        flags |= {"latent.unimix": algo["unimix"], "policy_disc.unimix": algo["unimix"]}
    found, encoder, decoder = sheeprl.observations(source, image_side(source))
    width = source.shape(f"{sheeprl.RSSM}recurrent_model.mlp._model.0.weight")[1]
    return Description("v3-2023", flags, found, sheeprl.actions(source, width - latent), encoder, decoder)


def dynamics_flags(source: Source, model: Mapping[str, Any], latent: int) -> dict[str, Any]:
    """Return the sizes of the dynamics."""
    prefixes = [f"{sheeprl.RSSM}{name}_model._model." for name in ("transition", "representation")]
    if not all(sheeprl.has_norm(source, prefix) for prefix in prefixes):
        raise source.refuse("its layers have no layer norm; version v3-2023 has one in each layer")
    hidden = {source.shape(f"{prefix}0.weight")[0] for prefix in prefixes}
    if len(hidden) > 1:
        raise source.refuse(f"prior and posterior have {hidden} units; rssm.hidden is one number")
    units, deter = (
        source.shape(f"{sheeprl.RSSM}recurrent_model.mlp._model.0.weight")[0],
        source.shape(sheeprl.INITIAL)[0],
    )
    chosen = one_hots(source, latent, model.get("stochastic_size"))
    (size,) = hidden
    other = {"use": "InputNormGRU", "units": units, "input_norm": False, "eps": 1e-3, "bias": False}
    return chosen | {"rssm.deter": deter, "rssm.hidden": size} | ({"cell": other} if units != size else {})


def image_side(source: Source) -> int:
    """Return the side of the images: each convolution halves it down to 4."""
    return SIDE * 2 ** len(sheeprl.linears(source, sheeprl.CNN))


def slots(agent: Any, source: Source, keys: dict[str, str]) -> Slots:
    """Return the places of all tensors in an agent."""
    side, start = image_side(source), sheeprl.first_image_rows(agent, SIDE)
    found = sheeprl.encoder_slots(agent, source, keys, side)
    found |= sheeprl.gru_slots(agent) | sheeprl.latent_slots(agent, SIDE)
    found |= sheeprl.decoder_slots(agent, source, keys, side, start) | sheeprl.head_slots(agent, source)
    found[sheeprl.INITIAL] = plain(agent.world.rssm.first)
    return found | (sheeprl.return_range_slots(agent) if source.has("moments.") else {})
