"""The interface of a sampler of windows."""

from typing import Any, Protocol

import numpy as np

from common.replay.ring import Ring


class Sampler(Protocol):
    """Chooses the windows of a batch.

    A window has the `length` records of a stream from number `start` on. The `context` records before it are stored.

    A sampler with an option `priority` that is not 0 also has `set_priorities(stream, number, priority)`: after each
    update it receives the world model's loss of the trained records, arrays (B, T). They may have left the ring.
    """

    def rebuild(self, ring: Ring) -> None:
        """Start over from all records in `ring`. Called once, when the replay gets its ring."""

    def observe(self, ring: Ring) -> None:
        """Take note of the newest record of each stream, and of the record that it replaced."""

    def waiting_reason(self, ring: Ring, batch: int, length: int, context: int) -> str:
        """Return why training cannot start yet, or ''. With batch 0: why no window can be drawn."""

    def draw(
        self, ring: Ring, rng: np.random.Generator, batch: int, length: int, context: int, report: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return streams and starts of `batch` windows, int64 (B,) each. A report must not change the sampler."""

    def state(self) -> dict[str, Any]:
        """Return what `rebuild` cannot derive from the records, for a checkpoint.

        Values are ints, or float32 tensors (streams, records stored) next to the number of the `oldest` record.
        """

    def restore(self, state: dict[str, Any]) -> None:
        """Set what `state` returned. Called after `rebuild`."""
