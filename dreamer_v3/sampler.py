"""Window sampling of V3: any window of a stream, across episodes, and every new record once, soon."""

import numpy as np

from common.replay import Ring


class Windows:
    """`sampler` part: uniform over all windows of T records plus context, stride 1.

    online: also cut each stream into windows that do not overlap, from record 1 on. Each is served once, as soon as it
    is complete; uniform draws fill the batch. Windows that the replay drops before their turn are skipped.
    Source: V3 `embodied/core/replay.py` `Replay` with `online`.
    """

    def __init__(self, *, online: bool = True):
        self.online = online
        self.size = 0
        self.served = 0  # queued windows served so far, counted over streams first, then time

    def rebuild(self, ring: Ring) -> None:
        """Queue nothing of the stored records: cut into windows of one record, all of them count as served."""
        if ring.count:
            self.size, self.served = 1, ring.streams * (ring.count - 1)

    def observe(self, ring: Ring) -> None:
        """Do nothing: `draw` finds new records."""

    def waiting_reason(self, ring: Ring, batch: int, length: int, context: int) -> str:
        """Return why training must wait: for B x T windows, or for all that fit into a smaller replay; else ''."""
        size = length + context
        windows = max(0, ring.count - ring.oldest - size + 1) * ring.streams
        need = max(1, min(batch * length, (ring.slots - size + 1) * ring.streams))
        return "" if windows >= need else f"{windows} of {need} windows are stored"

    def draw(
        self, ring: Ring, rng: np.random.Generator, batch: int, length: int, context: int, report: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return streams and starts of rows, int64 (B,) each; the queued windows come first."""
        size = length + context
        queued = self._queued(ring, batch, size) if self.online and not report else np.zeros((2, 0), np.int64)
        rest = self.pick(ring, rng, batch - queued.shape[1], length, context, report)
        first, stream = np.concatenate([queued, rest], 1)
        return stream, first + context

    def pick(
        self, ring: Ring, rng: np.random.Generator, count: int, length: int, context: int, report: bool
    ) -> np.ndarray:
        """Draw `count` windows uniformly: rows of first records, context included, and of streams, (2, count)."""
        windows = (ring.count - ring.oldest - length - context + 1) * ring.streams
        offset, stream = np.divmod(rng.integers(windows, size=count), ring.streams)
        return np.stack([ring.oldest + offset, stream])

    def _queued(self, ring: Ring, batch: int, size: int) -> np.ndarray:
        """Take up to `batch` windows from the queue: rows of first records and streams, (2, <= B)."""
        if size != self.size:  # a new length cuts from the current record; the very first length cuts from record 1
            self.served = ring.streams * -(-(ring.count - 1) // size) if self.size else 0
            self.size = size
        complete = ring.streams * ((ring.count - 1) // size)
        kept = ring.streams * max(0, -(-(ring.oldest - 1) // size))
        first = max(self.served, kept)
        self.served = max(first, min(complete, first + batch))
        window, stream = np.divmod(np.arange(first, self.served), ring.streams)
        return np.stack([1 + window * size, stream])

    def state(self) -> dict:
        """Return the state of the queue for the checkpoint."""
        return {"size": self.size, "served": self.served}

    def restore(self, state: dict) -> None:
        """Load what `state` returned."""
        self.size, self.served = state["size"], state["served"]
