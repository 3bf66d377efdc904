"""Priorities of records, and windows drawn in proportion to the priorities of their records."""

import numpy as np

from common.replay import Ring

BLOCK = 1024  # windows whose weights have a common sum
STRETCH = 4096  # windows of each stream whose weights are computed at once


class Priorities:
    """Weights of all windows of a ring: share * max + (1 - share) * mean of the priorities of the T records.

    New records have an infinite priority: windows that hold one are drawn before all others, uniformly. `values` has
    the priorities, raised to `exponent`. `weights` and `fresh`, each with the sums of its blocks, are tables of windows
    by stream and by the slot of their first record; windows that are not stored have no weight.
    Source: V3 `embodied/core/selectors.py` `Prioritized`.
    """

    def __init__(self, ring: Ring, exponent: float, share: float):
        self.exponent, self.share = exponent, share
        self.values = np.full((ring.streams, ring.slots), np.inf, np.float32)
        self.blocks = -(-ring.slots // BLOCK)
        self.window = 0, 0  # T and context of the tables
        self.stored = range(0)  # numbers of the first records of the windows in the tables

    def add(self, ring: Ring) -> None:
        """Give the newest record of each stream an infinite priority."""
        self.values[:, (ring.count - 1) % ring.slots] = np.inf

    def synchronize(self, ring: Ring, length: int, context: int) -> None:
        """Bring the tables up to date with the records that were added and dropped."""
        if self.window != (length, context):
            self.window, self.stored = (length, context), range(0)
            self.weights = np.zeros((ring.streams * self.blocks, BLOCK), np.float32)
            self.fresh = np.zeros((ring.streams * self.blocks, BLOCK), bool)
            self.sums = {"weights": np.zeros(len(self.weights)), "fresh": np.zeros(len(self.weights))}
        before, self.stored = self.stored, range(ring.oldest + context, ring.count - length + 1)
        for number in range(before.start, min(before.stop, self.stored.start)):
            self._write(np.arange(ring.streams), np.full(ring.streams, number % ring.slots), 0.0, False)
        streams = np.arange(ring.streams)
        for first in range(max(before.stop, self.stored.start), self.stored.stop, STRETCH):
            width = min(STRETCH, self.stored.stop - first)
            self._refresh(streams, np.full(ring.streams, first), width)

    def draw(self, rng: np.random.Generator) -> tuple[int, int] | None:
        """Return stream and first record of a window, or None if all weights are 0."""
        name = "fresh" if self.sums["fresh"].any() else "weights"
        if not self.sums[name].any():
            return None
        block = pick(self.sums[name], rng)
        slot = block % self.blocks * BLOCK + pick(getattr(self, name)[block].astype(float), rng)
        slots = self.values.shape[1]
        return block // self.blocks, self.stored.start + (slot - self.stored.start) % slots

    def set(self, stream: np.ndarray, number: np.ndarray, priority: np.ndarray, stored: np.ndarray) -> None:
        """Set the priorities of rows of consecutive records; arrays (B, T), `stored` flags those in the ring."""
        slots = self.values.shape[1]
        values = np.maximum(priority, 0).astype(np.float32) ** np.float32(self.exponent)
        self.values[stream[stored], number[stored] % slots] = values[stored]
        if self.window[0]:
            before = self.window[0] - 1
            self._refresh(stream[:, 0], number[:, 0] - before, before + number.shape[1])

    def _refresh(self, stream: np.ndarray, first: np.ndarray, width: int) -> None:
        """Compute the weights of the windows that begin at records first .. first + width - 1 of each stream (n,)."""
        length, slots = self.window[0], self.values.shape[1]
        number = first[:, None] + np.arange(width + length - 1)
        values = self.values[stream[:, None], number % slots]
        rows = np.lib.stride_tricks.sliding_window_view(values, length, 1).copy()
        fresh = np.isinf(rows).any(-1)
        rows[fresh] = 0
        weights = self.share * rows.max(-1) + (1 - self.share) * rows.mean(-1)
        start = number[:, :width]
        known = (start >= self.stored.start) & (start < self.stored.stop)
        stream = np.broadcast_to(stream[:, None], start.shape)
        self._write(stream[known], start[known] % slots, weights[known], fresh[known])

    def _write(
        self, stream: np.ndarray, slot: np.ndarray, weights: np.ndarray | float, fresh: np.ndarray | bool
    ) -> None:
        block, place = stream * self.blocks + slot // BLOCK, slot % BLOCK
        self.weights[block, place], self.fresh[block, place] = weights, fresh
        changed = np.unique(block)
        self.sums["weights"][changed] = self.weights[changed].sum(1, np.float64)
        self.sums["fresh"][changed] = self.fresh[changed].sum(1)


def pick(weights: np.ndarray, rng: np.random.Generator) -> int:
    """Draw an index in proportion to weights (n,), of which one is positive."""
    sums = np.cumsum(weights)
    return int(np.searchsorted(sums, min(rng.random() * sums[-1], np.nextafter(sums[-1], 0)), "right"))
