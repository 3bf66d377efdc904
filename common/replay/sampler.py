"""What a sampler of windows has to offer."""

from typing import Protocol

import numpy as np

from common.replay.ring import Ring


class Sampler(Protocol):
    """Chooses windows. A row is `length` records from number `start` on; `context` records before it must be stored."""

    def rebuild(self, ring: Ring) -> None:
        """Starts anew from all that the ring holds."""

    def observe(self, ring: Ring) -> None:
        """Takes note of the record added last, and of what it pushed out."""

    def waiting_reason(self, ring: Ring, batch: int, length: int, context: int) -> str:
        """Why training should not start yet, or an empty string; batch 0: why no row can be drawn."""

    def draw(
        self, ring: Ring, rng: np.random.Generator, batch: int, length: int, context: int, report: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Streams and starts of `batch` rows, int64 (B,) each. A report must leave no trace in the sampler."""

    def state(self) -> dict:
        """What `rebuild` cannot know."""

    def restore(self, state: dict) -> None:
        """Takes back `state`, after `rebuild`."""
