"""Update schedule of V1: in bursts."""


class Bursts:
    """`schedule` part: `updates` updates at the first call, and again after every `every` frames.

    Source: V1 `dreamer.py`, `train_every` and `train_steps`.
    """

    def __init__(self, *, every: int = 1000, updates: int = 100):
        self.every, self.updates = every, updates
        self.last: int | None = None

    def due(self, agent_steps: int, *, repeat: int, replayed_per_update: int) -> int:
        """Return the updates due now, after `agent_steps` steps over all environments, of `repeat` frames each."""
        frames = agent_steps * repeat
        if self.last is None:
            self.last = frames
            return self.updates
        bursts = max(0, frames - self.last) // self.every
        self.last += bursts * self.every
        return bursts * self.updates

    def state(self) -> dict:
        """Return the state for the checkpoint, as plain Python."""
        return {"last": self.last}

    def restore(self, state: dict) -> None:
        """Load what `state` returned."""
        self.last = state["last"]
