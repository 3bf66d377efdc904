"""Lambda-returns and what behaviour learning needs of them."""

from typing import NamedTuple

import torch
from torch import Tensor


class Targets(NamedTuple):
    """Imagined returns (N, H) and which of them train what.

    critic, actor: slices of the H+1 imagined states. The returns for them and their weights are (N, L) each.
    """

    ret: Tensor
    critic: slice
    critic_ret: Tensor
    critic_weight: Tensor
    actor: slice
    actor_ret: Tensor
    actor_weight: Tensor


def backward_scan(inputs, factors, last):
    """x[t] = inputs[t] + factors[t] x[t+1] with x[L] = last: (N, L), (N, L), (N,) -> (N, L)."""
    outs = []
    for t in reversed(range(inputs.shape[1])):
        last = inputs[:, t] + factors[:, t] * last
        outs.append(last)
    return torch.stack(outs[::-1], 1)


def lambda_returns(reward, con, boot, last, lam):
    """x[t] = reward[t] + con[t] ((1 - lam) boot[t] + lam x[t+1]) with x[L] = last.

    Rewards, discounts and values one step later (N, L), last (N,) -> (N, L).
    """
    return backward_scan(reward + (1 - lam) * con * boot, lam * con, last)


def discount_weights(con):
    """Cumulative discounts before each state: (N, L) -> (N, L+1) that begin with 1."""
    return torch.cat([torch.ones_like(con[:, :1]), con], 1).cumprod(1)


class Unscaled(torch.nn.Module):
    """Returns and advantages as they are (V1, V2)."""

    def update(self, ret, advantage):
        """Nothing to keep."""

    def forward(self, x):
        return x


class RawReward(torch.nn.Module):
    """Imagined rewards as they are."""

    def forward(self, reward):
        return reward
