"""What comes into the logs: finite numbers."""

import math
from collections.abc import Callable


class FiniteMetrics:
    """Keeps metrics out of the logs that are NaN or infinite, and tells each of their names once.

    A metric is for people to read: it is no reason to end a run, whose losses, gradients, weights and actions are
    watched.
    """

    def __init__(self, tell: Callable[[str], None]):
        self.tell, self.told = tell, set[str]()

    def __call__(self, metrics: dict[str, float]) -> dict[str, float]:
        """Those that are finite."""
        sound = {name: value for name, value in metrics.items() if math.isfinite(value)}
        new = [name for name in metrics if name not in sound and name not in self.told]
        if new:
            self.told |= set(new)
            self.tell(f"Not finite, and left out of the logs where it is not: {', '.join(new)}.")
        return sound
