"""Order of one update in V1 and V3: all losses first, then all steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.agent.interfaces import Batch, Losses, Metrics, Noise

if TYPE_CHECKING:
    from common.agent.agent import Agent
    from common.agent.rssm import LatentState


class Joint:
    """`order` part: all losses are computed with the same parameters, then every group takes its step.

    One backward pass serves all losses. Source: V1 `Dreamer._train`; V3 `agent.loss`.
    """

    keeps_graph = True
    learns_behavior = True

    def __call__(self, agent: Agent, batch: Batch, step: float, noise: Noise) -> tuple[Losses, LatentState, Metrics]:
        """Batch of tensors (B, T, ...) -> losses by name, replayed states (B, T), metrics."""
        losses, states, stats = agent.model_losses(batch, noise)
        more, extra = agent.behavior_losses(states, batch, step, noise)
        norms = agent.step_later(losses | more)
        return losses | more, states, stats | extra | norms
