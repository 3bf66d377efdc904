"""Reward normalisation of V2, which the published settings turn off."""

import torch
from torch import Tensor, nn

from common.nn import ranks


class StreamNorm(nn.Module):
    """`reward_norm` part: scale * r / (mag + eps), where mag is a running mean of |r|; momentum 1 turns it off.

    mag starts at 1 and is updated before use. Source: V2 `common/other.py` `StreamNorm`.
    """

    def __init__(self, *, momentum: float = 1.0, scale: float = 1.0, eps: float = 1e-8):
        super().__init__()
        self.momentum, self.scale, self.eps = momentum, scale, eps
        self.mag: Tensor
        self.register_buffer("mag", torch.ones(()))

    def forward(self, reward: Tensor) -> Tensor:
        """(N, H+1) -> (N, H+1)."""
        mean = ranks.current().mean(reward.detach().abs())
        self.mag.mul_(self.momentum).add_(mean, alpha=1 - self.momentum)
        return reward / (self.mag.clone() + self.eps) * self.scale
