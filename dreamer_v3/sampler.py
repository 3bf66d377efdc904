"""Window sampling: any window of a stream, whether or not an episode ends in it, and every record once soon."""

import numpy as np

from common.replay import Ring


class Windows:
    """Uniform over all windows of T records plus context, stride 1.

    With `online`, each stream is also cut into windows that do not overlap, from record 1 on; each is served once, as
    soon as it is complete, before the uniform draws fill the batch. Windows pushed out before their turn are skipped.
    """

    def __init__(self, *, online: bool = True):
        self.online = online
        self.size = 0
        self.served = 0  # of the queued windows, counted over streams first, then time

    def rebuild(self, ring: Ring) -> None:
        """Queues nothing of what is stored already: cut into windows of one record, all of it has been served."""
        if ring.count:
            self.size, self.served = 1, ring.streams * (ring.count - 1)

    def observe(self, ring: Ring) -> None:
        """New records are looked at when windows are drawn."""

    def waiting_reason(self, ring: Ring, batch: int, length: int, context: int) -> str:
        """Training starts at B x T windows, or at all that fit into a smaller replay."""
        size = length + context
        windows = max(0, ring.count - ring.oldest - size + 1) * ring.streams
        need = max(1, min(batch * length, (ring.slots - size + 1) * ring.streams))
        return "" if windows >= need else f"{windows} of {need} windows are stored"

    def draw(
        self, ring: Ring, rng: np.random.Generator, batch: int, length: int, context: int, report: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Streams and starts, int64 (B,) each; the queued windows come first."""
        size = length + context
        queued = self._queued(ring, batch, size) if self.online and not report else np.zeros((2, 0), np.int64)
        windows = (ring.count - ring.oldest - size + 1) * ring.streams
        offset, stream = np.divmod(rng.integers(windows, size=batch - queued.shape[1]), ring.streams)
        first, stream = np.concatenate([queued, [ring.oldest + offset, stream]], 1)
        return stream, first + context

    def _queued(self, ring: Ring, batch: int, size: int) -> np.ndarray:
        """Takes up to `batch` windows from the queue: (first record, stream), (2, <= B)."""
        if size != self.size:  # a new length cuts from here on, the very first one from the beginning
            self.served = ring.streams * -(-(ring.count - 1) // size) if self.size else 0
            self.size = size
        complete = ring.streams * ((ring.count - 1) // size)
        kept = ring.streams * max(0, -(-(ring.oldest - 1) // size))
        first = max(self.served, kept)
        self.served = max(first, min(complete, first + batch))
        window, stream = np.divmod(np.arange(first, self.served), ring.streams)
        return np.stack([1 + window * size, stream])

    def state(self) -> dict:
        return {"size": self.size, "served": self.served}

    def restore(self, state: dict) -> None:
        self.size, self.served = state["size"], state["served"]
