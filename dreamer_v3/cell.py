"""Recurrent cell of V3."""

import torch
from torch import nn

from common.errors import UserError
from common.nn.nets import ACTS, BlockLinear, Layer, Style
from dreamer_v2.cell import gated_update


class BlockGRU(nn.Module):
    """Block-diagonal GRU: every block sees its own part of deter and a summary of everything.

    Three input layers (deter, stoch, action), `layers` block-linear hidden layers with one norm over all of deter, then
    block-linear gates without norm, split into reset, candidate and update within each block.
    Source: official V3 `rssm.RSSM._core`.
    """

    def __init__(self, stoch, action, deter, hidden, style: Style, *, blocks: int = 8, layers: int = 1):
        super().__init__()
        if deter % blocks:
            raise UserError(f"cell.use BlockGRU needs rssm.deter divisible by cell.blocks={blocks}, got {deter}.")
        self.blocks, self.act = blocks, ACTS[style.act]
        self.inputs = nn.ModuleList(Layer(size, hidden, style) for size in (deter, stoch, action))
        shared = [3 * hidden] + [0] * (layers - 1)
        layer = lambda shared: BlockLinear(deter, deter, blocks, style.init, style.inner_bias, shared)
        self.hidden = nn.ModuleList(map(layer, shared))
        self.norms = nn.ModuleList(style.make_norm(deter) for _ in shared)
        self.gates = BlockLinear(deter, 3 * deter, blocks, style.init)

    def forward(self, deter, stoch, action):
        """(B, D), (B, Z), (B, A) -> (B, D)."""
        streams = zip(self.inputs, (deter, stoch, action), strict=True)
        x, shared = deter, torch.cat([layer(x) for layer, x in streams], -1)
        for linear, norm in zip(self.hidden, self.norms, strict=True):
            x, shared = self.act(norm(linear(x, shared))), None
        gates = self.gates(x).unflatten(-1, (self.blocks, 3, -1))
        return gated_update(*(gate.flatten(1) for gate in gates.unbind(2)), deter)
