"""Names that PyTorch gives to layers and optimisers, shared by the formats of PyTorch projects."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from common.foreign.slots import (
    Slot,
    Slots,
    channels_first_rows,
    feature_rows,
    key_rows,
    plain,
    torch_conv,
    torch_linear,
    under,
)
from common.foreign.source import Moments, Source, vector_space

OneOptimiser = tuple[Mapping[str, Any] | None, Sequence[str]]  # its state_dict, the names of its parameters in order


# Layers


def norm(module: nn.Module) -> Slots:
    """Weight of an RMS norm, weight and bias of a layer norm; nothing where there is none."""
    names = {"scale": "weight", "shift": "bias"}
    return {names[name]: plain(param) for name, param in module.named_parameters()}


def layer(module: Any, linear: str, norm_name: str, rows: Tensor | None = None) -> Slots:
    """A linear layer and its norm. rows: our input feature for each one of the file."""
    return under(linear, torch_linear(module.linear, rows), ".") | under(norm_name, norm(module.norm), ".")


def mlp(module: Any, linear: str, norm_name: str, rows: Tensor | None = None) -> Slots:
    """Hidden layers. linear, norm_name: names with {} in place of the number of the layer."""
    slots: Slots = {}
    for i, hidden in enumerate(module):
        slots |= layer(hidden, linear.format(i), norm_name.format(i), None if i else rows)
    return slots


def sequential(prefix: str, hidden: Any, out: nn.Linear | None = None, rows: Tensor | None = None) -> Slots:
    """Layers in one nn.Sequential: linear, norm if there is one, activation; then the output layer."""
    step = module_step(hidden[0].norm)
    slots: Slots = {}
    for i, module in enumerate(hidden):
        names = f"{prefix}{step * i}", f"{prefix}{step * i + 1}"
        slots |= layer(module, *names, None if i else rows)
    return slots if out is None else slots | under(f"{prefix}{step * len(hidden)}", torch_linear(out), ".")


def module_step(norm_module: nn.Module) -> int:
    """Return the number of modules of one layer in an nn.Sequential: with the activation, and the norm if any."""
    return 2 if isinstance(norm_module, nn.Identity) else 3


def convolutions(prefix: str, stages: Sequence[Any], norm_name: str = "") -> Slots:
    """Convolutions of our encoder or decoder, each followed by a ChannelNorm, in one nn.Sequential of the file.

    norm_name: name of the norm's parameters within its module.
    """
    step = module_step(stages[1].norm)
    slots: Slots = {}
    for i, stage in enumerate(stages[::2]):
        slots |= under(f"{prefix}{step * i}", torch_conv(stage), ".")
        if 2 * i + 1 < len(stages):
            inner = norm(stages[2 * i + 1].norm)
            slots |= under(f"{prefix}{step * i + 1}.{norm_name}".rstrip("."), inner, ".")
    return slots


def joined(outs: Iterable[nn.Linear], rows: Tensor | None = None) -> Slots:
    """One linear layer of the file that is several of our layers, one after the other."""
    linears = list(outs)
    weight = lambda *parts: torch.cat(parts) if rows is None else torch.cat(parts)[:, rows]
    bias = {"bias": Slot(tuple(out.bias for out in linears), lambda *parts: torch.cat(parts))}
    return {"weight": Slot(tuple(out.weight for out in linears), weight)} | bias


# Orders of features


def latent_rows(agent: Any) -> Tensor:
    """Return our place of each feature where the file has [stoch, deter]."""
    rssm = agent.world.rssm
    return feature_rows(rssm.deter, rssm.latent.size)


def embed_rows(agent: Any, side: int) -> Tensor:
    """Return our place of each number of an embedding [image (C, H, W), vector]. side: H and W of the last stage."""
    encoder = agent.world.encoder
    vector = encoder.mlp.size if encoder.vectors else 0
    parts = [torch.arange(vector)]
    if encoder.images:
        parts.insert(0, channels_first_rows(encoder.cnn.size // side**2, side, side) + vector)
    return torch.cat(parts)


def posterior_rows(agent: Any, side: int) -> Tensor:
    """Return our place of each input of the posterior where the file has [deter, embedding]."""
    deter = agent.world.rssm.deter
    return torch.cat([torch.arange(deter), embed_rows(agent, side) + deter])


def vector_rows(order: Sequence[str], keys: Mapping[str, str], observation: spaces.Dict) -> Tensor | None:
    """Return our place of each number of the vectors in `order`, by which the file joins them; None without vectors.

    order: foreign names of observations. observation: their spaces. keys: foreign names -> ours.
    """
    vectors = [key for key in order if len(observation[key].shape or ()) == 1]
    sizes = {keys[key]: (observation[key].shape or ())[0] for key in vectors}
    return key_rows([keys[key] for key in vectors], sizes) if vectors else None


def joined_observations(
    source: Source,
    width: int,
    decoded: Mapping[str, int],
    images: Mapping[str, spaces.Space],
    image_decoder: bool,
    encoded: Sequence[str] = (),
) -> tuple[spaces.Dict, tuple[str, ...], tuple[str, ...]]:
    """Return the spaces of all observations, and the names of those that encoder and decoder have, in their order.

    width: numbers that the encoder of vectors reads; 0 without one. decoded: sizes of the vectors that the decoder
    predicts. encoded: names of the vectors that the encoder reads, if known; else they are taken to be the same.
    Raises UserError if the sizes of the encoder's vectors do not follow from that.
    """
    known = dict(decoded) or ({(encoded or ["vector"])[0]: width} if width else {})
    order = tuple(encoded or known) if width else ()
    if set(order) - set(known) or width != sum(known[key] for key in order):
        raise source.refuse(
            f"its encoder reads {width} numbers and its decoder predicts {sum(decoded.values())}; no shape shows the "
            "sizes of vectors that only the encoder has"
        )
    found = {key: vector_space(size) for key, size in known.items()} | dict(images)
    return spaces.Dict(found), (*order, *images), (*decoded, *(images if image_decoder else ()))


# Optimisers


def adam_moments(optimisers: Mapping[str, OneOptimiser], source: Source) -> Moments | None:
    """Return the moments in the state_dicts of PyTorch's optimisers, by our group; None if none has any.

    Raises UserError if an optimiser has other parameters than the networks.
    """
    mu: dict[str, Any] = {}
    nu: dict[str, Any] = {}
    steps: dict[str, int] = {}
    for group, (state, names) in optimisers.items():
        if not state or not state["state"]:
            continue
        numbers = [number for block in state["param_groups"] for number in block["params"]]
        if len(numbers) != len(names):
            raise source.refuse(f"its {group} optimiser has {len(numbers)} tensors, its networks {len(names)}")
        for number, name in zip(numbers, names, strict=True):
            if number in state["state"]:
                slot = state["state"][number]
                mu[name], nu[name], steps[group] = slot["exp_avg"], slot["exp_avg_sq"], int(slot["step"])
    return Moments(mu, nu, steps) if mu else None


def optimiser_flags(optimisers: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Any]:
    """Return our config keys for the rates and constants in the state_dicts of PyTorch's Adam, by our group."""
    flags: dict[str, Any] = {}
    for group, state in optimisers.items():
        if state:
            block = state["param_groups"][0]
            flags |= {f"optim.lr.{group}": float(block["lr"]), f"optim.eps.{group}": float(block["eps"])}
            flags |= {"optim.beta1": float(block["betas"][0]), "optim.beta2": float(block["betas"][1])}
    return flags
