"""Recurrent cell of V2."""

import torch
from torch import nn

from common.nn.nets import Layer, LayerNorm, Linear, Style


def gated_update(reset, cand, update, deter):
    """Gates of V2 and V3: the reset gate scales the whole candidate, the update gate starts near closed."""
    cand = torch.tanh(torch.sigmoid(reset) * cand)
    update = torch.sigmoid(update - 1)
    return update * cand + (1 - update) * deter


class NormGRU(nn.Module):
    """A layer on (stoch, action), then a GRU with one layer norm over all three gates and an update bias of -1.

    `norm=False` leaves the layer norm out (the V2 paper's ablation); `bias=False` the bias beside it (V3-2023).
    Source: official V2 `common/nets.py` `GRUCell`.
    """

    def __init__(self, stoch, action, deter, hidden, style: Style, *, norm: bool = True, bias: bool = True):
        super().__init__()
        self.inp = Layer(stoch + action, hidden, style)
        self.gates = Linear(hidden + deter, 3 * deter, style.init, bias=bias or not norm)
        self.norm = LayerNorm(3 * deter, 1e-3) if norm else nn.Identity()

    def forward(self, deter, stoch, action):
        """(B, D), (B, Z), (B, A) -> (B, D)."""
        return self.gru(self.inp(torch.cat([stoch, action], -1)), deter)

    def gru(self, x, deter):
        """(B, hidden), (B, D) -> (B, D)."""
        gates = self.norm(self.gates(torch.cat([x, deter], -1)))
        return gated_update(*gates.chunk(3, -1), deter)
