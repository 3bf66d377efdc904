"""When to update: as often as a ratio of replayed to collected steps asks for."""

from fractions import Fraction


class Ratio:
    """One update at the first call; after it `ratio` replayed steps per agent step, exactly, with no debt lost."""

    def __init__(self, *, ratio: float = 512.0):
        self.ratio = ratio
        self.last: int | None = None
        self.debt = Fraction(0)  # replayed steps due and not yet replayed

    def due(self, agent_steps: int, *, repeat: int, replayed_per_update: int) -> int:
        """Updates due now, after `agent_steps` steps over all environments."""
        if not self.ratio:
            return 0
        if self.last is None:
            self.last = agent_steps
            return 1
        self.debt += max(0, agent_steps - self.last) * Fraction(str(self.ratio))
        self.last = max(self.last, agent_steps)
        updates = int(self.debt // replayed_per_update)
        self.debt -= updates * replayed_per_update
        return updates

    def state(self) -> dict:
        """What a checkpoint keeps, as plain Python."""
        return {"last": self.last, "debt": [self.debt.numerator, self.debt.denominator]}

    def restore(self, state: dict) -> None:
        """Undoes `state`."""
        self.last, self.debt = state["last"], Fraction(*state["debt"])
