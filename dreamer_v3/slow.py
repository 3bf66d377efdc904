"""Slow critic of V3."""

import torch

from common.agent.slow import SlowCopy


class SlowRegularizer(SlowCopy):
    """The critic is pulled towards the prediction of its own moving average.

    Values come from the critic itself; `target` takes them from the average instead (official `slowtar`, off).
    rate: weight of the critic at each update; every: updates between them; scale: of the added loss; copy: the first
    update copies the critic (V3-2023). Source: V3 `agent.imag_loss`, `utils.SlowModel`; V3-2023 `jaxutils.SlowUpdater`.
    """

    def __init__(
        self, *, rate: float = 0.02, every: int = 1, scale: float = 1.0, target: bool = False, copy: bool = False
    ):
        super().__init__()
        self.rate, self.every, self.scale, self.from_slow, self.copy = rate, every, scale, target, copy

    def target(self, critic, feat):
        return (self.slow if self.from_slow else critic).pred(feat)

    def regularize(self, critic, out, feat):
        with torch.no_grad():
            slow = self.slow.pred(feat)
        return self.scale * critic.dist.loss(out, slow)

    def update(self, critic):
        if self.updates % self.every == 0:
            self.move_towards(critic, 1.0 if self.copy and not self.updates else self.rate)
        self.updates += 1
