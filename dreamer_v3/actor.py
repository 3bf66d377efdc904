"""Continuous actions of V3."""

import math

import torch
from torch import Tensor

from common.nn.distributions import LOG_2PI, NormalAction


class BoundedNormal(NormalAction):
    """`policy_cont` part: Normal, mean = tanh(m), std = (max_std - min_std) sigmoid(q + 2) + min_std.

    Actions are neither squashed nor truncated; only the environment's adapter clips them.
    Source: V3 `outs.Normal` behind `bounded_normal`.
    """

    def __init__(self, *, min_std: float = 0.1, max_std: float = 1.0):
        self.min_std, self.max_std = min_std, max_std

    def stats(self, out: Tensor) -> tuple[Tensor, Tensor]:
        """(..., 2 A) -> mean, std (..., A), in float32."""
        mean, raw = out.float().chunk(2, -1)
        return torch.tanh(mean), (self.max_std - self.min_std) * torch.sigmoid(raw + 2) + self.min_std

    def entropy_range(self, actions: int) -> tuple[float, float]:
        """Return the entropies at the smallest and the largest std."""
        low, high = (actions * (0.5 * (1 + LOG_2PI) + math.log(std)) for std in (self.min_std, self.max_std))
        return low, high
