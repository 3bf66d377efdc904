"""Recurrent cell of V2."""

import dataclasses

import torch
from torch import Tensor, nn

from common.nn.nets import Layer, LayerNorm, Linear, Style


def gated_update(reset: Tensor, cand: Tensor, update: Tensor, deter: Tensor) -> Tensor:
    """Return u tanh(sigmoid(reset) cand) + (1 - u) deter with u = sigmoid(update - 1): (B, D) each -> (B, D).

    Unlike in a standard GRU, the reset gate scales the whole candidate, and the update gate starts nearly closed.
    """
    cand = torch.tanh(torch.sigmoid(reset) * cand)
    update = torch.sigmoid(update - 1)
    return update * cand + (1 - update) * deter


class NormGRU(nn.Module):
    """`cell` part: a layer on (z, a), then a GRU with one layer norm over all three gates, and `gated_update`.

    norm: False removes the layer norm (the V2 paper's ablation). bias: False removes the bias before it (V3-2023).
    Source: V2 `common/nets.py` `GRUCell`.
    """

    def __init__(
        self,
        stoch: int,
        action: int,
        deter: int,
        hidden: int,
        style: Style,
        *,
        norm: bool = True,
        bias: bool = True,
    ):
        super().__init__()
        self.inp = Layer(stoch + action, hidden, style)
        self.gates = Linear(hidden + deter, 3 * deter, style.init, bias=bias or not norm)
        self.norm = LayerNorm(3 * deter, 1e-3) if norm else nn.Identity()

    def forward(self, deter: Tensor, stoch: Tensor, action: Tensor) -> Tensor:
        """(B, D), (B, Z), (B, A) -> (B, D)."""
        return self.gru(self.inp(torch.cat([stoch, action], -1)), deter)

    def gru(self, x: Tensor, deter: Tensor) -> Tensor:
        """(B, hidden), (B, D) -> (B, D)."""
        reset, cand, update = self.norm(self.gates(torch.cat([x, deter], -1))).chunk(3, -1)
        return gated_update(reset, cand, update, deter)


class InputNormGRU(NormGRU):
    """`cell` part: a `NormGRU` whose layer on (z, a) has units and a layer norm of its own (SheepRL's DreamerV2).

    units: of that layer; 0 for as many as the other hidden layers. input_norm: it has a layer norm, even if the other
    layers have none. eps: of both layer norms. bias: as in `NormGRU`. Source: SheepRL `dreamer_v2/agent.py`
    `RecurrentModel`.
    """

    def __init__(
        self,
        stoch: int,
        action: int,
        deter: int,
        hidden: int,
        style: Style,
        *,
        units: int = 0,
        input_norm: bool = True,
        eps: float = 1e-5,
        bias: bool = True,
    ):
        units = units or hidden
        super().__init__(stoch, action, deter, units, style, bias=bias)
        self.norm = LayerNorm(3 * deter, eps)
        if input_norm:
            self.inp = Layer(stoch + action, units, dataclasses.replace(style, norm="layer", eps=eps))
