"""Recurrent cell of V3."""

import torch
from torch import Tensor, nn

from common.errors import UserError
from common.nn.nets import ACTS, BlockLinear, Layer, Style
from dreamer_v2.cell import gated_update


class BlockGRU(nn.Module):
    """`cell` part: block-diagonal GRU. Every block reads its own part of deter and a summary of (h, z, a).

    Three input layers (deter, stoch, action), then `layers` block-linear hidden layers with one norm over all of deter,
    then block-linear gates without norm, split into reset, candidate and update within each block; see `gated_update`.
    Source: V3 `rssm.RSSM._core`.
    """

    def __init__(
        self, stoch: int, action: int, deter: int, hidden: int, style: Style, *, blocks: int = 8, layers: int = 1
    ):
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

    def forward(self, deter: Tensor, stoch: Tensor, action: Tensor) -> Tensor:
        """(B, D), (B, Z), (B, A) -> (B, D)."""
        streams = zip(self.inputs, (deter, stoch, action), strict=True)
        x, summary = deter, torch.cat([layer(x) for layer, x in streams], -1)
        for i, (linear, norm) in enumerate(zip(self.hidden, self.norms, strict=True)):
            x = self.act(norm(linear(x, None if i else summary)))
        gates = self.gates(x).unflatten(-1, (self.blocks, 3, -1))
        reset, cand, update = (gate.flatten(1) for gate in gates.unbind(2))
        return gated_update(reset, cand, update, deter)
