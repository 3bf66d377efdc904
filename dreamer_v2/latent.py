"""Categorical stochastic state (V2); the uniform mixture is V3's."""

import torch

from common.nn.distributions import gumbel, one_hot, straight_through, unimix


class Categorical:
    """`stoch` one-hot vectors of `classes` with straight-through gradients.

    Probabilities are (1 - unimix) softmax(logits) + unimix / classes; samples, KL, entropy and the straight-through
    term all use the mixed ones. Parameters P = S C are logits; the state is the flattened one-hots, also S C wide.
    Source: V2 `EnsembleRSSM` with `discrete`; V3 `RSSM._dist`.
    """

    randomness = "gumbel"

    def __init__(self, *, stoch: int = 32, classes: int = 32, unimix: float = 0.0):
        self.shape, self.unimix = (stoch, classes), unimix
        self.size = self.params = stoch * classes

    def logits(self, params):
        """(..., P) -> normalised log-probabilities (..., S, C) in float32."""
        return unimix(params.unflatten(-1, self.shape), self.unimix)

    def noise(self, *shape, device=None):
        """Gumbel randomness for `sample`: (*shape, S, C)."""
        return gumbel(*shape, *self.shape, device=device)

    def sample(self, params, noise):
        """(..., P), (..., S, C) -> one-hots (..., S C) by the Gumbel-max rule, gradient of the probabilities."""
        logp = self.logits(params)
        return straight_through(logp, (logp.detach() + noise).argmax(-1)).flatten(-2)

    def mode(self, params):
        """(..., P) -> (..., S C), without gradient."""
        logp = self.logits(params.detach())
        return one_hot(logp.argmax(-1), logp).flatten(-2)

    def kl(self, lhs, rhs):
        """KL(lhs || rhs) summed over groups: (..., P), (..., P) -> (...)."""
        lhs, rhs = self.logits(lhs), self.logits(rhs)
        return (lhs.exp() * (lhs - rhs)).sum((-2, -1))

    def entropy(self, params):
        """(..., P) -> (...)."""
        logp = self.logits(params)
        return -(logp.exp() * logp).sum((-2, -1))

    def information(self, params):
        """(..., P) -> (S,): nats that each group carries about the place in the batch."""
        probs = self.logits(params).exp().flatten(0, -3)
        return torch.special.entr(probs.mean(0)).sum(-1) - torch.special.entr(probs).sum(-1).mean(0)

    def pack(self, stoch):
        """(..., S C) one-hots -> class indices (..., S), what the replay stores."""
        return stoch.unflatten(-1, self.shape).argmax(-1).to(torch.uint8 if self.shape[1] < 256 else torch.int16)

    def unpack(self, stored):
        """Undoes `pack`: (..., S) -> (..., S C) float32."""
        indices = stored.long()
        return one_hot(indices, torch.empty(*indices.shape, self.shape[1], device=indices.device)).flatten(-2)
