"""When a task is due, and where the time of a run is spent."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator


class Clock:
    """Due once per multiple of `every` frames; 0 means never. A multiple that was passed over is not made up for."""

    def __init__(self, every: int) -> None:
        self.every, self.last = every, 0

    def due(self, frames: int) -> bool:
        """Whether a multiple was reached since `mark`."""
        return self.every > 0 and frames // self.every > self.last // self.every

    def mark(self, frames: int) -> None:
        """Record that the task was done at `frames`."""
        self.last = frames


class Stopwatch:
    """Share of the time spent in each named part of the loop."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = defaultdict(float)
        self._since = time.perf_counter()

    @contextlib.contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Add the time of a block to `part`."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._spent[part] += time.perf_counter() - begin

    def take(self) -> dict[str, float]:
        """Return `{'time/<part>': share}` since the last call."""
        now = time.perf_counter()
        total = max(now - self._since, 1e-9)
        shares = {f"time/{part}": spent / total for part, spent in self._spent.items()}
        self._spent, self._since = defaultdict(float), now
        return shares
