"""Actor of V1: tanh-Normal actions, the gradient through the learned dynamics, exploration noise."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from common.agent.interfaces import Advantage, DiscretePolicy
from common.config.annealing import schedule
from common.nn.distributions import NormalAction, normal_log_prob


class TanhNormal(NormalAction):
    """`policy_cont` part: a = tanh(u), u ~ Normal(mean, std).

    mean = scale tanh(m / scale), std = softplus(q + raw(init_std)) + min_std, from network outputs m and q.
    Mode and entropy come from `draws` samples, as in the official SampleDist; the mode is the likeliest of each row.
    Source: V1 `models.ActionDecoder`, `tools.TanhBijector`.
    """

    randomness, draws = "normal", 100

    def __init__(self, *, init_std: float = 5.0, min_std: float = 1e-4, mean_scale: float = 5.0):
        self.raw_init, self.min_std, self.mean_scale = math.log(math.expm1(init_std)), min_std, mean_scale

    def stats(self, out: Tensor) -> tuple[Tensor, Tensor]:
        """(..., 2 A) -> mean, std before the tanh (..., A), in float32."""
        mean, raw = out.float().chunk(2, -1)
        mean = self.mean_scale * torch.tanh(mean / self.mean_scale)
        return mean, F.softplus(raw + self.raw_init) + self.min_std

    def sample(self, out: Tensor, noise: Tensor) -> Tensor:
        """(..., 2 A), (..., A) -> (..., A), differentiable."""
        mean, std = self.stats(out)
        return torch.tanh(mean + std * noise)

    def log_prob(self, out: Tensor, action: Tensor) -> Tensor:
        """(..., 2 A), (..., A) -> (...). Own samples also pass the clipped inverse, as in the official code."""
        pre = tanh_inverse(action)
        return (normal_log_prob(*self.stats(out), pre) - tanh_log_slope(pre)).sum(-1)

    def mean_action(self, out: Tensor) -> Tensor:
        """(..., 2 A) -> tanh of the means (..., A)."""
        return torch.tanh(self.stats(out)[0])

    def draw(self, out: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """(..., 2 A), noise (draws, ..., A) or None -> samples (draws, ..., A), log-probabilities (draws, ...)."""
        if noise is None:
            noise = self.noise(self.draws, *out.shape[:-1], out.shape[-1] // 2, device=out.device)
        sample = self.sample(out[None].expand(len(noise), *out.shape), noise)
        return sample, self.log_prob(out[None], sample)

    def entropy(self, out: Tensor, noise: Tensor | None = None) -> Tensor:
        """(..., 2 A) -> mean of -log-probability over the samples (...)."""
        return -self.draw(out, noise)[1].mean(0)

    def mode(self, out: Tensor, noise: Tensor | None = None) -> Tensor:
        """(..., 2 A) -> likeliest of the samples (..., A)."""
        sample, logp = self.draw(out, noise)
        best = logp.argmax(0)[None, ..., None].expand(1, *sample.shape[1:])
        return sample.gather(0, best).squeeze(0)

    def entropy_range(self, actions: int) -> tuple[float, float]:
        """Return 0, since there is no lowest entropy, and A ln 2, that of the uniform policy."""
        return 0.0, actions * math.log(2)


def tanh_inverse(y: Tensor) -> Tensor:
    """Return atanh(y), with y clipped just inside (-1, 1)."""
    limit = 1 - 2.0**-24
    return torch.atanh(torch.where(y.abs() <= 1.0, y.clamp(-limit, limit), y))


def tanh_log_slope(x: Tensor) -> Tensor:
    """Return log(d tanh(x) / dx) without cancellation."""
    return 2 * (math.log(2) - x - F.softplus(-2 * x))


class DynamicsGradient:
    """`grad_cont`, `grad_disc` part: the objective is R itself, differentiated through heads, dynamics and actions.

    baseline: subtract the value of the state first, gradient included (V3-2023).
    Source: V1 `Dreamer._train`; V2 `ActorCritic.actor_loss` with `dynamics`; V3-2023 `ImagActorCritic.loss`.
    """

    through_model, stop_action, reads_logp, mix = True, True, False, 1.0

    def __init__(self, *, baseline: bool = False):
        self.baseline = baseline

    def __call__(self, norm: Advantage, ret: Tensor, value: Tensor, logp: Tensor, mix: Tensor | float) -> Tensor:
        """ret, value, logp (N, L) -> objective (N, L)."""
        return norm(ret - value if self.baseline else ret)


class ActionNoise:
    """`explore` part: Gaussian noise on continuous actions, clipped to [-1, 1]; epsilon-greedy on discrete ones.

    amount: a number or a schedule of agent steps. It is halved every `decay` agent steps, down to `minimum`.
    eval: the amount in evaluation. Source: V1 `Dreamer.exploration`; V2 `common/other.py` `action_noise`.
    """

    def __init__(self, *, amount: float = 0.3, decay: float = 0.0, minimum: float = 0.0, eval: float = 0.0):
        self.amount, self.decay, self.minimum, self.eval = amount, decay, minimum, eval

    def level(self, mode: str, step: float) -> float:
        """Return the amount of noise in a mode, train or eval, after `step` agent steps."""
        if mode == "eval":
            return self.eval
        amount = schedule(self.amount, step) * (0.5 ** (step / self.decay) if self.decay else 1.0)
        return max(amount, self.minimum)

    def __call__(self, action: Tensor, discrete: DiscretePolicy | None, mode: str, step: float) -> Tensor:
        """(n, A) -> (n, A)."""
        level = self.level(mode, step)
        if not level:
            return action
        if discrete is None:
            return (action + level * torch.randn_like(action)).clamp(-1, 1)
        uniform = discrete.sample(torch.zeros_like(action), discrete.noise(*action.shape, device=action.device))
        chance = torch.rand(len(action), 1, device=action.device)
        return torch.where(chance < level, uniform, action)
