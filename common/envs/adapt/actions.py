"""Any action space as one that the actors drive: Box(-1, 1, (A,)), Discrete(n) or MultiDiscrete([...]).

A Dict or Tuple is taken apart. Its discrete parts become one MultiDiscrete, its continuous ones one Box. Where it has
both, every continuous number takes one of LEVELS values from bound to bound, so that one MultiDiscrete drives all.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from common.errors import UserError

ACTION_LEVELS = 11  # an odd number: the middle is one of them
MAX_FINITE_BOUND = 1e9  # bounds beyond are none: some spaces give the largest float instead of infinity
MAX_INTEGER_CHOICES = 256  # whole numbers with more values are continuous and rounded


class ActionPart(NamedTuple):
    """A leaf of an action space. values: of each of its numbers, (n,); empty for n continuous numbers in [-1, 1]."""

    size: int
    values: np.ndarray
    decode: Callable[[np.ndarray], object]


def normalize_action_space(space: spaces.Space, scale: float = 1.0) -> tuple[spaces.Space, Callable]:
    """The normalised action space, and the function from its actions to the environment's.

    scale: how far from zero, or from its only bound, an unbounded action goes. Raises UserError for spaces without such
    a form, by name.
    """
    parts = [action_part(leaf, scale) for leaf in leaf_spaces(space)]
    if not sum(p.size for p in parts):
        raise UserError(f"The action space {space} is empty: there is nothing to choose. Give it at least one number.")
    if any(p.values.size for p in parts):
        parts = [p if p.values.size else discretized_part(p) for p in parts]
    values = np.concatenate([p.values for p in parts])
    ends = np.cumsum([p.size for p in parts])[:-1]

    def decode(action):
        pieces = np.split(np.reshape(action, -1), ends)
        return rebuild_action(space, (p.decode(piece) for p, piece in zip(parts, pieces, strict=True)))

    return normalized_space(sum(p.size for p in parts), values), decode


def normalized_space(size: int, values: np.ndarray) -> spaces.Space:
    """The space of `size` continuous numbers, or of discrete ones with so many values each."""
    if not len(values):
        return spaces.Box(-1, 1, (size,), np.float32)
    return spaces.Discrete(int(values[0])) if size == 1 else spaces.MultiDiscrete(values)


def action_notes(space: spaces.Space, scale: float) -> list[str]:
    """What a person should know of how the actions are read."""
    found, said = list(leaf_spaces(space)), []
    boxes: list[Any] = [leaf for leaf in found if not action_part(leaf, scale).values.size]
    if any(isinstance(leaf, spaces.Box) and np.any(missing_bounds(leaf)) for leaf in found):
        said.append(
            f"The actions have dimensions without bounds: they are driven within {scale:g} of zero, or {2 * scale:g} "
            "of their only bound. --env.action_scale sets it; better, give the space its true bounds."
        )
    if boxes and len(boxes) < len(found):
        count = sum(int(np.prod(box.shape)) for box in boxes)
        said.append(
            f"The actions are discrete and continuous at once: each of the {count} continuous numbers takes one of "
            f"{ACTION_LEVELS} values from bound to bound."
        )
    return said


def leaf_spaces(space: spaces.Space) -> Iterator[spaces.Space]:
    """The parts of a nested space, in the order in which `rebuilt` takes their values."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        for child in space.values() if isinstance(space, spaces.Dict) else space:
            yield from leaf_spaces(child)
    else:
        yield space


def rebuild_action(space: spaces.Space, values: Iterator):
    """An action of a nested space from the values of its leaves."""
    if isinstance(space, spaces.Dict):
        return {key: rebuild_action(child, values) for key, child in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(rebuild_action(child, values) for child in space)
    return next(values)


def action_part(space: spaces.Space, scale: float) -> ActionPart:
    """How one leaf is driven. Raises UserError for a space that cannot be."""
    if isinstance(space, spaces.Discrete):
        return ActionPart(1, np.array([space.n]), lambda action: int(action[0]) + int(space.start))
    if isinstance(space, spaces.MultiBinary):
        return discrete_part(space, np.full(space.shape, 2), 0)
    if isinstance(space, spaces.MultiDiscrete):
        return discrete_part(space, space.nvec, space.start)
    if isinstance(space, spaces.Box) and space.dtype.kind in "biuf":
        low, high = bounds(space, scale)
        if space.dtype.kind != "f" and (high - low < MAX_INTEGER_CHOICES).all():
            return discrete_part(space, (high - low + 1).astype(int), low.astype(int))
        return continuous_part(space, low, high)
    raise UserError(
        f"The action space {type(space).__name__} is not supported. "
        "Use Box, Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of them."
    )


def discrete_part(space: Any, values: np.ndarray, start) -> ActionPart:
    """Numbers (of any shape) with so many values each, counted from `start`."""
    flat = np.reshape(values, -1)
    return ActionPart(len(flat), flat, lambda action: (np.reshape(action, space.shape) + start).astype(space.dtype))


def continuous_part(space: spaces.Box, low: np.ndarray, high: np.ndarray) -> ActionPart:
    """[-1, 1] -> the bounds of each number, rounded for whole numbers."""

    def decode(action):
        share = (np.clip(np.reshape(action, space.shape).astype(np.float64), -1, 1) + 1) / 2
        value = low + share * (high - low)
        return np.asarray(value if space.dtype.kind == "f" else np.rint(value), space.dtype)

    return ActionPart(int(np.prod(space.shape)), np.zeros(0, int), decode)


def discretized_part(continuous: ActionPart) -> ActionPart:
    """A continuous part with LEVELS values for each number."""
    grid = np.linspace(-1, 1, ACTION_LEVELS)
    return ActionPart(
        continuous.size, np.full(continuous.size, ACTION_LEVELS), lambda index: continuous.decode(grid[index])
    )


def missing_bounds(space: spaces.Box) -> tuple[np.ndarray, np.ndarray]:
    """Where the lower and the upper bound is missing."""
    far = lambda bound: ~(np.abs(bound.astype(np.float64)) < MAX_FINITE_BOUND)
    return far(space.low), far(space.high)


def bounds(space: spaces.Box, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds; `scale` stands in for missing ones."""
    no_low, no_high = missing_bounds(space)
    low = np.where(no_low, 0, space.low).astype(np.float64)
    high = np.where(no_high, 0, space.high).astype(np.float64)
    below = np.where(no_high, -scale, high - 2 * scale)
    above = np.where(no_low, scale, low + 2 * scale)
    return np.where(no_low, below, low), np.where(no_high, above, high)
