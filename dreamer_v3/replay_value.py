"""Critic loss of V3 on replayed states, bootstrapped from imagination."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from common.agent.interfaces import Batch, Losses

if TYPE_CHECKING:
    from common.agent.behavior import Behavior
    from common.agent.rssm import LatentState


class ReplayValue:
    """`replay_value` part: the critic also predicts the lambda-return of replayed rewards, bootstrapped with R_0.

    scale: weight of the loss. grad: whether the gradient also shapes the world model. Source: V3 `agent.repl_loss`.
    """

    def __init__(self, *, scale: float = 0.3, grad: bool = True):
        self.scales, self.through_model = {"repval": scale}, grad
        self.trained_groups: dict[str, tuple[str, ...]] = {"repval": ("critic", "model") if grad else ("critic",)}

    def __call__(self, behavior: Behavior, states: LatentState, batch: Batch, ret: Tensor) -> Losses:
        """Replayed states (B, T), imagined returns (B T, H) -> {"repval": (B, T-1)}."""
        boot = ret[:, 0].detach().unflatten(0, batch["reward"].shape)
        flags = batch["is_last"], batch["is_terminal"]
        target = behavior.returns.replay(batch["reward"], *flags, boot, behavior.discount)
        feat = states.feat if self.through_model else states.feat.detach()
        loss = behavior.critic_loss(feat[:, :-1], target)
        return {"repval": loss * (~batch["is_last"]).float()[:, :-1]}
