"""Numbers about actors for the logs."""

import time


class ActorStatistics:
    """Lag of the policy and speed of all actors between two lines of metrics."""

    def __init__(self) -> None:
        self.lags: list[int] = []
        self.steps, self.since = 0, time.monotonic()

    def add(self, lag: int, steps: int) -> None:
        """Add a chunk: updates between its weights and the newest, agent steps."""
        self.lags.append(lag)
        self.steps += steps

    def take(self) -> dict[str, float]:
        """Return the metrics since the last call; without records, only the speed of 0."""
        now = time.monotonic()
        speed = self.steps / max(now - self.since, 1e-9)
        lags, self.lags, self.steps, self.since = self.lags, [], 0, now
        found = {"actors/steps_per_second": speed}
        return found | ({"actors/lag": sum(lags) / len(lags), "actors/lag_max": float(max(lags))} if lags else {})
