"""Update schedule of V3: a fixed ratio of replayed to collected steps."""

from fractions import Fraction


class Ratio:
    """`schedule` part: one update at the first call, then exactly `ratio` replayed steps per agent step.

    Steps that are due but do not fill an update stay due. Source: V3 `embodied` `when.Ratio`, `train_ratio`.
    """

    def __init__(self, *, ratio: float = 512.0):
        self.ratio = ratio
        self.last: int | None = None
        self.debt = Fraction(0)  # replayed steps that are due

    def due(self, agent_steps: int, *, repeat: int, replayed_per_update: int) -> int:
        """Return the updates due now, after `agent_steps` steps over all environments."""
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
        """Return the state for the checkpoint, as plain Python."""
        return {"last": self.last, "debt": [self.debt.numerator, self.debt.denominator]}

    def restore(self, state: dict) -> None:
        """Load what `state` returned."""
        self.last, self.debt = state["last"], Fraction(*state["debt"])
