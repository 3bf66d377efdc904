"""A probe for NaN and infinity in an agent: modules, losses by step, gradients by loss and group."""

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from common.agent.agent import Agent
from common.agent.optim import total_norm
from common.errors import NonFiniteError


class NonFiniteModule(NamedTuple):
    """A module with a non-finite output, and whether its inputs were finite."""

    name: str
    finite_inputs: bool


class LossSummary(NamedTuple):
    """A loss: mean, number of non-finite elements, number of elements, index of the first non-finite one."""

    name: str
    mean: float
    bad: int
    size: int
    place: tuple[int, ...] | None


class GradientSummary(NamedTuple):
    """The gradient of a loss in a group: norm, and parameters where it is not finite."""

    loss: str
    group: str
    norm: float
    bad: list[str]


class NonFiniteProbe:
    """Hooks on `agent` for one update or action. first: the first module with a non-finite output."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.first: NonFiniteModule | None = None
        self.losses: list[LossSummary] = []
        self.gradients: list[GradientSummary] = []
        self.names = {id(p): name for name, p in agent.named_parameters()}
        self.differentiate = agent.differentiate
        agent.differentiate = self._differentiate  # type: ignore[method-assign]
        for name, module in agent.named_modules():
            if name:
                module.register_forward_hook(functools.partial(self._see, name))

    def update(self, batch: dict, step: int) -> list[str]:
        """Update on `batch`; return the names of non-finite losses and gradients, if any."""
        try:
            self.agent.update(batch, step)
        except NonFiniteError as error:
            return error.names
        return []

    def act(self, record: dict, acting: dict, step: int, mode: str = "train") -> list[str]:
        """Act on `record` from the state `acting`, in mode train or eval; return as `update` does."""
        acting = {key: value.to(self.agent.device) for key, value in acting.items()}
        _, extras, _ = self.agent.act(record, acting, mode, step)
        return [] if torch.as_tensor(extras["action"]).isfinite().all() else ["the actions of the policy"]

    def weights(self) -> list[str]:
        """Return the names of non-finite parameters."""
        return [name for name, p in self.agent.named_parameters() if not is_finite(p)]

    def _see(self, name: str, module: Any, args: tuple, out: Any) -> None:
        if self.first is None and not all(map(is_finite, tensors_in(out))):
            self.first = NonFiniteModule(name, all(map(is_finite, tensors_in(args))))

    def _differentiate(self, losses: dict[str, Tensor]) -> tuple:
        """Record the losses and the gradient of each loss in each group, then continue as the agent does.

        Raises NonFiniteError if one is not finite: later computations would not show where it begins.
        """
        for name, loss in losses.items():
            self.losses.append(summarize_loss(name, loss.detach()))
            groups = self.agent.groups_trained_by(name) if loss.requires_grad else ()
            self.gradients += [self._slope(name, self.agent.scales[name] * loss.mean(), group) for group in groups]
        bad = [f"loss/{term.name}" for term in self.losses if not math.isfinite(term.mean)]
        bad += sorted({f"grad/{slope.group}" for slope in self.gradients if not math.isfinite(slope.norm)})
        if bad:
            raise NonFiniteError(bad)
        return self.differentiate(losses)

    def _slope(self, name: str, loss: Tensor, group: str) -> GradientSummary:
        params = self.agent.optim.groups[group]
        grads = torch.autograd.grad(loss, params, retain_graph=True, materialize_grads=True)
        bad = [self.names[id(p)] for p, grad in zip(params, grads, strict=True) if not is_finite(grad)]
        return GradientSummary(name, group, float(total_norm(grads)), bad)


def summarize_loss(name: str, loss: Tensor) -> LossSummary:
    """Summarize a loss (B, T) or (N, L)."""
    bad = (~loss.isfinite()).nonzero()
    place = tuple(map(int, bad[0])) if len(bad) else None
    return LossSummary(name, float(loss.mean()), len(bad), loss.numel(), place)


def is_finite(x: Tensor) -> bool:
    """Whether a tensor has no NaN or infinity."""
    return bool(x.isfinite().all())


def tensors_in(tree: Any) -> Iterator[Tensor]:
    """Yield all tensors in nested tuples, lists and dicts."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict):
        yield from tensors_in(list(tree.values()))
    elif isinstance(tree, list | tuple):
        for branch in tree:
            yield from tensors_in(branch)
