"""Exploration that learns: what the agent asks of an `explore` part that has networks of its own.

Shapes: B batch, T time, N imagined trajectories, A action, F feature, E embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from common.agent.acting import Acting
from common.agent.interfaces import Batch, Config, Device, Explore, Groups, Losses, Metrics, Noise
from common.agent.rssm import LatentState

if TYPE_CHECKING:
    from common.agent.behavior import Behavior
    from common.agent.ensemble import Ensemble
    from common.agent.valuation import Valuation
    from common.agent.world_model import WorldModel


class DisagreementModel(NamedTuple):
    """An ensemble as the forecast of costs sees it: widths of inputs and actions, steps to its target.

    differentiable: whether the actor gets the gradient of the disagreement. more_critics: of rewards that have one of
    their own.
    """

    ensemble: Ensemble
    inputs: int
    actions: int
    offset: int
    differentiable: bool
    more_critics: int


class Explorer(nn.Module):
    """Base of `explore` parts that learn. By itself it learns nothing and leaves acting to the task's policy.

    scales: loss name -> weight. trained_groups: loss name -> groups of parameters, as `Agent.groups` names them.
    """

    scales: dict[str, float] = {}  # noqa: RUF012 (read only)
    trained_groups: dict[str, tuple[str, ...]] = {}  # noqa: RUF012

    def setup(self, world: WorldModel, acting: Acting, config: Config) -> None:
        """Build the networks; called once, after those of the task. Raise UserError for a config that cannot work."""

    def behaviors(self) -> list[Behavior]:
        """Return the actor-critics of exploration."""
        return []

    def valuations(self) -> list[Valuation]:
        """Return the critics of exploration with their parts."""
        return []

    def disagreements(self) -> list[DisagreementModel]:
        """Return the ensembles, for the forecast of costs."""
        return []

    def groups(self) -> Groups:
        """Return the parameters by group; those of a group of the task are added to it."""
        return {}

    def parameter_table(self) -> dict[str, int]:
        """Return the number of trained parameters of each network."""
        return {}

    def learning_rates(self) -> dict[str, float]:
        """Return the learning rates of groups that do not follow a group of the task."""
        return {}

    def running_statistics(self) -> list[Tensor]:
        """Return the buffers that change before the update is known to be finite."""
        return []

    def acting(self, task: Acting, mode: str, step: float) -> Acting:
        """Return what acts in a mode, train or eval, after `step` agent steps."""
        return task

    def noise(self, batch: int, length: int, device: Device = None) -> Noise:
        """Draw the randomness of one update on a batch (B, T)."""
        return {}

    def model_losses(
        self, world: WorldModel, states: LatentState, embed: Tensor, batch: Batch, noise: Noise
    ) -> tuple[Losses, Metrics]:
        """Return losses of models of exploration: detached states (B, T) and embeddings (B, T, E) of a batch."""
        return {}, {}

    def behavior_losses(
        self, world: WorldModel, states: LatentState, batch: Batch, step: float, noise: Noise
    ) -> tuple[Losses, Metrics]:
        """Return losses (N, L) of the actor-critic of exploration, from replayed states (B, T)."""
        return {}, {}

    def finish_update(self) -> None:
        """Follow an update, when all groups have taken their step."""


NO_EXPLORER = Explorer()


def explorer_of(part: Explore) -> Explorer:
    """Return an `explore` part that learns, or the explorer that learns nothing."""
    return part if isinstance(part, Explorer) else NO_EXPLORER
