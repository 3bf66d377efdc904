"""Any action space as one that actors support: Box(-1, 1, (A,)), Discrete(n), MultiDiscrete([...]).

A Dict or Tuple is flattened. Its discrete leaves become one MultiDiscrete, its continuous leaves one Box. If it has
both, each continuous number takes one of ACTION_LEVELS evenly spaced values, so that one MultiDiscrete holds all.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from common.errors import UserError

ACTION_LEVELS = 11  # odd, so that the middle is one of them
MAX_FINITE_BOUND = 1e9  # larger bounds count as infinite: some spaces give the largest float
MAX_ONE_HOT = 2**20  # values of a one-hot vector; longer ones fill the memory
MAX_INTEGER_CHOICES = 256  # integers with more values are continuous and rounded


class ActionPart(NamedTuple):
    """A leaf of an action space.

    size: how many numbers it has. values: how many values each number takes, (size,); empty if they are continuous in
    [-1, 1]. decode: function from the normalized action (size,) to the environment's action. encode: its inverse.
    """

    size: int
    values: np.ndarray
    decode: Callable[[np.ndarray], object]
    encode: Callable[[Any], np.ndarray]


def normalize_action_space(space: spaces.Space, scale: float = 1.0) -> tuple[spaces.Space, Callable]:
    """Return the normalized action space, and the function from its actions to the environment's.

    scale: range of an unbounded action around zero; an action with one bound reaches twice that from its bound.

    Raises:
        UserError: the space or one of its leaves is not supported.
    """
    parts = action_parts(space, scale)
    values = np.concatenate([part.values for part in parts])
    ends = np.cumsum([part.size for part in parts])[:-1]

    def decode(action: np.ndarray) -> Any:
        pieces = np.split(np.reshape(action, -1), ends)
        return rebuild_action(space, (part.decode(piece) for part, piece in zip(parts, pieces, strict=True)))

    return normalized_space(sum(part.size for part in parts), values), decode


def action_encoder(space: spaces.Space, scale: float = 1.0) -> Callable[[Any], np.ndarray]:
    """Return the function from the environment's actions to normalized ones (A,), float64: the inverse of `decode`.

    Numbers beyond the bounds are clipped. Arguments and errors as in `normalize_action_space`.
    """
    parts = action_parts(space, scale)

    def encode(action: Any) -> np.ndarray:
        pairs = zip(parts, leaf_actions(space, action), strict=True)
        return np.concatenate([np.asarray(part.encode(leaf), np.float64).reshape(-1) for part, leaf in pairs])

    return encode


def action_parts(space: spaces.Space, scale: float) -> list[ActionPart]:
    """Return the leaves of an action space, all continuous or all discrete. Raises UserError as its callers do."""
    parts = [action_part(leaf, scale) for leaf in leaf_spaces(space)]
    if not sum(part.size for part in parts):
        raise UserError(f"The action space {space} is empty: there is nothing to choose. Give it at least one number.")
    choices = sum(part.values.sum(dtype=np.float64) for part in parts)
    if choices > MAX_ONE_HOT:
        raise UserError(
            f"The action space {space} has {choices:,.0f} values, and the actor needs an output for each, at most "
            f"{MAX_ONE_HOT:,}. Split it into several numbers with fewer values, such as a MultiDiscrete, or use a Box."
        )
    if any(part.values.size for part in parts):
        parts = [part if part.values.size else discretized_part(part) for part in parts]
    return parts


def normalized_space(size: int, values: np.ndarray) -> spaces.Space:
    """Return the space of `size` numbers: continuous if `values` is empty, else discrete with values[i] values each."""
    if not len(values):
        return spaces.Box(-1, 1, (size,), np.float32)
    return spaces.Discrete(int(values[0])) if size == 1 else spaces.MultiDiscrete(values)


def action_notes(space: spaces.Space, scale: float) -> list[str]:
    """Return notes for the user about how an action space is read."""
    found, notes = list(leaf_spaces(space)), []
    boxes: list[Any] = [leaf for leaf in found if not action_part(leaf, scale).values.size]
    if any(isinstance(leaf, spaces.Box) and np.any(missing_bounds(leaf)) for leaf in found):
        notes.append(
            f"Some actions have no bounds. Their range is {scale:g} around zero, or {2 * scale:g} from their only "
            "bound. Give the space its true bounds, or set the range with --env.action_scale."
        )
    if boxes and len(boxes) < len(found):
        count = sum(int(np.prod(box.shape)) for box in boxes)
        notes.append(
            f"The actions are both discrete and continuous: each of the {count} continuous numbers takes one of "
            f"{ACTION_LEVELS} values from bound to bound."
        )
    return notes


def leaf_spaces(space: spaces.Space) -> Iterator[spaces.Space]:
    """Yield the leaves of a nested space in the order of `rebuild_action`."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        for child in space.values() if isinstance(space, spaces.Dict) else space:
            yield from leaf_spaces(child)
    else:
        yield space


