"""Slow critic of V3."""

import torch
from torch import Tensor

from common.agent.heads import Head
from common.agent.slow import SlowCopy


class SlowRegularizer(SlowCopy):
    """`slow` part: adds scale * loss(critic, v') where v' is the prediction of the critic's moving average.

    Values come from the critic itself; with `target` they come from the average (official `slowtar`, off).
    rate: weight of the critic in each step of the average. every: updates between the steps. copy: the first step
    copies the critic (V3-2023). Source: V3 `agent.imag_loss`, `utils.SlowModel`; V3-2023 `jaxutils.SlowUpdater`.
    """

    def __init__(
        self, *, rate: float = 0.02, every: int = 1, scale: float = 1.0, target: bool = False, copy: bool = False
    ):
        super().__init__()
        self.rate, self.every, self.scale, self.from_slow, self.copy = rate, every, scale, target, copy

    def target(self, critic: Head, feat: Tensor) -> Tensor:
        """Return the values of the critic or of its average: (..., F) -> (...)."""
        return (self.slow if self.from_slow else critic).pred(feat)

    def regularize(self, critic: Head, out: Tensor, feat: Tensor) -> Tensor:
        """Return the loss of the critic's outputs against the prediction of its average: (..., F) -> (...)."""
        with torch.no_grad():
            slow = self.slow.pred(feat)
        return self.scale * critic.dist.loss(out, slow)

    def update(self, critic: Head) -> None:
        """Step the average if it is due; called after every update."""
        if self.updates % self.every == 0:
            self.move_towards(critic, 1.0 if self.copy and not self.updates else self.rate)
        self.updates += 1
