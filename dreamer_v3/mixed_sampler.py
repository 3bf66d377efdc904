"""Window sampling of V3 with mixtures: uniform, by priority, by recency. Off in the published settings."""

from typing import Any

import numpy as np
import torch

from common.errors import UserError
from common.replay import Ring
from dreamer_v3.priorities import Priorities
from dreamer_v3.sampler import Windows


class MixedWindows(Windows):
    """`sampler` part: each window is drawn by priority, by recency or uniformly; the shares of the three sum to 1.

    Priority: the world model's loss of each record when it was last trained on: decoder and KL, without scales. A
    window that is drawn has priority 0 until then. Recency: the probability falls with the number of newer windows of
    the stream, as 1 / (newer + 1) ** recency_exponent; a replay that is not full compresses the same curve.
    Source: V3 `embodied/core/selectors.py`, `replay.fracs` and `replay.prio`; the code of 2024 computes the loss.

    online: as in `Windows`; these windows come first. priority, recency: shares of the draws.
    exponent: of the priorities. maximum: weight of the highest priority of a window, the rest is that of the mean.
    """

    def __init__(
        self,
        *,
        online: bool = True,
        priority: float = 0.25,
        recency: float = 0.25,
        exponent: float = 0.8,
        maximum: float = 0.5,
        recency_exponent: float = 1.0,
    ):
        super().__init__(online=online)
        if min(priority, recency) < 0 or priority + recency > 1:
            raise UserError(
                f"sampler.priority and sampler.recency must not be negative and must sum to at most 1, "
                f"got {priority} and {recency}."
            )
        if exponent < 0 or recency_exponent < 0 or not 0 <= maximum <= 1:
            raise UserError(
                "sampler.exponent and sampler.recency_exponent must not be negative, and sampler.maximum must be "
                f"between 0 and 1, got {exponent}, {recency_exponent} and {maximum}."
            )
        self.priority, self.recency = priority, recency
        self.exponent, self.maximum, self.recency_exponent = exponent, maximum, recency_exponent
        self.ages = np.zeros(0)
        self.ring: Ring | None = None

    def rebuild(self, ring: Ring) -> None:
        """Give all stored records an infinite priority."""
        super().rebuild(ring)
        self.ring, self.priorities = ring, Priorities(ring, self.exponent, self.maximum)

    def observe(self, ring: Ring) -> None:
        """Give the newest records an infinite priority."""
        self.priorities.add(ring)

    def pick(
        self, ring: Ring, rng: np.random.Generator, count: int, length: int, context: int, report: bool
    ) -> np.ndarray:
        """Return first records and streams of `count` windows with their context, (2, count)."""
        size = length + context
        windows = super().pick(ring, rng, count, length, context, report)
        share = rng.random(count)
        recent = np.flatnonzero((share >= self.priority) & (share < self.priority + self.recency))
        windows[0, recent] = ring.count - size - self._ages(ring, rng.random(len(recent)), size)
        if self.priority:
            self.priorities.synchronize(ring, length, context)
        for row in np.flatnonzero(share < self.priority).tolist():
            if (drawn := self.priorities.draw(rng)) is not None:
                windows[:, row] = drawn[1] - context, drawn[0]
            if not report:
                self._clear(windows[1, row], windows[0, row] + context + np.arange(length))
        return windows

    def _ages(self, ring: Ring, uniform: np.ndarray, size: int) -> np.ndarray:
        """Return how many newer windows of the stream there are, for each number in [0, 1)."""
        most = ring.slots - size + 1
        if len(self.ages) != most:
            self.ages = np.cumsum(1 / np.arange(1, most + 1) ** self.recency_exponent)
        age = np.searchsorted(self.ages, uniform * self.ages[-1], "right").clip(0, most - 1)
        return age * (ring.count - ring.oldest - size + 1) // most

    def _clear(self, stream: np.ndarray, number: np.ndarray) -> None:
        """Set the priorities of one window to 0."""
        row = number[None]
        self.priorities.set(np.full_like(row, stream), row, np.zeros(row.shape), np.ones(row.shape, bool))

    def set_priorities(self, stream: np.ndarray, number: np.ndarray, priority: np.ndarray) -> None:
        """Set the priorities of rows of consecutive records, arrays (B, T); those that were dropped are ignored."""
        assert self.ring is not None, "no record is stored"
        self.priorities.set(stream, number, priority, (number >= self.ring.oldest) & (number < self.ring.count))

    def state(self) -> dict[str, Any]:
        """Return the state of the queue and the priorities of all stored records for the checkpoint."""
        state = super().state()
        if self.ring is not None and self.priority:
            numbers = np.arange(self.ring.oldest, self.ring.count)
            values = self.priorities.values[:, numbers % self.ring.slots]
            state |= {"oldest": self.ring.oldest, "values": torch.from_numpy(values)}
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Load what `state` returned; a smaller replay keeps the newest records."""
        super().restore(state)
        if self.ring is not None and "values" in state:
            values, skipped = state["values"].numpy(), self.ring.oldest - state["oldest"]
            numbers = np.arange(self.ring.oldest, self.ring.count)
            self.priorities.values[:, numbers % self.ring.slots] = values[:, skipped:]
            self.priorities.window = 0, 0  # the tables are computed again