def leaf_actions(space: spaces.Space, action: Any) -> Iterator[Any]:
    """Yield the leaves of an action of a nested space in the order of `leaf_spaces`."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        for key, child in space.items() if isinstance(space, spaces.Dict) else enumerate(space):
            yield from leaf_actions(child, action[key])
    else:
        yield action


def rebuild_action(space: spaces.Space, values: Iterator) -> Any:
    """Build an action of a nested space from the values of its leaves."""
    if isinstance(space, spaces.Dict):
        return {key: rebuild_action(child, values) for key, child in space.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(rebuild_action(child, values) for child in space)
    return next(values)


def action_part(space: spaces.Space, scale: float) -> ActionPart:
    """Return how one leaf is normalized. Raises UserError if it is not supported."""
    if isinstance(space, spaces.Discrete):
        number = space.dtype.type  # as in a sample of the space, which is not an int
        start = int(space.start)
        decode = lambda action: number(int(action[0]) + start)
        return ActionPart(1, np.array([space.n]), decode, lambda action: np.asarray(action) - start)
    if isinstance(space, spaces.MultiBinary):
        return discrete_part(space, np.full(space.shape, 2), 0)
    if isinstance(space, spaces.MultiDiscrete):
        return discrete_part(space, space.nvec, space.start)
    if isinstance(space, spaces.Box) and space.dtype.kind in "biuf":
        low, high = finite_bounds(space, scale)
        if space.dtype.kind != "f" and (high - low < MAX_INTEGER_CHOICES).all():
            return discrete_part(space, (high - low + 1).astype(int), low.astype(int))
        return continuous_part(space, low, high)
    raise UserError(
        f"The action space {type(space).__name__} is not supported. "
        "Use Box, Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of them."
    )


def discrete_part(space: Any, values: np.ndarray, start: np.ndarray | int) -> ActionPart:
    """Return the part for numbers of any shape: each takes values[i] values, counted from `start`."""
    flat = np.reshape(values, -1)
    decode = lambda action: (np.reshape(action, space.shape) + start).astype(space.dtype)
    return ActionPart(len(flat), flat, decode, lambda action: np.asarray(action, np.int64) - start)


def continuous_part(space: spaces.Box, low: np.ndarray, high: np.ndarray) -> ActionPart:
    """Return the part that maps [-1, 1] to the bounds of each number, rounded if the space has integers."""

    def decode(action: np.ndarray) -> np.ndarray:
        share = (np.clip(np.reshape(action, space.shape).astype(np.float64), -1, 1) + 1) / 2
        value = low + share * (high - low)
        return np.asarray(value if space.dtype.kind == "f" else np.rint(value), space.dtype)

    def encode(action: Any) -> np.ndarray:
        share = (np.asarray(action, np.float64) - low) / np.where(high > low, high - low, 1)
        return np.clip(2 * share - 1, -1, 1)

    return ActionPart(int(np.prod(space.shape)), np.zeros(0, int), decode, encode)


def discretized_part(continuous: ActionPart) -> ActionPart:
    """Return a continuous part with ACTION_LEVELS evenly spaced values for each number."""
    grid = np.linspace(-1, 1, ACTION_LEVELS)
    values = np.full(continuous.size, ACTION_LEVELS)
    decode = lambda index: continuous.decode(grid[index])
    encode = lambda action: np.rint((continuous.encode(action) + 1) / 2 * (ACTION_LEVELS - 1))
    return ActionPart(continuous.size, values, decode, encode)


def missing_bounds(space: spaces.Box) -> tuple[np.ndarray, np.ndarray]:
    """Return masks of the numbers without a lower bound and without an upper bound."""
    missing = lambda bound: ~(np.abs(bound.astype(np.float64)) < MAX_FINITE_BOUND)
    return missing(space.low), missing(space.high)


def finite_bounds(space: spaces.Box, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper bounds, float64; missing ones are derived from `scale`."""
    no_low, no_high = missing_bounds(space)
    low = np.where(no_low, 0, space.low).astype(np.float64)
    high = np.where(no_high, 0, space.high).astype(np.float64)
    derived_low = np.where(no_high, -scale, high - 2 * scale)
    derived_high = np.where(no_low, scale, low + 2 * scale)
    return np.where(no_low, derived_low, low), np.where(no_high, derived_high, high)
