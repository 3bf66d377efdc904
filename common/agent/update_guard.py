"""What an update that is not finite leaves behind: nothing.

An update computes all its losses and gradients first. Their few numbers are looked at once, and only then are steps
taken. Where something has to change earlier, such as running statistics, the guard knows how to put it back.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from common.errors import NonFiniteError

MAX_SQUARABLE = math.sqrt(torch.finfo(torch.float32).max)  # whose square is finite
EXTRA_STATE_KEY = (
    "_extra_state"  # where a state has what is neither parameter nor buffer, such as the moments of an optimiser
)


class UpdateGuard:
    """One update: the numbers it made in each of its stages, and how to undo what it has changed so far.

    `due` holds the clipped gradients of groups that step when the update has proved sound.
    """

    def __init__(self) -> None:
        self.stages: list[dict[str, Tensor]] = []
        self.undo: list[Callable[[], object]] = []
        self.pending: dict[str, list[Tensor]] = {}

    def add_stage(self, numbers: dict[str, Tensor]) -> None:
        """Adds a stage: scalars that must be finite, by name. A later stage computes with the results of an earlier."""
        self.stages.append(numbers)

    def snapshot(self, tensors: Sequence[Tensor]) -> None:
        """Tensors about to change in place: `settle` gives them their values of now back if it has to."""
        self.undo.append(make_restorer(tensors))

    def check_finite(self) -> None:
        """Returns if all numbers are finite. Else undoes the update and raises NonFinite, naming the first stage's.

        Reads one flag from the device.
        """
        values = [value.detach() for stage in self.stages for value in stage.values()]
        if not values or bool(torch.stack(values).isfinite().all()):
            return
        self.roll_back()
        bad = [[name for name, value in stage.items() if not bool(value.isfinite())] for stage in self.stages]
        raise NonFiniteError(next(filter(None, bad)))

    def roll_back(self) -> None:
        """Undoes what the update has changed so far."""
        for undo in reversed(self.undo):
            undo()


def make_restorer(tensors: Sequence[Tensor]) -> Callable[[], object]:
    """A function that gives tensors the values that they have now."""
    live = [x.detach() for x in tensors]
    before = [x.clone() for x in live]
    return lambda: [x.copy_(old) for x, old in zip(live, before, strict=True)]


def nonfinite_names(module: nn.Module) -> list[str]:
    """Names of what no update can go on from in the state of a module: NaN and infinity, also in nested extra state.

    So are parameters and buffers whose square is infinite, as norms and products of them are. Reads from the device
    once.
    """
    named = {name: x for name, x in named_float_tensors(module.state_dict()) if x.numel()}
    if not named:
        return []
    extremes = torch.stack([torch.stack(x.aminmax()) for x in named.values()]).tolist()
    limits = (math.inf if EXTRA_STATE_KEY in name else MAX_SQUARABLE for name in named)
    judged = zip(named, extremes, limits, strict=True)
    return [name for name, (low, high), limit in judged if not -limit < low <= high < limit]


def named_float_tensors(tree: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Dotted names and tensors of floating point in nested dicts and lists."""
    if isinstance(tree, Tensor) and tree.is_floating_point():
        yield name, tree
    elif isinstance(tree, dict | list):
        for key, branch in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from named_float_tensors(branch, f"{name}.{key}".lstrip("."))
