"""Target critic of V2."""

from torch import Tensor

from common.agent.heads import Head
from common.agent.slow import SlowCopy


class TargetCritic(SlowCopy):
    """`slow` part: values come from a copy of the critic, renewed every `every` updates, the first included.

    fraction: if below 1, slow <- fraction critic + (1 - fraction) slow instead, except at the first update.
    Source: V2 `ActorCritic.update_slow_target`.
    """

    def __init__(self, *, every: int = 100, fraction: float = 1.0):
        super().__init__()
        self.every, self.fraction = every, fraction

    def target(self, critic: Head, feat: Tensor) -> Tensor:
        """Return the values of the copy: (..., F) -> (...)."""
        return self.slow.pred(feat)

    def update(self, critic: Head) -> None:
        """Renew the copy if it is due; called after every update."""
        if self.updates % self.every == 0:
            self.move_towards(critic, self.fraction if self.updates else 1.0)
        self.updates += 1
