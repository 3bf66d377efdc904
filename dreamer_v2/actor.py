"""Actor of V2: truncated Normal actions, REINFORCE, mixed gradients, no exploration noise."""

import math

import torch
from torch import Tensor

from common.agent.interfaces import Advantage, DiscretePolicy
from common.nn.distributions import LOG_2PI, NormalAction, normal_entropy, normal_log_prob

MAX_ACTION = 1 - 1e-6  # samples are clipped just inside the bounds


class TruncNormal(NormalAction):
    """`policy_cont` part: Normal truncated to [-1, 1], mean = tanh(m), std = 2 sigmoid((q + init_std) / 2) + min_std.

    Samples use the inverse CDF with the official gradient rule: the standardised sample is a constant, so
    d x / d mean = 1 and d x / d std = (x - mean) / std. They are clipped just inside the bounds, straight through.
    Source: V2 `common/dists.py` `TruncNormalDist` on TensorFlow's parameterised truncated normal.
    """

    randomness, draws = "uniform", 0

    def __init__(self, *, init_std: float = 0.0, min_std: float = 0.1):
        self.init_std, self.min_std = init_std, min_std

    def noise(self, *shape: int, device: torch.device | str | None = None) -> Tensor:
        """Draw uniform noise in (0, 1) for `sample`."""
        return torch.rand(*shape, device=device)

    def stats(self, out: Tensor) -> tuple[Tensor, Tensor]:
        """(..., 2 A) -> mean, std before truncation (..., A), in float32."""
        mean, raw = out.float().chunk(2, -1)
        return torch.tanh(mean), 2 * torch.sigmoid((raw + self.init_std) / 2) + self.min_std

    def sample(self, out: Tensor, noise: Tensor) -> Tensor:
        """(..., 2 A), (..., A) -> (..., A), differentiable."""
        return truncated_sample(*self.stats(out), noise)

    def mode(self, out: Tensor, noise: Tensor | None = None) -> Tensor:
        """(..., 2 A) -> (..., A)."""
        return self.stats(out)[0].clamp(-MAX_ACTION, MAX_ACTION)

    def log_prob(self, out: Tensor, action: Tensor) -> Tensor:
        """(..., 2 A), (..., A) -> (...)."""
        return truncated_log_prob(*self.stats(out), action).sum(-1)

    def entropy(self, out: Tensor, noise: Tensor | None = None) -> Tensor:
        """(..., 2 A) -> (...)."""
        return truncated_entropy(*self.stats(out)).sum(-1)

    def entropy_range(self, actions: int) -> tuple[float, float]:
        """Return 0, since there is no lowest entropy, and A ln 2, that of the uniform policy."""
        return 0.0, actions * math.log(2)


def cdf(x: Tensor) -> Tensor:
    """Return the distribution function of the standard Normal, elementwise."""
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def log_pdf(x: Tensor) -> Tensor:
    """Return the log density of the standard Normal, elementwise."""
    return -0.5 * x.square() - 0.5 * LOG_2PI


def bounds(mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the standardised bounds, and the log of the mass between them."""
    lo, hi = (-1 - mean) / std, (1 - mean) / std
    return lo, hi, (cdf(hi) - cdf(lo)).log()


def truncated_sample(mean: Tensor, std: Tensor, noise: Tensor) -> Tensor:
    """Sample by the inverse CDF: mean, std, uniform noise (..., A) -> (..., A)."""
    with torch.no_grad():
        lo, hi = cdf((-1 - mean) / std), cdf((1 - mean) / std)
        unit = torch.special.ndtri(lo + noise * (hi - lo)).clamp(-10, 10)
    sample = mean + std * unit
    return sample + (sample.clamp(-MAX_ACTION, MAX_ACTION) - sample).detach()


def truncated_log_prob(mean: Tensor, std: Tensor, value: Tensor) -> Tensor:
    """Return the log density inside the bounds, (..., A)."""
    return normal_log_prob(mean, std, value) - bounds(mean, std)[2]


def truncated_entropy(mean: Tensor, std: Tensor) -> Tensor:
    """Return the differential entropy, (..., A)."""
    lo, hi, log_mass = bounds(mean, std)
    slope = (lo * log_pdf(lo).exp() - hi * log_pdf(hi).exp()) / log_mass.exp()
    return normal_entropy(std) + log_mass + 0.5 * slope


class FreeNormal(NormalAction):
    """`policy_cont` part: Normal with linear mean and linear, unbounded std.

    Source: V2 `common/nets.py` `DistLayer` with `normal`, an option.
    """

    def stats(self, out: Tensor) -> tuple[Tensor, Tensor]:
        """(..., 2 A) -> mean, std (..., A), in float32."""
        mean, std = out.float().chunk(2, -1)
        return mean, std

    def entropy_range(self, actions: int) -> tuple[float, float]:
        """Return 0 and the entropy at std 1."""
        return 0.0, actions * 0.5 * (1 + LOG_2PI)


class Reinforce:
    """`grad_cont`, `grad_disc` part: the objective is log pi(a | s) sg(R - v), with the critic as baseline.

    Source: V2 `ActorCritic.actor_loss` with `reinforce`; V3 `agent.imag_loss`.
    """

    through_model, stop_action, reads_logp, mix = False, True, True, 0.0

    def __call__(self, norm: Advantage, ret: Tensor, value: Tensor, logp: Tensor, mix: Tensor | float) -> Tensor:
        """ret, value, logp (N, L) -> objective (N, L)."""
        return logp * norm((ret - value).detach())


class Mixed:
    """`grad_cont`, `grad_disc` part: mix R + (1 - mix) log pi(a | s) sg(R - v).

    mix: a number or a schedule of agent steps; its current value comes with the call. The sampled action keeps its
    gradient in the log-probability, as in the official code. Source: V2 `ActorCritic.actor_loss` with `both`.
    """

    through_model, stop_action, reads_logp = True, False, True

    def __init__(self, *, mix: float = 0.1):
        self.mix: float | str = mix

    def __call__(self, norm: Advantage, ret: Tensor, value: Tensor, logp: Tensor, mix: Tensor | float) -> Tensor:
        """ret, value, logp (N, L) -> objective (N, L)."""
        return mix * norm(ret) + (1 - mix) * logp * norm((ret - value).detach())


class NoNoise:
    """`explore` part: the actions of the policy, unchanged (V2, V3)."""

    def __call__(self, action: Tensor, discrete: DiscretePolicy | None, mode: str, step: float) -> Tensor:
        """(n, A) -> (n, A)."""
        return action
