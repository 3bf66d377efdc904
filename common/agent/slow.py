"""Slow critics: which critic values come from, and what the slow one adds."""

import copy

import torch
from torch import nn


class NoSlow(nn.Module):
    """Values come from the critic itself (V1)."""

    def setup(self, critic):
        """Called once with the initialised critic."""

    def target(self, critic, feat):
        """(..., F) -> values (...) for returns and baseline."""
        return critic.pred(feat)

    def regularize(self, critic, out, feat):
        """Loss to add to the critic's, (...), from its outputs on feat."""
        return torch.zeros(feat.shape[:-1], device=feat.device)

    def update(self, critic):
        """Called after every update."""


class SlowCopy(NoSlow):
    """A second critic without gradient that follows the first: `slow`, and the count of updates in the checkpoint."""

    def setup(self, critic):
        self.slow = copy.deepcopy(critic).requires_grad_(False)
        self.updates = 0

    @torch.no_grad()
    def move_towards(self, critic, rate):
        """slow <- rate critic + (1 - rate) slow."""
        for slow, fast in zip(self.slow.parameters(), critic.parameters(), strict=True):
            slow.lerp_(fast, rate)

    def get_extra_state(self):
        return {"updates": self.updates}

    def set_extra_state(self, state):
        self.updates = state["updates"]
