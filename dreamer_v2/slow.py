"""Target critic of V2."""

from common.agent.slow import SlowCopy


class TargetCritic(SlowCopy):
    """Values come from a copy that is refreshed every `every` updates, the first one included.

    `fraction` below 1 mixes instead (the first call always copies). Source: V2 `ActorCritic.update_slow_target`.
    """

    def __init__(self, *, every: int = 100, fraction: float = 1.0):
        super().__init__()
        self.every, self.fraction = every, fraction

    def target(self, critic, feat):
        return self.slow.pred(feat)

    def update(self, critic):
        if self.updates % self.every == 0:
            self.move_towards(critic, self.fraction if self.updates else 1.0)
        self.updates += 1
