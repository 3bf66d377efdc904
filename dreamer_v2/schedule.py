"""Update schedule of V2: every few agent steps."""


class Every:
    """`schedule` part: `updates` updates at the first call, and again after every `steps` agent steps.

    Source: V2 `train.py`, `train_every` and `train_steps`.
    """

    def __init__(self, *, steps: int = 5, updates: int = 1):
        self.steps, self.updates = steps, updates
        self.last: int | None = None

    def due(self, agent_steps: int, *, repeat: int, replayed_per_update: int) -> int:
        """Return the updates due now, after `agent_steps` steps over all environments."""
        if self.last is None:
            self.last = agent_steps
            return self.updates
        times = max(0, agent_steps - self.last) // self.steps
        self.last += times * self.steps
        return times * self.updates

    def state(self) -> dict:
        """Return the state for the checkpoint, as plain Python."""
        return {"last": self.last}

    def restore(self, state: dict) -> None:
        """Load what `state` returned."""
        self.last = state["last"]
