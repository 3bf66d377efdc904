"""Format `sheeprl-v1`: SheepRL's DreamerV1. See `sheeprl.py`. Its continuous actions are those of V2."""

from typing import Any

from common.foreign import sheeprl
from common.foreign import torch_names as names
from common.foreign.slots import Slots, plain, under
from common.foreign.source import Description, Source

read = sheeprl.read
SIDE, IMAGE = 2, 64  # side of the last image of the encoder, of the images
CELL = f"{sheeprl.RSSM}recurrent_model."


def describe(source: Source) -> Description:
    """Infer sizes from shapes; the rest from the settings, or the project's defaults without any."""
    algo = sheeprl.algo_settings(source)
    stoch = sheeprl.latent_size(source) // 2
    units, width = source.shape(f"{CELL}mlp.0.weight")
    prefixes = [f"{sheeprl.RSSM}{name}_model._model." for name in ("transition", "representation")]
    hidden = [source.shape(f"{prefix}0.weight")[0] for prefix in prefixes]
    if set(hidden) != {units}:
        raise source.refuse(f"its dynamics have layers of {[units, *hidden]} units; rssm.hidden is one number")
    learned = source.has("world_model.continue_model.")
    actor = algo.get("actor", {})
    flags = sheeprl.network_flags(source) | sheeprl.activation_flags(source, "elu", "relu") | {
        "latent.stoch": stoch,
        "latent.min_std": algo.get("world_model", {}).get("min_std", 0.1),
        "rssm.deter": source.shape(f"{CELL}rnn.weight_hh_l0")[1],
        "rssm.hidden": hidden[0],
        "con.use": "SoftContinue" if learned else "NoContinue",
        "policy_cont": {
            "use": "TruncNormal", "init_std": actor.get("init_std", 5.0), "min_std": actor.get("min_std", 0.1)
        },
        "optim.keras": False,
        "discount": algo.get("gamma", 0.99),
    }  # fmt: skip
    found, encoder, decoder = sheeprl.observations(source, IMAGE)
    return Description("v1", flags, found, sheeprl.actions(source, width - stoch), encoder, decoder)


def slots(agent: Any, source: Source, keys: dict[str, str]) -> Slots:
    """Return the places of all tensors in an agent."""
    cell = agent.world.rssm.cell
    found = sheeprl.encoder_slots(agent, source, keys, IMAGE) | sheeprl.latent_slots(agent, SIDE)
    found |= names.layer(cell.inp, f"{CELL}mlp.0", f"{CELL}mlp.1")
    gru = {f"{name}_l0": plain(param) for name, param in cell.gru.named_parameters()}
    found |= under(f"{CELL}rnn", gru, ".")
    return found | sheeprl.decoder_slots(agent, source, keys, IMAGE, None) | sheeprl.head_slots(agent, source)
