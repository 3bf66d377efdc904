"""Episode sampling of V1 and V2: first a uniform episode, then a window in it."""

from array import array

import numpy as np

from common.errors import UserError
from common.replay import Ring


class Episodes:
    """`sampler` part: draws a finished episode uniformly, with replacement; then a uniform start.

    An episode of n >= T records starts at min(U{0 .. upper - 1}, n - T), where upper = n - T + 1 + ends.
    A row of a shorter episode continues with the next episodes of its stream, each marked by `is_first`. If too few
    records follow yet, the row begins earlier. If the replay dropped the beginning of an episode, the rest counts as
    the episode. Source: V1 `tools.load_episodes`; V2 `common/replay.py` `Replay`.

    balance: upper = n: the last window is T times as likely as any other.
    ends: extra probability of the last window, in starts.
    inclusive: False excludes the last window (upper = n - T + ends).
    minimum: episodes with fewer records are not drawn. With the batch length, no row crosses the end of an episode.
    ongoing: also draw episodes that are not finished.
    """

    def __init__(
        self,
        *,
        balance: bool = False,
        ends: int = 0,
        inclusive: bool = True,
        minimum: int = 1,
        ongoing: bool = False,
    ):
        if ends < 0 or minimum < 1:
            raise UserError(f"sampler.ends must be >= 0 and sampler.minimum >= 1, got {ends} and {minimum}.")
        self.balance, self.ends, self.inclusive = balance, ends, inclusive
        self.minimum, self.ongoing = minimum, ongoing
        self.finished = FinishedEpisodes()
        self.begin: list[int] = []  # of each stream, the first record of the current episode

    def rebuild(self, ring: Ring) -> None:
        """Find the episodes of all stored records."""
        self.finished = FinishedEpisodes()
        self.begin = [ring.oldest - 1] * ring.streams
        first, last = (ring.block(key, ring.oldest, ring.count) for key in ("is_first", "is_last"))
        for offset in np.flatnonzero((first | last).any(0)).tolist():
            self._mark(ring, ring.oldest + offset, first[:, offset], last[:, offset])

    def observe(self, ring: Ring) -> None:
        """Take note of the newest record."""
        slot = (ring.count - 1) % ring.slots
        self._mark(ring, ring.count - 1, ring.arrays["is_first"][:, slot], ring.arrays["is_last"][:, slot])

    def _mark(self, ring: Ring, number: int, first: np.ndarray, last: np.ndarray) -> None:
        """Close episodes, those without an end first, so that the table stays sorted by their last record."""
        for stream in np.flatnonzero(first).tolist():
            self._close(ring, stream, number)
        for stream in np.flatnonzero(last).tolist():
            self._close(ring, stream, number + 1)
        while len(self.finished) and self.finished[0][2] - ring.oldest < self.minimum:
            self.finished.pop()

    def _close(self, ring: Ring, stream: int, stop: int) -> None:
        begin, self.begin[stream] = self.begin[stream], stop
        if stop - max(begin, ring.oldest) >= self.minimum:
            self.finished.push(stream, begin, stop)

    def _running(self, ring: Ring) -> list:
        spans = [(stream, begin, ring.count) for stream, begin in enumerate(self.begin)] if self.ongoing else []
        return [x for x in spans if ring.count - max(x[1], ring.oldest) >= self.minimum]

    def waiting_reason(self, ring: Ring, batch: int, length: int, context: int) -> str:
        """Return why training must wait: for a first episode, or for the records of one row; else an empty string."""
        if len(self.finished) + len(self._running(ring)) == 0:
            least = f" of {self.minimum} or more records" if self.minimum > 1 else ""
            return f"no finished episode{least} is stored (sampler.minimum, sampler.ongoing and env.time_limit matter)"
        stored = ring.count - ring.oldest
        need = length + context
        return "" if stored >= need else f"{stored} of {need} records of each environment are stored"

    def draw(
        self, ring: Ring, rng: np.random.Generator, batch: int, length: int, context: int, report: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return streams and starts of rows, int64 (B,) each."""
        running = self._running(ring)
        choice = rng.integers(len(self.finished) + len(running), size=batch)
        known = len(self.finished)
        spans = [self.finished[i] if i < known else running[i - known] for i in choice.tolist()]
        stream, begin, stop = np.array(spans, np.int64).T
        begin = np.where(begin < ring.oldest, ring.oldest + context, begin)
        last = np.maximum(stop - begin - length, 0)
        start = begin + np.minimum(rng.integers(self._upper(stop - begin, length)), last)
        return stream, np.minimum(start, ring.count - length)

    def _upper(self, total: np.ndarray, length: int) -> np.ndarray:
        upper = total if self.balance else total - length + int(self.inclusive) + self.ends
        return np.where(total > length, np.maximum(upper, 1), 1)

    def state(self) -> dict:
        """Return nothing: `rebuild` finds all of it in the records."""
        return {}

    def restore(self, state: dict) -> None:
        """Do nothing, see `state`."""


class FinishedEpisodes:
    """First-in, first-out table of (stream, begin, stop), 24 bytes each."""

    def __init__(self) -> None:
        self.values = array("q")
        self.head = 0

    def __len__(self) -> int:
        return len(self.values) // 3 - self.head

    def __getitem__(self, index: int) -> tuple[int, int, int]:
        at = (self.head + index) * 3
        return self.values[at], self.values[at + 1], self.values[at + 2]

    def push(self, stream: int, begin: int, stop: int) -> None:
        self.values.extend((stream, begin, stop))

    def pop(self) -> None:
        self.head += 1
        if self.head > 1024 and self.head > len(self):
            del self.values[: self.head * 3]
            self.head = 0
