"""Episodes in npz files, one each, as other programs store them, read as records.

The files hold arrays (T, ...): `action` (one-hot or continuous) that led to the observation of the same row, `reward`,
observations, and `is_terminal` or a `discount` that is 0 at a terminal end.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from gymnasium import spaces

from common.errors import UserError
from common.replay.ring import Arrays
from common.safe_io import read_arrays

NOT_OBSERVATIONS = ("action", "reward", "discount", "reset", "logprob", "is_first", "is_last", "is_terminal")


def episode_paths(folder: Path) -> list[Path]:
    """Return the episodes in a folder, sorted by name, which usually is by time."""
    return sorted(folder.glob("*.npz"))


def read_episode(path: Path) -> Arrays:
    """Return the records (T, ...) of one episode: each with the action chosen at it, images uint8, vectors float32.

    Raises UserError if the file is not an episode.
    """
    try:
        arrays = read_arrays(path)
        length, action = len(arrays["reward"]), np.asarray(arrays["action"], np.float32)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not an episode: {error!r}. It needs the arrays action and reward.") from error
    wrong = {key: value.shape for key, value in arrays.items() if value.shape[:1] != (length,)}
    if wrong or action.ndim != 2:
        raise UserError(
            f"{path} is not an episode: action {action.shape} should be (T, A), and T be {length}: {wrong}."
        )
    last = np.arange(length) == length - 1
    terminal = arrays.get("is_terminal", arrays.get("discount", np.ones(length)) == 0)
    flags = {"is_first": np.arange(length) == 0, "is_last": last, "is_terminal": last & terminal.astype(bool)}
    chosen = np.concatenate([action[1:], np.zeros_like(action[:1])])
    seen = {key: value for key, value in arrays.items() if key not in NOT_OBSERVATIONS and not key.startswith("log")}
    plain = {key: x if x.dtype == np.uint8 and x.ndim == 4 else x.astype(np.float32) for key, x in seen.items()}
    return {**plain, "reward": arrays["reward"].astype(np.float32), "action": chosen, **flags}


def iter_records(records: Arrays) -> Iterator[Arrays]:
    """Yield the records of an episode in turn, (1, ...) each."""
    for t in range(len(records["reward"])):
        yield {key: value[t : t + 1] for key, value in records.items()}


def spaces_of(records: Arrays) -> tuple[spaces.Dict, spaces.Space]:
    """Return observation and action space of an episode; actions are discrete if all of them are one-hot."""
    boxes: dict[str, spaces.Space] = {}
    for key, value in records.items():
        if key not in NOT_OBSERVATIONS:
            low, high = (0.0, 255.0) if value.dtype == np.uint8 else (-np.inf, np.inf)
            boxes[key] = spaces.Box(low, high, value.shape[1:], value.dtype.type)
    action = records["action"][:-1]
    one_hot = action.shape[1] > 1 and np.isin(action, (0, 1)).all() and (action.sum(1) == 1).all()
    width = action.shape[1]
    return spaces.Dict(boxes), spaces.Discrete(width) if one_hot else spaces.Box(-1, 1, (width,), np.float32)
