"""Gaussian stochastic state (V1; an option of V2)."""

import torch
import torch.nn.functional as F

from common.errors import check_choice

STD_FUNCTIONS = {"softplus": F.softplus, "sigmoid2": lambda x: 2 * torch.sigmoid(x / 2)}


class Gaussian:
    """Diagonal Gaussian of `stoch` dimensions with reparameterised samples.

    Parameters P = 2 stoch hold mean and raw std; std = softplus(raw) + min_std (V1) or 2 sigmoid(raw / 2) + min_std
    (V2). Source: V1 `models.RSSM`; V2 `common/nets.py` `EnsembleRSSM` without `discrete`.
    """

    randomness = "normal"

    def __init__(self, *, stoch: int = 30, std: str = "softplus", min_std: float = 0.1):
        check_choice("latent.std", std, STD_FUNCTIONS)
        self.size, self.params = stoch, 2 * stoch
        self.std, self.min_std = STD_FUNCTIONS[std], min_std

    def stats(self, params):
        """(..., P) -> mean, std (..., K) in float32."""
        mean, raw = params.float().chunk(2, -1)
        return mean, self.std(raw) + self.min_std

    def noise(self, *shape, device=None):
        """Randomness for `sample`: (*shape, K)."""
        return torch.randn(*shape, self.size, device=device)

    def sample(self, params, noise):
        """(..., P), (..., K) -> (..., K), differentiable."""
        mean, std = self.stats(params)
        return mean + std * noise

    def mode(self, params):
        """(..., P) -> means (..., K)."""
        return self.stats(params)[0]

    def kl(self, lhs, rhs):
        """KL(lhs || rhs) summed over dimensions: (..., P), (..., P) -> (...)."""
        return gaussian_kl(*self.stats(lhs), *self.stats(rhs))

    def entropy(self, params):
        """(..., P) -> (...)."""
        return (self.stats(params)[1].log() + 1.4189385332046727).sum(-1)

    def information(self, params):
        """(..., P) -> (K,): nats that each dimension carries about the place in the batch, as of a Gaussian channel."""
        mean, std = (x.flatten(0, -2) for x in self.stats(params))
        return 0.5 * (mean.var(0, correction=0) / std.square().mean(0)).log1p()

    def pack(self, stoch):
        """(..., K) -> what the replay stores."""
        return stoch.float()

    def unpack(self, stored):
        """Undoes `pack`."""
        return stored.float()


def gaussian_kl(mean1, std1, mean2, std2):
    """KL(N(mean1, std1) || N(mean2, std2)) summed over the last axis."""
    ratio, shift = (std1 / std2).square(), ((mean1 - mean2) / std2).square()
    return 0.5 * (ratio + shift - 1 - ratio.log()).sum(-1)
