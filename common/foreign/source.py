"""Content of a foreign checkpoint: arrays by name, settings, counters; and its description in our terms.

Shapes are read through `Source`, whose errors name the array that is missing.
"""

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces

from common.errors import UserError

Arrays = dict[str, torch.Tensor]


class Moments(NamedTuple):
    """State of the optimiser: first and second moments by the names of their parameters, and steps by our group."""

    mu: Mapping[str, Any]
    nu: Mapping[str, Any]
    steps: Mapping[str, int]  # model, actor, critic


@contextlib.contextmanager
def refuse_malformed(path: Path) -> Iterator[None]:
    """Turn an error that malformed content or settings raise in the block into a UserError that names the file."""
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, AssertionError, RuntimeError) as error:
        why = f"{type(error).__name__}: {str(error)[:200]}"
        raise UserError(
            f"{path}, or a file of settings next to it, does not have the form of this format ({why}). Copy it again, "
            "or choose another format: `python dreamer.py import` lists all."
        ) from error


@dataclasses.dataclass(frozen=True)
class Source:
    """A foreign checkpoint.

    tensors: arrays or tensors of the networks by their names. settings: the settings of the run where its folder has
    them, else {}. steps: agent steps so far. frames: environment frames so far, where the file counts those instead.
    updates: gradient updates so far. moments: None if the file has none. keys: names of the vector observations in the
    order of the foreign program, as the user gave them. given: config keys with dots that the user typed.
    """

    path: Path
    tensors: Mapping[str, Any]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    steps: int = 0
    frames: int = 0
    updates: int = 0
    moments: Moments | None = None
    keys: tuple[str, ...] = ()
    given: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def agent_steps(self, repeat: int) -> int:
        """Return the agent steps so far, with `repeat` frames each."""
        return self.steps or self.frames // repeat

    def has(self, prefix: str) -> bool:
        """Whether a name begins with `prefix`."""
        return any(name.startswith(prefix) for name in self.tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array. Raises UserError if the file lacks it."""
        if name not in self.tensors:
            some = ", ".join(list(self.tensors)[:5]) or "nothing"
            raise UserError(
                f"{self.path} lacks {name}, which every file of this format has; it holds {some} ... "
                "Check the name of the format: `python dreamer.py import` lists all."
            )
        return tuple(np.shape(self.tensors[name]))

    def count(self, pattern: str) -> int:
        """Return how many numbered names follow each other from 0 on; `pattern` has {} in place of the number."""
        count = 0
        while pattern.format(count) in self.tensors:
            count += 1
        return count

    def find(self, pattern: str) -> list[str]:
        """Return what the group of a regular expression matches in the names, in the order of the file."""
        found = (re.fullmatch(pattern, name) for name in self.tensors)
        return list(dict.fromkeys(match.group(1) for match in found if match))

    def refuse(self, reason: str) -> UserError:
        """Return an error about networks that our parts cannot represent."""
        return UserError(f"{self.path} cannot be imported: {reason}.")


class Description(NamedTuple):
    """Description of a foreign checkpoint in our terms.

    algo: the version whose recipe is nearest. flags: config keys with dots that make our networks equal to the foreign
    ones. observation: spaces of the observations that its networks read, by their foreign names. action: Box, Discrete
    or MultiDiscrete. encoder, decoder: the foreign names that each of the two has. fresh: beginnings of the names of
    our parameters that the file cannot give; they start new.
    """

    algo: str
    flags: dict[str, Any]
    observation: spaces.Dict
    action: spaces.Space
    encoder: tuple[str, ...] = ()
    decoder: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()


def image_space(height: int, width: int, channels: int) -> spaces.Box:
    """Return the space of an image observation."""
    return spaces.Box(0, 255, (height, width, channels), np.uint8)


def vector_space(size: int) -> spaces.Box:
    """Return the space of a vector observation."""
    return spaces.Box(-np.inf, np.inf, (size,), np.float32)


def action_space(size: int, discrete: bool) -> spaces.Space:
    """Return the space of actions: Discrete(size) or Box of that width."""
    return spaces.Discrete(size) if discrete else spaces.Box(-1, 1, (size,), np.float32)


ONE_HOTS = 32  # groups of one-hots in every published size


def one_hots(source: Source, size: int, stored: int | None = None) -> dict[str, Any]:
    """Return the config keys of a latent of `size` numbers, which are one-hots; no shape shows how many.

    Their number is `--latent.stoch`, else `stored`, that of the settings, else the published one. Raises UserError if
    it does not divide the size.
    """
    groups = int(source.given.get("latent.stoch", stored or ONE_HOTS))
    if groups < 1 or size % groups:
        raise source.refuse(f"its {size} latent numbers are not {groups} one-hots; give their number: --latent.stoch N")
    return {"latent.stoch": groups, "latent.classes": size // groups}
