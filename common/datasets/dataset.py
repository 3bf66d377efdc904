"""The interface of every format of stored episodes: its spaces, its episodes as records, and a writer.

Records of an episode are arrays (T, ...): observation keys, `action` float32 (T, A), chosen at each record, `reward`
float32 (T,), on arrival, `is_first`, `is_last` and `is_terminal`. An episode of L steps has L + 1 records. Discrete
actions are one-hot, continuous ones in [-1, 1]; the last action of an episode is zero. A part of an episode lacks
is_first at its first record, or is_last at its last one.

DreamerV3 samples from a distribution without bounds and stores the samples; environments clip them. Its records have
actions beyond [-1, 1].
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
from gymnasium import spaces as gym_spaces

from common.errors import UserError
from common.replay.metadata import FLAG_KEYS
from common.replay.ring import Arrays
from common.storage.spaces import Spaces

ACTION_TOLERANCE = 1e-4  # beyond [-1, 1], as rounding gives
RECORD_KEYS = ("action", "reward", *FLAG_KEYS)


class ImageForm(NamedTuple):
    """The form that images of a format without a fixed one take, see `fit_image`. size 0 keeps (H, W)."""

    size: int = 0
    gray: bool = False
    resize: str = "area"
    action_scale: float = 1.0


class Dataset(Protocol):
    """Stored episodes.

    place: path or name, for messages. spaces: of the records. task: the task that they are of, '' if unknown. render:
    `env.render` of their images, '' if unknown.
    """

    place: str
    spaces: Spaces
    task: str
    render: str

    def episodes(self) -> Iterator[Arrays]:
        """Yield the records of each episode, or part of an episode, one at a time.

        Raises UserError, which names place and episode, if the content is unsuitable.
        """

    def notes(self) -> list[str]:
        """Return sentences about what was assumed or left out; complete after all episodes were read."""


class About(NamedTuple):
    """The facts about a dataset that a writer stores."""

    spaces: Spaces
    task: str
    render: str


class Writer(Protocol):
    """Writes episodes to a new folder. `lost` names, for the user, what the format cannot hold."""

    lost: list[str]

    def add(self, records: Arrays) -> None:
        """Write one episode, or one part of an episode."""

    def close(self) -> None:
        """Complete the folder."""


class EpisodeCutter:
    """Cuts the rows of one stream into episodes. A row begins an episode if it is first or follows a last one."""

    def __init__(self) -> None:
        self.open: list[Arrays] = []

    def feed(self, rows: Arrays) -> Iterator[Arrays]:
        """Yield the episodes that these rows (T, ...) complete."""
        ends = rows["is_last"].copy()
        ends[:-1] |= rows["is_first"][1:]
        if rows["is_first"][0]:
            yield from self.rest()
        begin = 0
        for end in (np.flatnonzero(ends) + 1).tolist():
            self.open.append({key: value[begin:end] for key, value in rows.items()})
            yield from self.rest()
            begin = end
        if begin < len(ends):
            self.open.append({key: value[begin:] for key, value in rows.items()})

    def rest(self) -> Iterator[Arrays]:
        """Yield the rows that no later one completes, if there are any."""
        parts, self.open = self.open, []
        if parts:
            yield {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def cut_episodes(pieces: Iterable[Arrays]) -> Iterator[Arrays]:
    """Yield the episodes in consecutive pieces of one stream."""
    cutter = EpisodeCutter()
    for piece in pieces:
        yield from cutter.feed(piece)
    yield from cutter.rest()


def is_whole(records: Arrays) -> bool:
    """Whether records are a complete episode."""
    return bool(records["is_first"][0] and records["is_last"][-1])


def episode_flags(length: int, *, terminal: bool) -> Arrays:
    """Return the flags of an episode of `length` records."""
    at = np.arange(length)
    last = at == length - 1
    return {"is_first": at == 0, "is_last": last, "is_terminal": last & terminal}


def arrival_actions(records: Arrays) -> np.ndarray:
    """Return the action that led to each record, (T, A): zeros at the first."""
    return np.concatenate([np.zeros_like(records["action"][:1]), records["action"][:-1]])


def check_records(records: Arrays, spaces: Spaces, where: str, *, bounded: bool = True) -> Arrays:
    """Return the records of an episode if they fit `spaces`; where: names the episode.

    bounded: continuous actions must be in [-1, 1].

    Raises UserError, with what is wrong, for missing keys, lengths that disagree, other shapes or types, values that
    are not finite, and actions that are not one-hot or beyond [-1, 1].
    """
    boxes: dict[str, gym_spaces.Space] = dict(spaces.observation.items())
    if missing := [key for key in (*boxes, *RECORD_KEYS) if key not in records]:
        raise UserError(f"{where} has no {', '.join(missing)}. It has {', '.join(sorted(records))}.")
    length = len(records["reward"])
    if wrong := {key: len(x) for key, x in records.items() if len(x) != length}:
        raise UserError(f"{where} has {length} rewards, but other lengths of {wrong}. Repair or remove it.")
    for key, box in boxes.items():
        value = records[key]
        if value.shape[1:] != box.shape or value.dtype != box.dtype:
            hint = " Store images as uint8." if box.dtype == np.uint8 else ""
            raise UserError(
                f"{where} has {key} {value.shape[1:]} of type {value.dtype}, not {box.shape} of type {box.dtype}.{hint}"
            )
    for key, value in records.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            row = np.argwhere(~np.isfinite(value))[0][0]
            raise UserError(f"{where} has {key} that is not finite in row {row}. Repair or remove it.")
    check_actions(records, spaces.action, where, bounded)
    return records


def check_actions(records: Arrays, space: gym_spaces.Space, where: str, bounded: bool) -> None:
    """Raise UserError if actions are not those of `space`: one-hot, or, if they are bounded, in [-1, 1]."""
    action = records["action"][~records["is_last"]]
    if isinstance(space, gym_spaces.Box):
        if action.shape[1:] != space.shape:
            raise UserError(f"{where} has actions of {action.shape[1:]} numbers, not {space.shape} as the others.")
        if bounded and (far := np.abs(action).max(initial=0)) > 1 + ACTION_TOLERANCE:
            raise UserError(f"{where} has actions outside [-1, 1], up to {far:g}. Scale them to [-1, 1].")
        return
    for part in split_choices(action, space):
        if not (np.isin(part, (0, 1)).all() and (part.sum(1) == 1).all()):
            raise UserError(f"{where} has actions that are not one-hot, although the action space is {space}.")


def split_choices(action: np.ndarray, space: gym_spaces.Space) -> list[np.ndarray]:
    """Return the one-hot vectors of each number of a discrete action, from action vectors (T, A)."""
    sizes = space.nvec if isinstance(space, gym_spaces.MultiDiscrete) else [space.n]  # type: ignore[attr-defined]
    return np.split(action, np.cumsum(sizes)[:-1], axis=1)


def to_choices(action: np.ndarray, space: gym_spaces.Space) -> np.ndarray:
    """Return action vectors (T, A) as int64 choices: (T,) of a Discrete, (T, k) of a MultiDiscrete."""
    index = np.stack([part.argmax(1) for part in split_choices(action, space)], 1)
    return index[:, 0] if isinstance(space, gym_spaces.Discrete) else index


def to_one_hot(choices: np.ndarray, space: gym_spaces.Space, where: str) -> np.ndarray:
    """Undo `to_choices`. Raises UserError for a choice that `space` does not have."""
    sizes = np.array(space.nvec if isinstance(space, gym_spaces.MultiDiscrete) else [space.n])  # type: ignore[attr-defined]
    index = np.asarray(choices).reshape(len(choices), -1)
    if index.shape[1] != len(sizes):
        raise UserError(f"{where} has actions of {index.shape[1]} numbers, which {space} does not have.")
    if (wrong := ((index != np.floor(index)) | (index < 0) | (index >= sizes)).any(1)).any():
        step = int(np.argmax(wrong))
        raise UserError(f"{where} has an action outside {space} at step {step}: {index[step].tolist()}.")
    parts = [np.eye(n, dtype=np.float32)[index[:, k].astype(int)] for k, n in enumerate(sizes.tolist())]
    return np.concatenate(parts, 1)


def with_clipped_actions(records: Arrays, lost: list[str]) -> Arrays:
    """Return records with actions in [-1, 1], as environments get them; add a sentence to `lost` if one changed."""
    clipped = records["action"].clip(-1, 1)
    sentence = "Actions beyond [-1, 1], as V3 samples them, are clipped, as its environment does."
    if sentence not in lost and not np.array_equal(clipped, records["action"]):
        lost.append(sentence)
    return records | {"action": clipped}


def holds_steps(records: Arrays, lost: list[str]) -> bool:
    """Whether records have a step, which a format of steps needs; add to `lost` what it cannot hold of them."""
    found = []
    if len(records["reward"]) < 2:
        found.append("Parts of episodes with one record, and so without a step, are left out.")
    elif not is_whole(records):
        found.append("Parts of episodes count as whole ones; an end that is not stored is a truncation.")
    if records["reward"][0]:
        found.append("Rewards at the first record of an episode, which no action earned, are left out.")
    lost += [sentence for sentence in found if sentence not in lost]
    return len(records["reward"]) > 1
