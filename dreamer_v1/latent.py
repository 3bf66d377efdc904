"""Stochastic state of V1: Gaussian. It is an option of V2."""

import torch
import torch.nn.functional as F
from torch import Tensor

from common.agent.interfaces import Device
from common.errors import check_choice

STD_FUNCTIONS = {"softplus": F.softplus, "sigmoid2": lambda x: 2 * torch.sigmoid(x / 2)}


class Gaussian:
    """`latent` part: z ~ Normal(mean, std) of `stoch` dimensions, with reparameterised samples. Z = stoch.

    Parameters P = 2 stoch hold mean and raw std; std = softplus(raw) + min_std (V1) or 2 sigmoid(raw / 2) + min_std
    (V2). Source: V1 `models.RSSM`; V2 `common/nets.py` `EnsembleRSSM` without `discrete`.
    """

    randomness = "normal"

    def __init__(self, *, stoch: int = 30, std: str = "softplus", min_std: float = 0.1):
        check_choice("latent.std", std, STD_FUNCTIONS)
        self.size, self.params = stoch, 2 * stoch
        self.std, self.min_std = STD_FUNCTIONS[std], min_std

    def stats(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """(..., P) -> mean, std (..., Z), in float32."""
        mean, raw = params.float().chunk(2, -1)
        return mean, self.std(raw) + self.min_std

    def noise(self, *shape: int, device: Device = None) -> Tensor:
        """Draw standard Normal noise (*shape, Z) for `sample`."""
        return torch.randn(*shape, self.size, device=device)

    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        """(..., P), (..., Z) -> (..., Z), differentiable."""
        mean, std = self.stats(params)
        return mean + std * noise

    def mode(self, params: Tensor) -> Tensor:
        """(..., P) -> means (..., Z)."""
        return self.stats(params)[0]

    def kl(self, lhs: Tensor, rhs: Tensor) -> Tensor:
        """Return KL(lhs || rhs), summed over dimensions: (..., P), (..., P) -> (...)."""
        return gaussian_kl(*self.stats(lhs), *self.stats(rhs))

    def entropy(self, params: Tensor) -> Tensor:
        """(..., P) -> (...)."""
        return (self.stats(params)[1].log() + 1.4189385332046727).sum(-1)

    def information(self, params: Tensor) -> Tensor:
        """(B, T, P) -> nats (Z,) that each dimension carries about the step of the batch, as a Gaussian channel."""
        mean, std = (x.flatten(0, -2) for x in self.stats(params))
        return 0.5 * (mean.var(0, correction=0) / std.square().mean(0)).log1p()

    def pack(self, stoch: Tensor) -> Tensor:
        """(..., Z) -> (..., Z) float32, for the replay."""
        return stoch.float()

    def unpack(self, stored: Tensor) -> Tensor:
        """Return the inverse of `pack`."""
        return stored.float()


def gaussian_kl(mean1: Tensor, std1: Tensor, mean2: Tensor, std2: Tensor) -> Tensor:
    """Return KL(N(mean1, std1) || N(mean2, std2)), summed over the last axis."""
    ratio, shift = (std1 / std2).square(), ((mean1 - mean2) / std2).square()
    return 0.5 * (ratio + shift - 1 - ratio.log()).sum(-1)
