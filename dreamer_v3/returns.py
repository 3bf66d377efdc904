"""Returns of V3 and the scale of its advantages."""

import torch
from torch import nn

from common.agent.returns import Targets, backward_scan, lambda_returns
from common.errors import UserError, check_choice


class DepartureReturns:
    """R_t = r_{t+1} + c_{t+1} ((1 - lam) v_{t+1} + lam R_{t+1}), bootstrapped with v_H.

    The value of a state starts with the next reward, and the action at s_t is credited with R_t.

    first: continuation of the start state as its weight, pred (from the head), true (1 - is_terminal, V3-2023 and 2024)
    or one. Source: V3 `agent.imag_loss`, `agent.repl_loss`, `agent.lambda_return`.
    """

    min_horizon = 1  # horizon that leaves a step for every loss

    def __init__(self, *, lam: float = 0.95, first: str = "pred"):
        check_choice("returns.first", first, ("true", "pred", "one"))
        self.lam, self.first = lam, first

    def first_con(self, pred, con, is_terminal, discount):
        """Continuation of the start states (N,), with the part of the discount that sits outside the head."""
        if self.first == "pred":
            return pred
        alive = (~is_terminal).float() if self.first == "true" else torch.ones_like(pred)
        return alive * con.outer_discount

    def __call__(self, reward, value, con, outside) -> Targets:
        """Predictions (N, H+1) at the imagined states, the start included."""
        ret = lambda_returns(reward[:, 1:], con[:, 1:], value[:, 1:], value[:, -1], self.lam)
        weight, states = (con.cumprod(1) / outside).detach()[:, :-1], slice(0, ret.shape[1])
        return Targets(ret, states, ret, weight, states, ret, weight)

    def replay(self, reward, is_last, is_terminal, boot, discount):
        """Returns of a replayed sequence from imagined ones `boot`: all (B, T) -> (B, T-1)."""
        live = discount * (~is_terminal).float()[:, 1:]
        keep = self.lam * (~is_last).float()[:, 1:]
        inputs = reward[:, 1:] + live * (1 - keep) * boot[:, 1:]
        return backward_scan(inputs, live * keep, boot[:, -1])


class PercentileReturnNorm(nn.Module):
    """Divides by the running range between the 5th and 95th percentile of returns, at least `limit`.

    The two percentiles are averaged with `rate`, starting at 0; updated before use. Source: V3 `utils.Normalize`.
    """

    def __init__(
        self, *, rate: float = 0.01, limit: float = 1.0, low: float = 5.0, high: float = 95.0, debias: bool = False
    ):
        super().__init__()
        if low >= high:
            raise UserError(f"advantage.low must be below advantage.high, got {low} and {high}.")
        self.rate, self.limit, self.debias = rate, limit, debias
        self.register_buffer("ranks", torch.tensor([low, high]) / 100, persistent=False)
        self.register_buffer("range", torch.zeros(2))
        self.register_buffer("total", torch.zeros(()))

    @torch.no_grad()
    def update(self, ret, advantage):
        """Takes in returns (N, L); advantages are not needed here."""
        self.range.lerp_(quantiles(ret.float().flatten(), self.ranks), self.rate)
        self.total.lerp_(torch.ones_like(self.total), self.rate)

    def stats(self):
        """offset, scale: the low percentile and the range."""
        low, high = (self.range / self.total.clamp(min=self.rate) if self.debias else self.range).clone()
        return low, (high - low).clamp(min=self.limit)

    def forward(self, x):
        """(N, L) -> x / range."""
        return x / self.stats()[1]


def quantiles(x, ranks):
    """Linearly interpolated quantiles of (M,) for any M (torch.quantile stops at 2^24 elements)."""
    place = ranks * (len(x) - 1)
    ordered = x.sort().values
    low = ordered[place.floor().long()]
    return low + (ordered[place.ceil().long()] - low) * place.frac()


class AdvantageNorm(nn.Module):
    """Subtracts the running mean of advantages and divides by their running standard deviation (V3 `advnorm`)."""

    def __init__(self, *, rate: float = 0.01, limit: float = 1e-8, debias: bool = False):
        super().__init__()
        self.rate, self.limit, self.debias = rate, limit, debias
        self.register_buffer("moments", torch.zeros(2))
        self.register_buffer("total", torch.zeros(()))

    @torch.no_grad()
    def update(self, ret, advantage):
        """Takes in advantages (N, L); returns are not needed here."""
        x = advantage.float()
        self.moments.lerp_(torch.stack([x.mean(), x.square().mean()]), self.rate)
        self.total.lerp_(torch.ones_like(self.total), self.rate)

    def stats(self):
        """offset, scale: mean and standard deviation."""
        mean, square = (self.moments / self.total.clamp(min=self.rate) if self.debias else self.moments).clone()
        return mean, (square - mean.square()).relu().sqrt().clamp(min=self.limit)

    def forward(self, x):
        """(N, L) -> (x - mean) / std."""
        mean, std = self.stats()
        return (x - mean) / std
