"""Stochastic state of V2 and V3: categorical. The uniform mixture is V3's."""

import torch
from torch import Tensor

from common.agent.interfaces import Device
from common.nn.distributions import gumbel, one_hot, straight_through, unimix


class Categorical:
    """`latent` part: z is S = `stoch` one-hots of C = `classes`, with straight-through gradients. Z = S C.

    Probabilities are (1 - unimix) softmax(logits) + unimix / C. Samples, KL, entropy and the straight-through gradient
    all use them. The parameters are logits, P = S C; the state is the flattened one-hots.
    Source: V2 `EnsembleRSSM` with `discrete`; V3 `RSSM._dist`.
    """

    randomness = "gumbel"

    def __init__(self, *, stoch: int = 32, classes: int = 32, unimix: float = 0.0):
        self.shape, self.unimix = (stoch, classes), unimix
        self.size = self.params = stoch * classes

    def logits(self, params: Tensor) -> Tensor:
        """(..., P) -> log-probabilities (..., S, C), in float32."""
        return unimix(params.unflatten(-1, self.shape), self.unimix)

    def noise(self, *shape: int, device: Device = None) -> Tensor:
        """Draw Gumbel noise (*shape, S, C) for `sample`."""
        return gumbel(*shape, *self.shape, device=device)

    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        """(..., P), (..., S, C) -> one-hots (..., S C) by the Gumbel-max rule, gradient of the probabilities."""
        logp = self.logits(params)
        return straight_through(logp, (logp.detach() + noise).argmax(-1)).flatten(-2)

    def mode(self, params: Tensor) -> Tensor:
        """(..., P) -> (..., S C), without gradient."""
        logp = self.logits(params.detach())
        return one_hot(logp.argmax(-1), logp).flatten(-2)

    def kl(self, lhs: Tensor, rhs: Tensor) -> Tensor:
        """Return KL(lhs || rhs), summed over the S one-hots: (..., P), (..., P) -> (...)."""
        lhs, rhs = self.logits(lhs), self.logits(rhs)
        return (lhs.exp() * (lhs - rhs)).sum((-2, -1))

    def entropy(self, params: Tensor) -> Tensor:
        """(..., P) -> (...)."""
        logp = self.logits(params)
        return -(logp.exp() * logp).sum((-2, -1))

    def information(self, params: Tensor) -> Tensor:
        """(B, T, P) -> nats (S,) that each one-hot carries about the step of the batch."""
        probs = self.logits(params).exp().flatten(0, -3)
        return torch.special.entr(probs.mean(0)).sum(-1) - torch.special.entr(probs).sum(-1).mean(0)

    def pack(self, stoch: Tensor) -> Tensor:
        """(..., S C) one-hots -> class indices (..., S), uint8 or int16, for the replay."""
        return stoch.unflatten(-1, self.shape).argmax(-1).to(torch.uint8 if self.shape[1] < 256 else torch.int16)

    def unpack(self, stored: Tensor) -> Tensor:
        """Return the inverse of `pack`: (..., S) -> (..., S C) float32."""
        indices = stored.long()
        return one_hot(indices, torch.empty(*indices.shape, self.shape[1], device=indices.device)).flatten(-2)
