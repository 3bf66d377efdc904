"""Slow critics: which critic values come from, and what the slow one adds to the loss."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from common.agent.heads import Head


class NoSlow(nn.Module):
    """`slow` part without a slow critic: values come from the critic itself (V1)."""

    def setup(self, critic: Head) -> None:
        """Keep nothing of the initialised critic."""

    def target(self, critic: Head, feat: Tensor) -> Tensor:
        """Return values for returns and baseline: (..., F) -> (...)."""
        return critic.pred(feat)

    def regularize(self, critic: Head, out: Tensor, feat: Tensor) -> Tensor:
        """Return a loss to add to the critic's, from its outputs on feat (..., F): zeros (...)."""
        return torch.zeros(feat.shape[:-1], device=feat.device)

    def update(self, critic: Head) -> None:
        """Do nothing after an update."""


class SlowCopy(NoSlow):
    """Base of slow critics: a copy without gradient that follows the critic.

    The module `slow` and the count of updates are in the checkpoint.
    """

    def setup(self, critic: Head) -> None:
        """Copy the initialised critic."""
        self.slow = copy.deepcopy(critic).requires_grad_(False)
        self.updates = 0

    @torch.no_grad()
    def move_towards(self, critic: Head, rate: float) -> None:
        """Set slow <- rate critic + (1 - rate) slow."""
        for slow, fast in zip(self.slow.parameters(), critic.parameters(), strict=True):
            slow.lerp_(fast, rate)

    def get_extra_state(self) -> dict[str, int]:
        return {"updates": self.updates}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.updates = state["updates"]
