"""What several distributions share: one-hots with straight-through gradients, Normal formulas, discrete actions.

An action distribution has `widths(A)` (network outputs, one linear layer each), `noise(*shape, A)` and pure functions
of the outputs `out` (..., sum of widths): `sample(out, noise)` and `mode(out)` -> (..., A), `log_prob(out, action)` and
`entropy(out)` -> (...), `entropy_range(A)`; for continuous actions `center(out)` -> (..., A), without randomness. All
randomness comes in through `noise`, so a sample is a plain function: `randomness` says which (normal, uniform or
gumbel), `draws` how many samples `mode` takes (0: it is a formula).
"""

import math

import torch

LOG_2PI = math.log(2 * math.pi)


def one_hot(index, like):
    """(...) class indices -> (..., C) one-hots with the dtype and last axis of `like`."""
    return torch.zeros_like(like).scatter_(-1, index[..., None], 1.0)


def straight_through(logp, index):
    """One-hot of `index` in value, probabilities exp(logp) in gradient: (..., C), (...) -> (..., C)."""
    probs = logp.exp()
    return one_hot(index, logp) + (probs - probs.detach())


def gumbel(*shape, device=None):
    """Noise whose argmax after adding log-probabilities is a sample of them."""
    return torch.rand(*shape, device=device).log_().neg_().log_().neg_()  # several times faster than exponential_


def unimix(logits, amount):
    """Logits (..., C) -> log-probabilities of (1 - amount) softmax + amount / C, in float32."""
    if not amount:
        return logits.float().log_softmax(-1)
    return ((1 - amount) * logits.float().softmax(-1) + amount / logits.shape[-1]).log()


def normal_log_prob(mean, std, value):
    """Elementwise log density of a Normal."""
    return -0.5 * ((value - mean) / std).square() - std.log() - 0.5 * LOG_2PI


def normal_entropy(std):
    """Elementwise entropy of a Normal."""
    return 0.5 * (1 + LOG_2PI) + std.log()


class NormalAction:
    """Plain Normal action; subclasses say what mean and std the outputs mean, and the range of the entropy."""

    randomness, draws = "normal", 0

    def widths(self, actions):
        return (actions, actions)

    def noise(self, *shape, device=None):
        return torch.randn(*shape, device=device)

    def sample(self, out, noise):
        mean, std = self.stats(out)
        return mean + std * noise

    def mode(self, out, noise=None):
        return self.stats(out)[0]

    def mean_action(self, out):
        """(..., 2 A) -> mean actions (..., A)."""
        return self.stats(out)[0]

    def log_prob(self, out, action):
        return normal_log_prob(*self.stats(out), action).sum(-1)

    def entropy(self, out, noise=None):
        return normal_entropy(self.stats(out)[1]).sum(-1)


class OneHot:
    """One-hot action with straight-through samples; `unimix` of uniform probability mixed in (V3).

    For several discrete dimensions the one-hots are concatenated; log-probabilities and entropies add up.
    """

    randomness, draws = "gumbel", 0

    def __init__(self, classes=(), *, unimix: float = 0.0):
        self.classes, self.unimix = list(classes), unimix

    def widths(self, actions):
        return (actions,)

    def noise(self, *shape, device=None):
        return gumbel(*shape, device=device)

    def logits(self, out):
        """(..., A) -> list of log-probabilities (..., C), one for each discrete dimension."""
        return [unimix(part, self.unimix) for part in out.split(self.classes, -1)]

    def sample(self, out, noise):
        pairs = zip(self.logits(out), noise.split(self.classes, -1), strict=True)
        return torch.cat([straight_through(logp, (logp.detach() + g).argmax(-1)) for logp, g in pairs], -1)

    def mode(self, out, noise=None):
        return torch.cat([one_hot(logp.argmax(-1), logp.detach()) for logp in self.logits(out)], -1)

    def log_prob(self, out, action):
        """No gradient reaches the action (as in TFP)."""
        actions = action.detach().split(self.classes, -1)
        return sum((logp * a).sum(-1) for logp, a in zip(self.logits(out), actions, strict=True))

    def entropy(self, out, noise=None):
        return sum(-(logp.exp() * logp).sum(-1) for logp in self.logits(out))

    def entropy_range(self, actions):
        return 0.0, sum(math.log(n) for n in self.classes)
