"""Actions of a person, an agent or chance in one form, and the keys of discrete actions.

A is the width of the action vector: one-hots for discrete dimensions, numbers in [-1, 1] otherwise.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from common.agent.acting import action_sizes
from common.errors import UserError

IDLE_NAMES = ("noop", "no-op", "none", "nothing", "idle", "still")
#: Word in the name of an action -> key on a keyboard.
KEY_OF_WORD = {
    **{"up": "ArrowUp", "forward": "ArrowUp", "north": "ArrowUp", "down": "ArrowDown", "south": "ArrowDown"},
    **{"left": "ArrowLeft", "west": "ArrowLeft", "right": "ArrowRight", "east": "ArrowRight"},
    **{"fire": "Space", "do": "Space", "toggle": "Space", "jump": "Space"},
}
ALE_WORD = re.compile(r"UP|DOWN|LEFT|RIGHT|FIRE")
LEFT, RIGHT = ["ArrowLeft"], ["ArrowRight"]


class Action(NamedTuple):
    """An action of one environment: the vector (1, A) that world models read, and what `Envs.step` takes (1, ...)."""

    vector: Tensor
    env: np.ndarray

    @property
    def numbers(self) -> list[float]:
        """The action as plain numbers: one index for each discrete dimension, or A numbers in [-1, 1]."""
        return np.reshape(self.env, -1).tolist()


class Actions:
    """The actions of a space: Box(-1, 1, (A,)), Discrete(n) or MultiDiscrete.

    names: those of the values of a Discrete space, if the environment has names. `classes` are the sizes of the
    discrete dimensions, empty for Box.
    """

    def __init__(self, space: spaces.Space, names: Sequence[str] = ()):
        self.width, self.classes = action_sizes(space)
        single = len(self.classes) == 1
        self.names = list(names) if single and len(names) == self.classes[0] else []
        self.keys = action_keys(self.names, self.classes[0]) if single else []

    def action(self, numbers: Sequence[float]) -> Action:
        """Return the action of plain numbers, see `Action.numbers`. Raises UserError if they do not fit the space."""
        values = self._checked(numbers)
        if not self.classes:
            return Action(torch.from_numpy(values.astype(np.float32))[None], values.astype(np.float32)[None])
        index = values.astype(np.int64)
        rows = [np.eye(size, dtype=np.float32)[i] for size, i in zip(self.classes, index, strict=True)]
        return Action(torch.from_numpy(np.concatenate(rows))[None], index if len(index) == 1 else index[None])

    def _checked(self, numbers: Any) -> np.ndarray:
        count = len(self.classes) or self.width
        try:
            values = np.asarray(numbers, np.float64)
        except (TypeError, ValueError):
            values = np.zeros(0)
        if values.shape != (count,) or not np.isfinite(values).all():
            raise UserError(f"An action here is {count} number(s), got {numbers!r:.60}.")
        if self.classes and ((values < 0) | (values >= self.classes) | (values % 1 != 0)).any():
            raise UserError(f"Actions here are whole numbers from 0 to below {self.classes}, got {numbers!r:.60}.")
        if not self.classes and (np.abs(values) > 1).any():
            raise UserError(f"Actions here are numbers from -1 to 1, got {numbers!r:.60}.")
        return values

    def random(self, random: np.random.Generator) -> Action:
        """Draw a uniform action."""
        if self.classes:
            return self.action(random.integers(self.classes).tolist())
        return self.action(random.uniform(-1, 1, self.width).tolist())

    @property
    def idle(self) -> list[float]:
        """The action of a person who does nothing: the one without a name or key for it, or zeros."""
        if not self.classes:
            return [0.0] * self.width
        empty = [index for index, keys in enumerate(self.keys) if not keys]
        return [float(empty[0])] if empty and self.has_idle else [0.0] * len(self.classes)

    @property
    def has_idle(self) -> bool:
        """Whether an action does nothing, so that a person may let go of all keys."""
        named = any(name.lower() in IDLE_NAMES for name in self.names)
        return not self.classes or named or (not self.names and self.classes == [3])

    def describe(self) -> dict:
        """Return what a page needs to show the actions, as JSON values."""
        names = self.names or [str(index) for index in range(self.classes[0] if len(self.classes) == 1 else 0)]
        kind = "discrete" if len(self.classes) == 1 else "multi" if self.classes else "continuous"
        rows = [{"name": name, "keys": keys} for name, keys in zip(names, self.keys, strict=True)]
        sizes = {"width": self.width, "classes": self.classes}
        return {"kind": kind, **sizes, "choices": rows, "idle": self.idle, "has_idle": self.has_idle}


def action_keys(names: Sequence[str], count: int) -> list[list[str]]:
    """Return the keys to hold together for each of `count` actions; an empty list for none, or for no free key.

    Named actions take arrows and the space bar by their words, the others digits. Two unnamed actions are left and
    right, three are left, nothing and right.
    """
    if not names:
        by_count = {2: [LEFT, RIGHT], 3: [LEFT, [], RIGHT]}
        return by_count.get(count, [[f"Digit{index}"] if index < 10 else [] for index in range(count)])
    digits = iter(f"Digit{number}" for number in (*range(1, 10), 0))
    found: list[list[str]] = []
    for name in names:
        keys = keys_of_words(name)
        if name.lower() in IDLE_NAMES:
            found.append([])
        elif keys and keys not in found:
            found.append(keys)
        else:
            found.append([digit] if (digit := next(digits, "")) else [])
    return found


def keys_of_words(name: str) -> list[str]:
    """Return the keys of the words in a name: UPRIGHTFIRE and move_left have some, attack has none."""
    ale = name.isupper() and not ALE_WORD.sub("", name)
    words = ALE_WORD.findall(name) if ale else re.split(r"[\W_]+", name)
    keys = [KEY_OF_WORD[word.lower()] for word in words if word.lower() in KEY_OF_WORD]
    return list(dict.fromkeys(keys))
