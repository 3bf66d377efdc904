"""Observations and actions of other programs, described by Gymnasium spaces, as those of records.

The rules are those of environments, see `common/envs/adapt/`: images become uint8 (H, W, C), everything else float32;
continuous actions are scaled to [-1, 1], discrete ones become one-hot.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces

from common.datasets.dataset import ACTION_TOLERANCE, ImageForm, to_one_hot
from common.envs.adapt.actions import action_part, finite_bounds, leaf_spaces, normalize_action_space
from common.envs.adapt.adapter import check_keys, is_log_only, named_leaves, observation_converter, split_readable
from common.envs.adapt.images import fit_image, is_image
from common.errors import UserError
from common.replay.ring import Arrays


class ForeignSpaces:
    """Converts episodes of a dataset with Gymnasium spaces.

    observation, action: the spaces of the records. notes: sentences about what is left out. Raises UserError for
    spaces that cannot be read.
    """

    def __init__(self, observation: spaces.Space, action: spaces.Space, form: ImageForm):
        self.raw = observation, action
        found, unreadable = split_readable(observation)
        read = {key: space for key, space in found if not is_log_only(key)}
        self.fit = lambda image: fit_image(image, form.size, form.gray, form.resize)
        self.converters = {key: observation_converter(space, key, self.fit) for key, space in read.items()}
        check_keys([key for key, _ in found], list(self.converters), unreadable)
        self.read = read
        self.observation = spaces.Dict({key: space for key, (space, _) in self.converters.items()})
        self.scale = form.action_scale
        self.action = normalize_action_space(action, form.action_scale)[0]
        self.notes = [f"Observation {key!r} is left out: {reason}." for key, reason in unreadable.items()]
        leaves = list(leaf_spaces(action))
        self.discrete = [bool(action_part(leaf, form.action_scale).values.size) for leaf in leaves]
        if len(set(self.discrete)) > 1:
            raise UserError(
                f"The action space {action} has discrete and continuous parts, which is not supported here."
            )

    def observations(self, value: Any, where: str) -> Arrays:
        """Return the observations of an episode. Raises UserError if they do not fit the space."""
        try:
            leaves = dict(named_leaves(self.raw[0], value))
            return {key: self._observation(key, leaves[key]) for key in self.read}
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{where}: {error}") from error

    def _observation(self, key: str, values: Any) -> np.ndarray:
        """Return the values (T, ...) of one observation, converted."""
        space, (box, convert) = self.read[key], self.converters[key]
        values = np.asarray(values)
        plain_image = is_image(space) and values.dtype == np.uint8 and values.shape[1:] == box.shape  # type: ignore[arg-type]
        if plain_image and np.all(space.low == 0) and np.all(space.high == 255):  # type: ignore[attr-defined]
            return values
        if isinstance(space, spaces.Box) and not is_image(space) and values.dtype.kind in "biuf":
            if values.shape[1:] != space.shape:
                raise ValueError(f"Observation {key!r} has shape {values.shape[1:]}, its space says {space.shape}.")
            return values.astype(np.float32).reshape(len(values), *box.shape)  # type: ignore[misc]
        return np.stack([convert(each) for each in values])

    def actions(self, value: Any, where: str) -> np.ndarray:
        """Return an episode's actions as vectors (T, A), float32. Raises UserError if one is out of range."""
        found = list(_leaf_values(self.raw[1], value))
        if self.discrete[0]:
            choices = [np.asarray(x).reshape(len(x), -1) - _start(space, self.scale) for space, x in found]
            return to_one_hot(np.concatenate(choices, 1), self.action, where)
        return np.concatenate([self._continuous(space, x, where) for space, x in found], 1)

    def _continuous(self, space: Any, value: Any, where: str) -> np.ndarray:
        low, high = finite_bounds(space, self.scale)
        share = 2 * (np.asarray(value, np.float64) - low) / (high - low) - 1
        share = share.reshape(len(share), -1)
        if not np.isfinite(share).all():
            raise UserError(f"{where} has an action that is not finite. Repair or remove it.")
        if (beyond := np.abs(share).max(initial=0)) > 1 + ACTION_TOLERANCE:
            step = int(np.argmax(np.abs(share).max(1)))
            raise UserError(
                f"{where} has an action outside its space {space} at step {step}: {np.asarray(value)[step].tolist()}. "
                f"Repair the data, or give --env.action_scale {beyond * self.scale:.3g} if the space has no bounds."
            )
        return share.clip(-1, 1).astype(np.float32)


def _start(space: Any, scale: float) -> np.ndarray | int:
    """Return the smallest value of each number of a discrete action."""
    if isinstance(space, spaces.Box):
        return finite_bounds(space, scale)[0].reshape(-1).astype(int)
    return np.reshape(getattr(space, "start", 0), -1)


def _leaf_values(space: spaces.Space, value: Any) -> Iterator[tuple[spaces.Space, Any]]:
    """Yield each leaf of an action space with its values (T, ...)."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        for key, child in space.items() if isinstance(space, spaces.Dict) else enumerate(space):
            yield from _leaf_values(child, value[key])
    else:
        yield space, value
