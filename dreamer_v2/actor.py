"""Actor of V2: truncated Normal actions, REINFORCE and the mixture of both gradients."""

import math

import torch

from common.nn.distributions import LOG_2PI, NormalAction, normal_entropy, normal_log_prob

MAX_ACTION = 1 - 1e-6


class TruncNormal:
    """Normal truncated to [-1, 1]: mean = tanh(m), std = 2 sigmoid((q + init_std) / 2) + min_std.

    Samples use the inverse CDF but the official gradient rule: the standardised sample is a constant, so
    d x / d mean = 1 and d x / d std = (x - mean) / std. They are clipped just inside the bounds, straight through.
    Source: V2 `common/dists.py` `TruncNormalDist` on TensorFlow's parameterised truncated normal.
    """

    randomness, draws = "uniform", 0

    def __init__(self, *, init_std: float = 0.0, min_std: float = 0.1):
        self.init_std, self.min_std = init_std, min_std

    def widths(self, actions):
        return (actions, actions)

    def noise(self, *shape, device=None):
        """Uniform in (0, 1)."""
        return torch.rand(*shape, device=device)

    def stats(self, out):
        """(..., 2 A) -> mean, std before truncation (..., A) in float32."""
        mean, raw = out.float().chunk(2, -1)
        return torch.tanh(mean), 2 * torch.sigmoid((raw + self.init_std) / 2) + self.min_std

    def sample(self, out, noise):
        return truncated_sample(*self.stats(out), noise)

    def mode(self, out, noise=None):
        return self.stats(out)[0].clamp(-MAX_ACTION, MAX_ACTION)

    def mean_action(self, out):
        """(..., 2 A) -> means before truncation (..., A)."""
        return self.stats(out)[0]

    def log_prob(self, out, action):
        return truncated_log_prob(*self.stats(out), action).sum(-1)

    def entropy(self, out, noise=None):
        return truncated_entropy(*self.stats(out)).sum(-1)

    def entropy_range(self, actions):
        return 0.0, actions * math.log(2)


def cdf(x):
    """Distribution function of the standard Normal, elementwise."""
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def log_pdf(x):
    """Log density of the standard Normal, elementwise."""
    return -0.5 * x.square() - 0.5 * LOG_2PI


def bounds(mean, std):
    """Standardised bounds and the log of the mass between them, computed on the side that keeps precision."""
    lo, hi = (-1 - mean) / std, (1 - mean) / std
    return lo, hi, (cdf(hi) - cdf(lo)).log()


def truncated_sample(mean, std, noise):
    """mean, std, uniform noise (..., A) -> (..., A)."""
    with torch.no_grad():
        lo, hi = cdf((-1 - mean) / std), cdf((1 - mean) / std)
        unit = torch.special.ndtri(lo + noise * (hi - lo)).clamp(-10, 10)
    sample = mean + std * unit
    return sample + (sample.clamp(-MAX_ACTION, MAX_ACTION) - sample).detach()


def truncated_log_prob(mean, std, value):
    """Log density inside the bounds, (..., A)."""
    return normal_log_prob(mean, std, value) - bounds(mean, std)[2]


def truncated_entropy(mean, std):
    """Differential entropy, (..., A)."""
    lo, hi, log_mass = bounds(mean, std)
    slope = (lo * log_pdf(lo).exp() - hi * log_pdf(hi).exp()) / log_mass.exp()
    return normal_entropy(std) + log_mass + 0.5 * slope


class FreeNormal(NormalAction):
    """Normal with linear mean and linear, unbounded std (an option of V2's heads, official name `normal`)."""

    def stats(self, out):
        return out.float().chunk(2, -1)

    def entropy_range(self, actions):
        return 0.0, actions * 0.5 * (1 + LOG_2PI)


class Reinforce:
    """Score-function gradient with the critic as baseline. Source: V2 `ActorCritic.actor_loss` with `reinforce`."""

    through_model, stop_action, reads_logp, mix = False, True, True, 0.0

    def __call__(self, norm, ret, value, logp, mix):
        """ret, value, logp (N, L) -> objective (N, L)."""
        return logp * norm((ret - value).detach())


class Mixed:
    """`mix` parts of the gradient through the model, the rest REINFORCE (official `actor_grad: both`).

    `mix` may be a schedule of agent steps; its present value comes with the call. The sampled action keeps its gradient
    in the log-probability, as officially.
    """

    through_model, stop_action, reads_logp = True, False, True

    def __init__(self, *, mix: float = 0.1):
        self.mix = mix

    def __call__(self, norm, ret, value, logp, mix):
        """ret, value, logp (N, L) -> objective (N, L)."""
        return mix * norm(ret) + (1 - mix) * logp * norm((ret - value).detach())


class NoNoise:
    """Actions are taken as the policy gives them (V2, V3)."""

    def __call__(self, action, discrete, mode, step):
        """(B, A) -> (B, A)."""
        return action
