"""Lambda-returns, targets, and the parts that turn a normaliser or the replayed values off."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from common.agent.interfaces import Batch, Losses

if TYPE_CHECKING:
    from common.agent.behavior import Behavior
    from common.agent.rssm import LatentState


class Targets(NamedTuple):
    """Imagined returns (N, H), and which of them train actor and critic.

    critic, actor: slices of the H+1 imagined states. Their returns and weights are (N, L) each.
    """

    ret: Tensor
    critic: slice
    critic_ret: Tensor
    critic_weight: Tensor
    actor: slice
    actor_ret: Tensor
    actor_weight: Tensor


def backward_scan(inputs: Tensor, factors: Tensor, last: Tensor) -> Tensor:
    """Compute x[t] = inputs[t] + factors[t] x[t+1] with x[L] = last: (N, L), (N, L), (N,) -> (N, L)."""
    outs = []
    for t in reversed(range(inputs.shape[1])):
        last = inputs[:, t] + factors[:, t] * last
        outs.append(last)
    return torch.stack(outs[::-1], 1)


def lambda_returns(reward: Tensor, con: Tensor, boot: Tensor, last: Tensor, lam: float) -> Tensor:
    """Compute x[t] = reward[t] + con[t] ((1 - lam) boot[t] + lam x[t+1]) with x[L] = last.

    reward, discount `con`, and value `boot` of the next step (N, L), last (N,) -> (N, L).
    """
    return backward_scan(reward + (1 - lam) * con * boot, lam * con, last)


def discount_weights(con: Tensor) -> Tensor:
    """Return the cumulative discount before each state, which begins with 1: (N, L) -> (N, L+1)."""
    return torch.cat([torch.ones_like(con[:, :1]), con], 1).cumprod(1)


class Unscaled(nn.Module):
    """`advantage` part: x, unchanged (V1, V2)."""

    def update(self, ret: Tensor, advantage: Tensor) -> None:
        """Keep no statistics."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, L) -> (N, L)."""
        return x


class RawReward(nn.Module):
    """`reward_norm` part: imagined rewards, unchanged (V1, V3)."""

    def forward(self, reward: Tensor) -> Tensor:
        """(N, H+1) -> (N, H+1)."""
        return reward


class NoReplayValue:
    """`replay_value` part: the critic learns from imagination only (V1, V2)."""

    through_model = False

    def __init__(self) -> None:
        self.scales: dict[str, float] = {}
        self.trained_groups: dict[str, tuple[str, ...]] = {}

    def __call__(self, behavior: Behavior, states: LatentState, batch: Batch, ret: Tensor) -> Losses:
        """Return no loss."""
        return {}
