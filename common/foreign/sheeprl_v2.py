"""Format `sheeprl-v2`: SheepRL's DreamerV2. See `sheeprl.py`.

Its layer norms have an eps of 1e-5; the layer before the recurrent cell has one even where the other layers have none.
"""

from typing import Any

from common.foreign import sheeprl
from common.foreign.slots import Slots
from common.foreign.source import Description, Source, one_hots

read = sheeprl.read
SIDE, IMAGE, EPS = 2, 64, 1e-5  # side of the last image of the encoder, of the images; eps of nn.LayerNorm
FIRST = f"{sheeprl.RSSM}recurrent_model.mlp._model."


def describe(source: Source) -> Description:
    """Infer sizes from shapes; the rest from the settings, or the project's defaults without any."""
    algo = sheeprl.algo_settings(source)
    latent, width = sheeprl.latent_size(source), source.shape(f"{FIRST}0.weight")[1]
    model = algo.get("world_model", {})
    flags = dynamics_flags(source) | sheeprl.network_flags(source) | sheeprl.activation_flags(source, "elu", "elu")
    flags |= one_hots(source, latent, model.get("stochastic_size"))
    learned = source.has("world_model.continue_model.")
    flags |= {"con.use": "SoftContinue" if learned else "NoContinue", "discount": algo.get("gamma", 0.99)}
    flags |= {"optim.keras": False, "optim.wd": 0.0, "reward_transform": "none", "grad_cont.use": "Reinforce"}
    flags |= {"kl.free": model.get("kl_free_nats", 1.0), "actor.entropy": algo.get("actor", {}).get("ent_coef", 1e-4)}
    found, encoder, decoder = sheeprl.observations(source, IMAGE)
    return Description("v2", flags, found, sheeprl.actions(source, width - latent), encoder, decoder)


def dynamics_flags(source: Source) -> dict[str, Any]:
    """Return sizes and norms of the dynamics."""
    prefixes = [f"{sheeprl.RSSM}{name}_model._model." for name in ("transition", "representation")]
    hidden, norms = ([of(prefix) for prefix in prefixes] for of in (
        lambda prefix: source.shape(f"{prefix}0.weight")[0], lambda prefix: sheeprl.has_norm(source, prefix)
    ))  # fmt: skip
    if len(set(hidden)) > 1:
        raise source.refuse(f"prior and posterior have {hidden} units; rssm.hidden is one number")
    if any(norms) and not (all(norms) and sheeprl.has_norm(source, FIRST)):
        raise source.refuse("only some of its layers have a layer norm; net.norm is one setting")
    units = source.shape(f"{FIRST}0.weight")[0]
    deter = source.shape(f"{sheeprl.RSSM}recurrent_model.rnn.linear.weight")[0] // 3
    cell = {"use": "InputNormGRU", "units": units, "input_norm": sheeprl.has_norm(source, FIRST), "eps": EPS}
    flags = {"rssm.deter": deter, "rssm.hidden": hidden[0], "cell": cell}
    return flags | ({"net.norm": "layer", "net.eps": EPS} if norms[0] else {})


def slots(agent: Any, source: Source, keys: dict[str, str]) -> Slots:
    """Return the places of all tensors in an agent."""
    found = sheeprl.encoder_slots(agent, source, keys, IMAGE)
    found |= sheeprl.gru_slots(agent) | sheeprl.latent_slots(agent, SIDE)
    return found | sheeprl.decoder_slots(agent, source, keys, IMAGE, None) | sheeprl.head_slots(agent, source)
