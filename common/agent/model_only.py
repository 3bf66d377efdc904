"""Order of an update that trains the world model alone, for comparisons of world models on the same data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.agent.interfaces import Batch, Losses, Metrics, Noise

if TYPE_CHECKING:
    from common.agent.agent import Agent
    from common.agent.rssm import LatentState


class ModelOnly:
    """An order without behaviour: the losses, optimiser group and step of the world model, as every order has them.

    Actor and critic keep their weights. The gradient that V3's critic sends into the world model is absent.
    """

    keeps_graph = False
    learns_behavior = False

    def __call__(self, agent: Agent, batch: Batch, step: float, noise: Noise) -> tuple[Losses, LatentState, Metrics]:
        """Batch of tensors (B, T, ...) -> losses by name, replayed states (B, T), metrics."""
        losses, states, stats = agent.model_losses(batch, noise)
        return losses, states, stats | agent.step_later(losses)
