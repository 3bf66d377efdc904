"""Recurrent cell of V1."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.nn.nets import Layer, Style, init_weight


class PlainGRUCell(nn.GRUCell):
    """nn.GRUCell in plain operations, which are the same on every device.

    On a GPU torch would use a fused kernel. Under autocast, that kernel keeps the state in bfloat16; it cannot be
    compiled.
    """

    def forward(self, x: Tensor, deter: Tensor) -> Tensor:  # type: ignore[override]
        """(B, hidden), (B, D) -> (B, D), in the dtype of deter or a wider one."""
        reset, update, cand = F.linear(x, self.weight_ih, self.bias_ih).chunk(3, -1)
        own_reset, own_update, own_cand = F.linear(deter, self.weight_hh, self.bias_hh).chunk(3, -1)
        reset, update = torch.sigmoid(own_reset + reset), torch.sigmoid(own_update + update)
        cand = torch.tanh(cand + own_cand * reset)
        return (deter - cand) * update + cand


class GRU(nn.Module):
    """`cell` part: a layer on (z, a), then the standard GRU in Keras' form (equal to nn.GRUCell).

    r = sigmoid(.), u = sigmoid(.), c = tanh(W x + r U h), h' = u h + (1 - u) c.
    Kernel Glorot uniform, recurrent kernel orthogonal, biases zero. Source: V1 `models.RSSM`.
    """

    def __init__(self, stoch: int, action: int, deter: int, hidden: int, style: Style):
        super().__init__()
        self.inp = Layer(stoch + action, hidden, style)
        self.gru = PlainGRUCell(hidden, deter)
        init_weight(self.gru.weight_ih, hidden, 3 * deter, style.init)
        nn.init.orthogonal_(self.gru.weight_hh)
        nn.init.zeros_(self.gru.bias_ih)
        nn.init.zeros_(self.gru.bias_hh)

    def forward(self, deter: Tensor, stoch: Tensor, action: Tensor) -> Tensor:
        """(B, D), (B, Z), (B, A) -> (B, D)."""
        return self.gru(self.inp(torch.cat([stoch, action], -1)), deter)
