"""Guard of one update: it either takes all its steps, or leaves the agent as it was.

An update computes all losses and gradients first. The guard checks their few numbers at once; only then do the groups
step. The guard can restore what has to change earlier, such as running statistics.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from common.errors import NonFiniteError
from common.nn import ranks

MAX_SQUARABLE = math.sqrt(torch.finfo(torch.float32).max)  # largest number with a finite square
EXTRA_STATE_KEY = "_extra_state"  # torch's key of state that is neither parameter nor buffer, such as Adam's moments


class UpdateGuard:
    """Numbers of one update by stage, and functions that undo what it has changed so far.

    `pending`: clipped gradients by group, to apply once the update is known to be finite.
    """

    def __init__(self) -> None:
        self.stages: list[dict[str, Tensor]] = []
        self.undo: list[Callable[[], object]] = []
        self.pending: dict[str, list[Tensor]] = {}

    def add_stage(self, numbers: dict[str, Tensor]) -> None:
        """Add scalars that must be finite, by name. A later stage computes with the results of the earlier ones."""
        self.stages.append(numbers)

    def snapshot(self, tensors: Sequence[Tensor]) -> None:
        """Copy tensors that are about to change in place, to restore them if the update is not finite."""
        self.undo.append(make_restorer(tensors))

    def check_finite(self) -> None:
        """Return if all numbers are finite on all ranks. Otherwise undo the update and raise NonFiniteError.

        The error names the numbers of the first stage that is not finite. Reads one flag from the device. The average
        over the ranks is not finite if a number of any rank is not: all of them come to the same decision.
        """
        values = [value.detach() for stage in self.stages for value in stage.values()]
        if not values:
            return
        finite = ranks.current().average(torch.stack(values)).isfinite()
        if bool(finite.all()):
            return
        self.roll_back()
        flags = iter(finite.tolist())
        bad = [[name for name in stage if not next(flags)] for stage in self.stages]
        raise NonFiniteError(next(filter(None, bad)))

    def roll_back(self) -> None:
        """Undo what the update has changed so far, in reverse order."""
        for undo in reversed(self.undo):
            undo()


def make_restorer(tensors: Sequence[Tensor]) -> Callable[[], object]:
    """Return a function that sets tensors back to their current values."""
    live = [x.detach() for x in tensors]
    before = [x.clone() for x in live]
    return lambda: [x.copy_(old) for x, old in zip(live, before, strict=True)]


def nonfinite_names(module: nn.Module) -> list[str]:
    """Return the names of tensors in a module's state that contain NaN or infinity, nested extra state included.

    Parameters and buffers also count if their square is infinite: norms and products of them are then infinite.
    Reads from the device once.
    """
    named = {name: x for name, x in named_float_tensors(module.state_dict()) if x.numel()}
    if not named:
        return []
    extremes = torch.stack([torch.stack(x.aminmax()) for x in named.values()]).tolist()
    limits = (math.inf if EXTRA_STATE_KEY in name else MAX_SQUARABLE for name in named)
    ranges = zip(named, extremes, limits, strict=True)
    return [name for name, (low, high), limit in ranges if not -limit < low <= high < limit]


def named_float_tensors(tree: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield dotted names and floating-point tensors of nested dicts and lists."""
    if isinstance(tree, Tensor) and tree.is_floating_point():
        yield name, tree
    elif isinstance(tree, dict | list):
        for key, branch in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from named_float_tensors(branch, f"{name}.{key}".lstrip("."))
