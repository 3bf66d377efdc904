"""Order of one update in V2: the world model steps before imagination."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.agent.interfaces import Batch, Losses, Metrics, Noise

if TYPE_CHECKING:
    from common.agent.agent import Agent
    from common.agent.rssm import LatentState


class ModelFirst:
    """`order` part: the world model takes its step, then the updated model imagines from the states before the step.

    Those states have no graph, so no behaviour loss can reach the world model. Source: V2 `agent.Agent.train`.
    """

    keeps_graph = False
    learns_behavior = True

    def __call__(self, agent: Agent, batch: Batch, step: float, noise: Noise) -> tuple[Losses, LatentState, Metrics]:
        """Batch of tensors (B, T, ...) -> losses by name, replayed states (B, T), metrics."""
        losses, states, stats = agent.model_losses(batch, noise)
        norms = agent.step_now(losses)
        states = states.detach()
        more, extra = agent.behavior_losses(states, batch, step, noise)
        return losses | more, states, stats | extra | norms | agent.step_later(more)
