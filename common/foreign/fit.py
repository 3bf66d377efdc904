"""Copying the arrays of a foreign file into an agent: all shapes are checked first, then everything is set."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from common.agent.agent import Agent
from common.errors import UserError
from common.foreign.slots import Slot, Slots
from common.foreign.source import Moments, Source
from common.storage.logdir import join_lines


class Fit(NamedTuple):
    """Result of copying: a line for each mapped array, the arrays left over, how many arrays have moments."""

    mapped: list[str]
    left_over: list[str]
    with_moments: int
    fresh: list[str]


def fit(agent: Agent, slots: Slots, source: Source, fresh: tuple[str, ...] = ()) -> Fit:
    """Set an agent's parameters from the arrays of `source`, and its optimiser's moments where it has them.

    fresh: beginnings of the names of parameters that the file cannot give. Raises UserError, with nothing changed, if
    an array is missing or has another shape, or no array gives one of our other parameters.
    """
    owners = Owners(agent)
    check_arrays(slots, source, owners)
    new = check_all_given(agent, slots, source, fresh)
    for name, slot in slots.items():
        slot.assign(as_tensor(source.tensors[name]))
    mapped = [f"{name} {size_text(slot.shape)} -> {owners.names(slot)}" for name, slot in slots.items()]
    left_over = [f"{name} {size_text(source.shape(name))}" for name in source.tensors if name not in slots]
    return Fit(mapped, left_over, set_moments(agent, slots, source.moments) if source.moments else 0, new)


class Owners:
    """Names of an agent's parameters and buffers, found by their storage: a slot may hold a view of one."""

    def __init__(self, agent: nn.Module):
        named = [*agent.named_parameters(), *agent.named_buffers()]
        self._names = {_storage(tensor): name for name, tensor in named}

    def names(self, slot: Slot) -> str:
        """Return the names of our tensors in a slot."""
        return ", ".join(dict.fromkeys(self._names[_storage(param)] for param in slot.params))


def check_arrays(slots: Slots, source: Source, owners: Owners) -> None:
    """Raise UserError if an array is missing or has another shape."""
    missing = [f"{name}, for {owners.names(slot)}" for name, slot in slots.items() if name not in source.tensors]
    if missing:
        raise UserError(f"{source.path} lacks arrays that its other arrays call for:\n  {join_lines(missing)}")
    shapes = {name: (source.shape(name), slot.shape) for name, slot in slots.items()}
    differing = [(name, *pair) for name, pair in shapes.items() if pair[0] != pair[1]]
    if differing:
        rows = [f"{name}: {size_text(got)} -> {size_text(needed)}" for name, got, needed in differing]
        raise UserError(
            f"The shapes in {source.path} do not fit (there -> needed):\n  {join_lines(rows)}\nGive the --task that "
            "the agent was trained on, and no flag that changes the networks."
        )


def check_all_given(agent: Agent, slots: Slots, source: Source, fresh: tuple[str, ...]) -> list[str]:
    """Return the parameters that start new. Raise UserError if no array gives one of the others."""
    given = {_storage(param) for slot in slots.values() for param in slot.params}
    bare = [name for name, param in agent.named_parameters() if _storage(param) not in given]
    if bare and not all(name.startswith(fresh) for name in bare):
        raise UserError(f"No array in {source.path} gives these parameters:\n  {join_lines(bare)}")
    return bare


def set_moments(agent: Agent, slots: Slots, moments: Moments) -> int:
    """Set the optimiser's moments and steps; return how many arrays have moments. The others stay at zero."""
    optim: Any = agent.optim
    places = {id(p): (group, i) for group, params in optim.groups.items() for i, p in enumerate(params)}
    count = 0
    for name, slot in slots.items():
        if name not in moments.mu or any(id(param) not in places for param in slot.params):
            continue
        for key, arrays in (("mu", moments.mu), ("nu", moments.nu)):
            tensors = [optim.slots[group][key][i] for group, i in (places[id(param)] for param in slot.params)]
            slot.assign(as_tensor(arrays[name]), tensors)
        count += 1
    for group, steps in moments.steps.items():
        optim.slots[group]["t"] = steps
    return count


def as_tensor(array: Any) -> Tensor:
    """Return an array or tensor as a float32 tensor. Raises UserError if a number in it is not finite."""
    value = torch.as_tensor(array).float()
    if not torch.isfinite(value).all():
        raise UserError("The file holds a NaN or an infinity. Import an earlier checkpoint.")
    return value


def size_text(shape: tuple[int, ...]) -> str:
    """Return a shape as text."""
    return "(" + " x ".join(map(str, shape)) + ")" if shape else "(a number)"


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
