"""Distributions of all versions: straight-through one-hots, Normal formulas, actions.

The contract of an action distribution is `ActionDistribution` in `common/agent/interfaces.py`.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


def one_hot(index: Tensor, like: Tensor) -> Tensor:
    """Return one-hots (..., C) of class indices (...), with the dtype and last axis of `like`."""
    return torch.zeros_like(like).scatter_(-1, index[..., None], 1.0)


def straight_through(logp: Tensor, index: Tensor) -> Tensor:
    """Return one-hots of `index` whose gradient is that of exp(logp): (..., C), (...) -> (..., C)."""
    probs = logp.exp()
    return one_hot(index, logp) + (probs - probs.detach())


def gumbel(*shape: int, device: torch.device | str | None = None) -> Tensor:
    """Draw Gumbel noise: the argmax of noise plus log-probabilities is a sample."""
    return torch.rand(*shape, device=device).log_().neg_().log_().neg_()  # several times faster than exponential_


def unimix(logits: Tensor, amount: float) -> Tensor:
    """Return log((1 - amount) softmax(logits) + amount / C) in float32: (..., C) -> (..., C)."""
    if not amount:
        return logits.float().log_softmax(-1)
    return ((1 - amount) * logits.float().softmax(-1) + amount / logits.shape[-1]).log()


def normal_log_prob(mean: Tensor, std: Tensor, value: Tensor) -> Tensor:
    """Return the log density of a Normal, elementwise."""
    return -0.5 * ((value - mean) / std).square() - std.log() - 0.5 * LOG_2PI


def normal_entropy(std: Tensor) -> Tensor:
    """Return the entropy of a Normal, elementwise."""
    return 0.5 * (1 + LOG_2PI) + std.log()


class NormalAction:
    """Base of Normal actions; a subclass defines `stats`, its mean and std, and `entropy_range`."""

    randomness, draws = "normal", 0

    def widths(self, actions: int) -> tuple[int, ...]:
        """Return the outputs for mean and std."""
        return (actions, actions)

    def stats(self, out: Tensor) -> tuple[Tensor, Tensor]:
        """(..., 2 A) -> mean, std (..., A)."""
        raise NotImplementedError

    def noise(self, *shape: int, device: torch.device | str | None = None) -> Tensor:
        """Draw standard Normal noise for `sample`."""
        return torch.randn(*shape, device=device)

    def sample(self, out: Tensor, noise: Tensor) -> Tensor:
        """(..., 2 A), (..., A) -> (..., A), differentiable."""
        mean, std = self.stats(out)
        return mean + std * noise

    def mode(self, out: Tensor, noise: Tensor | None = None) -> Tensor:
        """(..., 2 A) -> mean actions (..., A)."""
        return self.stats(out)[0]

    def mean_action(self, out: Tensor) -> Tensor:
        """(..., 2 A) -> mean actions (..., A)."""
        return self.stats(out)[0]

    def log_prob(self, out: Tensor, action: Tensor) -> Tensor:
        """(..., 2 A), (..., A) -> (...)."""
        return normal_log_prob(*self.stats(out), action).sum(-1)

    def entropy(self, out: Tensor, noise: Tensor | None = None) -> Tensor:
        """(..., 2 A) -> (...)."""
        return normal_entropy(self.stats(out)[1]).sum(-1)


class OneHot:
    """`policy_disc` part: one-hot actions with straight-through samples.

    unimix: share of uniform probability that is mixed in (V3). With several discrete dimensions, the one-hots are
    concatenated, and log-probabilities and entropies are summed. Source: V1 `tools.OneHotDist`, V2 `OneHotDist`.
    """

    randomness, draws = "gumbel", 0

    def __init__(self, classes: Sequence[int] = (), *, unimix: float = 0.0):
        self.classes, self.unimix = list(classes), unimix

    def widths(self, actions: int) -> tuple[int, ...]:
        """Return the outputs for the logits."""
        return (actions,)

    def noise(self, *shape: int, device: torch.device | str | None = None) -> Tensor:
        """Draw Gumbel noise for `sample`."""
        return gumbel(*shape, device=device)

    def logits(self, out: Tensor) -> list[Tensor]:
        """(..., A) -> log-probabilities (..., C), one tensor for each discrete dimension."""
        return [unimix(part, self.unimix) for part in out.split(self.classes, -1)]

    def sample(self, out: Tensor, noise: Tensor) -> Tensor:
        """(..., A), (..., A) -> one-hots (..., A) by the Gumbel-max rule, gradient of the probabilities."""
        pairs = zip(self.logits(out), noise.split(self.classes, -1), strict=True)
        return torch.cat([straight_through(logp, (logp.detach() + g).argmax(-1)) for logp, g in pairs], -1)

    def mode(self, out: Tensor, noise: Tensor | None = None) -> Tensor:
        """(..., A) -> likeliest one-hots (..., A), without gradient."""
        return torch.cat([one_hot(logp.argmax(-1), logp.detach()) for logp in self.logits(out)], -1)

    def log_prob(self, out: Tensor, action: Tensor) -> Tensor:
        """(..., A), (..., A) -> (...). No gradient reaches the action, as in TensorFlow Probability."""
        actions = action.detach().split(self.classes, -1)
        return sum((logp * a).sum(-1) for logp, a in zip(self.logits(out), actions, strict=True))  # type: ignore[return-value]

    def entropy(self, out: Tensor, noise: Tensor | None = None) -> Tensor:
        """(..., A) -> (...)."""
        return sum(-(logp.exp() * logp).sum(-1) for logp in self.logits(out))  # type: ignore[return-value]

    def entropy_range(self, actions: int) -> tuple[float, float]:
        """Return 0 and the entropy of the uniform policy."""
        return 0.0, sum(math.log(n) for n in self.classes)
