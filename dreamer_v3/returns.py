"""Returns of V3, and the normalisation of returns and advantages."""

import torch
from torch import Tensor, nn

from common.agent.interfaces import Continue
from common.agent.returns import Targets, backward_scan, lambda_returns
from common.errors import UserError, check_choice
from common.nn.ranks import current


class DepartureReturns:
    """`returns` part: R_t = r_{t+1} + c_{t+1} ((1 - lam) v_{t+1} + lam R_{t+1}), bootstrapped with v_H.

    The value of a state starts with the next reward, and the action at s_t is credited with R_t.

    first: weight of the start state: pred (predicted continuation), true (1 - is_terminal, code of 2023 and 2024) or
    one. Source: V3 `agent.imag_loss`, `agent.repl_loss`, `agent.lambda_return`.
    """

    min_horizon = 1  # leaves a state for every loss

    def __init__(self, *, lam: float = 0.95, first: str = "pred"):
        check_choice("returns.first", first, ("true", "pred", "one"))
        self.lam, self.first = lam, first

    def first_con(self, pred: Tensor, con: Continue, is_terminal: Tensor, discount: float) -> Tensor:
        """Return the discount of the start states (N,), on the scale of `con.pred`."""
        if self.first == "pred":
            return pred
        alive = (~is_terminal).float() if self.first == "true" else torch.ones_like(pred)
        return alive * con.outer_discount

    def __call__(self, reward: Tensor, value: Tensor, con: Tensor, outer_discount: float) -> Targets:
        """Compute targets from predictions (N, H+1) at the imagined states, the start included."""
        ret = lambda_returns(reward[:, 1:], con[:, 1:], value[:, 1:], value[:, -1], self.lam)
        weight, states = (con.cumprod(1) / outer_discount).detach()[:, :-1], slice(0, ret.shape[1])
        return Targets(
            ret=ret,
            critic=states,
            critic_ret=ret,
            critic_weight=weight,
            actor=states,
            actor_ret=ret,
            actor_weight=weight,
        )

    def replay(self, reward: Tensor, is_last: Tensor, is_terminal: Tensor, boot: Tensor, discount: float) -> Tensor:
        """Return lambda-returns of replayed steps, bootstrapped from imagined returns `boot`: (B, T) -> (B, T-1)."""
        live = discount * (~is_terminal).float()[:, 1:]
        keep = self.lam * (~is_last).float()[:, 1:]
        inputs = reward[:, 1:] + live * (1 - keep) * boot[:, 1:]
        return backward_scan(inputs, live * keep, boot[:, -1])


class PercentileReturnNorm(nn.Module):
    """`advantage` part: x / max(limit, S), where S is the running range between two percentiles of returns.

    low, high: the percentiles, 5 and 95. Both are averaged with `rate`, starting at 0, and updated before use.
    debias: correct the averages for their start. Source: V3 `utils.Normalize`.
    """

    def __init__(
        self, *, rate: float = 0.01, limit: float = 1.0, low: float = 5.0, high: float = 95.0, debias: bool = False
    ):
        super().__init__()
        if low >= high:
            raise UserError(f"advantage.low must be below advantage.high, got {low} and {high}.")
        self.rate, self.limit, self.debias = rate, limit, debias
        self.ranks: Tensor
        self.range: Tensor
        self.total: Tensor
        self.register_buffer("ranks", torch.tensor([low, high]) / 100, persistent=False)
        self.register_buffer("range", torch.zeros(2))
        self.register_buffer("total", torch.zeros(()))

    @torch.no_grad()
    def update(self, ret: Tensor, advantage: Tensor) -> None:
        """Update the percentiles by returns (N, L)."""
        self.range.lerp_(quantiles(current().gather(ret.float().flatten()), self.ranks), self.rate)
        self.total.lerp_(torch.ones_like(self.total), self.rate)

    def stats(self) -> tuple[Tensor, Tensor]:
        """Return the low percentile and the range, at least `limit`."""
        low, high = (self.range / self.total.clamp(min=self.rate) if self.debias else self.range).clone()
        return low, (high - low).clamp(min=self.limit)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L) -> (N, L)."""
        return x / self.stats()[1]


def quantiles(x: Tensor, ranks: Tensor) -> Tensor:
    """Return linearly interpolated quantiles of (M,) for any M; torch.quantile takes at most 2^24 elements."""
    position = ranks * (len(x) - 1)
    ordered = x.sort().values
    low = ordered[position.floor().long()]
    return low + (ordered[position.ceil().long()] - low) * position.frac()


class AdvantageNorm(nn.Module):
    """`advantage` part: (x - mean) / max(limit, std), with the running mean and deviation of advantages.

    rate, debias: as in `PercentileReturnNorm`. Source: V3 `agent.imag_loss` with `advnorm`, an option.
    """

    def __init__(self, *, rate: float = 0.01, limit: float = 1e-8, debias: bool = False):
        super().__init__()
        self.rate, self.limit, self.debias = rate, limit, debias
        self.moments: Tensor
        self.total: Tensor
        self.register_buffer("moments", torch.zeros(2))
        self.register_buffer("total", torch.zeros(()))

    @torch.no_grad()
    def update(self, ret: Tensor, advantage: Tensor) -> None:
        """Update the moments by advantages (N, L)."""
        x = advantage.float()
        self.moments.lerp_(torch.stack([current().mean(x), current().mean(x.square())]), self.rate)
        self.total.lerp_(torch.ones_like(self.total), self.rate)

    def stats(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation, the latter at least `limit`."""
        mean, square = (self.moments / self.total.clamp(min=self.rate) if self.debias else self.moments).clone()
        return mean, (square - mean.square()).relu().sqrt().clamp(min=self.limit)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L) -> (N, L)."""
        mean, std = self.stats()
        return (x - mean) / std
