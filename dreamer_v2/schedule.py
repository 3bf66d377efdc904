"""When to update: every few steps."""


class Every:
    """`updates` updates at the first call, and again for every `steps` agent steps after it."""

    def __init__(self, *, steps: int = 5, updates: int = 1):
        self.steps, self.updates = steps, updates
        self.last: int | None = None

    def due(self, agent_steps: int, *, repeat: int, replayed_per_update: int) -> int:
        """Updates due now, after `agent_steps` steps over all environments."""
        if self.last is None:
            self.last = agent_steps
            return self.updates
        times = max(0, agent_steps - self.last) // self.steps
        self.last += times * self.steps
        return times * self.updates

    def state(self) -> dict:
        """What a checkpoint keeps, as plain Python."""
        return {"last": self.last}

    def restore(self, state: dict) -> None:
        """Undoes `state`."""
        self.last = state["last"]
