"""Reward normalisation of V2 (off in the published settings)."""

import torch
from torch import nn


class StreamNorm(nn.Module):
    """Divides rewards by a running mean of their absolute value; momentum 1 leaves them alone.

    The magnitude is updated before it is used and starts at 1. Source: V2 `common/other.py` `StreamNorm`.
    """

    def __init__(self, *, momentum: float = 1.0, scale: float = 1.0, eps: float = 1e-8):
        super().__init__()
        self.momentum, self.scale, self.eps = momentum, scale, eps
        self.register_buffer("mag", torch.ones(()))

    def forward(self, reward):
        """(N, H+1) -> (N, H+1)."""
        mean = reward.detach().abs().mean()
        self.mag.mul_(self.momentum).add_(mean, alpha=1 - self.momentum)
        return reward / (self.mag.clone() + self.eps) * self.scale
