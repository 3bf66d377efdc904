"""Recurrent cell of V1."""

import torch
from torch import nn

from common.nets import Layer, Style, init_weight


class GRU(nn.Module):
    """A layer on (stoch, action), then the standard GRU in Keras' form (equal to nn.GRUCell).

    Kernel Glorot uniform, recurrent kernel orthogonal, biases zero. Source: official V1 `models.RSSM`.
    """

    def __init__(self, stoch, action, deter, hidden, style: Style):
        super().__init__()
        self.inp = Layer(stoch + action, hidden, style)
        self.gru = nn.GRUCell(hidden, deter)
        init_weight(self.gru.weight_ih, hidden, 3 * deter, style.init)
        nn.init.orthogonal_(self.gru.weight_hh)
        nn.init.zeros_(self.gru.bias_ih)
        nn.init.zeros_(self.gru.bias_hh)

    def forward(self, deter, stoch, action):
        """(B, D), (B, Z), (B, A) -> (B, D)."""
        return self.gru(self.inp(torch.cat([stoch, action], -1)), deter)
