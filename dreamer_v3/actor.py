"""Continuous actions of V3."""

import math

import torch

from common.nn.distributions import LOG_2PI, NormalAction


class BoundedNormal(NormalAction):
    """Normal with mean = tanh(m) and std between min_std and max_std, neither squashed nor truncated.

    Clipping happens on the way to the environment only. Source: V3 `outs.Normal` behind `bounded_normal`.
    """

    def __init__(self, *, min_std: float = 0.1, max_std: float = 1.0):
        self.min_std, self.max_std = min_std, max_std

    def stats(self, out):
        """(..., 2 A) -> mean, std (..., A) in float32."""
        mean, raw = out.float().chunk(2, -1)
        return torch.tanh(mean), (self.max_std - self.min_std) * torch.sigmoid(raw + 2) + self.min_std

    def entropy_range(self, actions):
        """Entropies at the smallest and the largest std."""
        return tuple(actions * (0.5 * (1 + LOG_2PI) + math.log(std)) for std in (self.min_std, self.max_std))
