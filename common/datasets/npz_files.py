"""Episodes in npz files, as other programs store them, read as records.

The files hold arrays (T, ...): `action` (one-hot or continuous), `reward`, observations, and `is_terminal` or a
`discount` that is 0 at a terminal end. With `is_first`, a file may hold several episodes and parts of episodes.

Official DreamerV1 and V2 store with each row the action that led to it, DreamerV3 the action chosen at it. The second
form is recognised by DreamerV3's names of files or keys, or by actions that are zero at the ends of episodes only.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from common.errors import UserError
from common.replay.ring import Arrays
from common.safe_io import read_arrays

FLAGS = ("is_first", "is_last", "is_terminal")
NOT_OBSERVATIONS = ("action", "reward", "discount", "reset", "logprob", *FLAGS)
#: Arrays of the agent or the replay that wrote the file.
NOT_OBSERVED = ("stepid", "consec", "deter", "stoch", "logit", "prev_action", "index")
#: Arrays of files that hold transitions, besides next_KEY of an observation KEY.
OF_TRANSITIONS = re.compile(
    r"next_(obs|observation|state)s?|(done|terminal|terminated|termination|truncated|truncation|timeout)s?"
)
CHUNK_NAME = re.compile(r"[^-]+-(?P<own>\w+)-(?P<next>\w+)-\d+\.npz")  # of official DreamerV3: time, id, successor
MIN_IMAGE_SIDE, MAX_CHANNELS = 16, 15  # as of environments
ACTION_TOLERANCE = 1e-4  # beyond [-1, 1], as rounding gives


def episode_paths(folder: Path) -> list[Path]:
    """Return the files in a folder, sorted by name, which usually is by time; a chunk's successor comes after it."""
    paths = sorted(folder.glob("*.npz"))
    links = {path: match for path in paths if (match := CHUNK_NAME.fullmatch(path.name))}
    owners, followers = {link["own"]: path for path, link in links.items()}, {link["next"] for link in links.values()}
    ordered: dict[Path, None] = {}
    starts = [path for path in paths if path not in links or links[path]["own"] not in followers]
    for start in [*starts, *paths]:  # the second part is of chunks that follow each other in a circle
        path: Path | None = start
        while path is not None and path not in ordered:
            ordered[path] = None
            path = owners.get(links[path]["next"]) if path in links else None
    return list(ordered)


def follows(path: Path, before: Path | None) -> bool:
    """Whether a file continues the one before it: it is the successor that the name of that chunk gives."""
    here, there = CHUNK_NAME.fullmatch(path.name), before and CHUNK_NAME.fullmatch(before.name)
    return bool(here and there and here["own"] == there["next"])


def read_files(paths: Sequence[Path]) -> Iterator[Arrays]:
    """Yield the records (T, ...) of each file.

    Raises UserError if a file is not like the first one: other keys, shapes, types, or kind of action.
    """
    first: Any = None
    for index, path in enumerate(paths):
        before = paths[index - 1] if index else None
        continued = index + 1 < len(paths) and follows(paths[index + 1], path)
        records = read_episode(path, continues=follows(path, before), continued=continued)
        form = {key: (value.shape[1:], str(value.dtype)) for key, value in records.items()}
        first = first or (form, spaces_of(records)[1])
        if wrong := {key for key in form.keys() | first[0].keys() if form.get(key) != first[0].get(key)}:
            key = min(wrong)
            raise UserError(
                f"{path} does not fit {paths[0]}: {key} is {form.get(key, 'missing')}, not "
                f"{first[0].get(key, 'missing')}. Give a folder with files of one task."
            )
        if isinstance(first[1], spaces.Discrete) and not _is_one_hot(records):
            raise UserError(f"{path} does not fit {paths[0]}: its actions are not one-hot. Separate the two tasks.")
        yield records


def read_episode(path: Path, *, continues: bool = False, continued: bool = False) -> Arrays:
    """Return the records (T, ...) of one file: each with the action chosen at it, images uint8, vectors float32.

    continues: the first row continues the episode of the file before. continued: the next file continues the last one.

    Raises UserError if the file is not an episode, holds a NaN or infinity, or has actions outside [-1, 1]: only
    DreamerV3 stores actions before its environment clips them.
    """
    arrays = _read_numbers(path)
    reward, length = _to_float32(arrays["reward"]), len(arrays["reward"])
    wrong = {key: value.shape for key, value in arrays.items() if value.shape[:1] != (length,)}
    if wrong or not length:
        raise UserError(f"{path} is not an episode: all arrays must have {length} rows as reward has, not {wrong}.")
    action = _checked_action(path, arrays["action"])
    seen = {key: value for key, value in arrays.items() if key not in NOT_OBSERVATIONS}
    plain = {key: _plain_observation(path, key, value) for key, value in seen.items()}
    flags = _flags(arrays, length, continues, continued, path)
    _check_finite(path, {**plain, "reward": reward, "action": action, "discount": arrays.get("discount", reward)})
    of_v3 = bool(CHUNK_NAME.fullmatch(path.name) or {"stepid", "consec"} & arrays.keys())
    if not of_v3 and (far := np.abs(action).max(initial=0)) > 1 + ACTION_TOLERANCE:
        raise UserError(
            f"{path} has actions outside [-1, 1], up to {far:g}. Scale them to [-1, 1] in the files; "
            "discrete ones must be one-hot."
        )
    if not (of_v3 or _is_chosen_at_its_row(arrays, action, flags)):
        action = np.concatenate([action[1:], np.zeros_like(action[:1])])
        action[flags["is_last"]] = 0
    return {**plain, "reward": reward, "action": action if of_v3 else action.clip(-1, 1), **flags}


def _read_numbers(path: Path) -> Arrays:
    """Return the arrays of a file that belong to its records, with the reward and flags as (T,).

    Raises UserError if it has no action and reward, or if their rows or types, or those of the flags, are wrong.
    """
    try:
        found = read_arrays(path)
        arrays = {key: x for key, x in found.items() if key in NOT_OBSERVATIONS or not is_left_out(key, x)}
        length = len(arrays["reward"])
        assert arrays["action"] is not None
        for key in {"reward", "discount", "reset", *FLAGS} & arrays.keys():
            arrays[key] = arrays[key].reshape(length)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not an episode: {error!r}. It needs the arrays action and reward.") from error
    if texts := sorted(key for key, x in arrays.items() if x.dtype.kind not in "buif"):
        raise UserError(f"{path} has {texts[0]} of type {arrays[texts[0]].dtype}. Store numbers or bools.")
    if odd := sorted(
        x for x in arrays if OF_TRANSITIONS.fullmatch(x) or x.removeprefix("next_") in arrays.keys() - {x}
    ):
        raise UserError(
            f"{path} has {', '.join(odd)}, as files of transitions have. Store records instead: each row has an "
            "observation, the reward and action that led to it, is_first, is_last and is_terminal, see docs/data.md."
        )
    return arrays


def _checked_action(path: Path, action: np.ndarray) -> np.ndarray:
    """Return actions (T, A), float32. Raises UserError for numbers of choices, which are not one-hot."""
    one_hot = action.ndim == 2 and action.shape[1] > 1 and np.isin(action, (0, 1)).all() and (action.sum(1) <= 1).all()
    if action.ndim != 2 or not action.shape[1] or (action.dtype.kind != "f" and not one_hot):
        raise UserError(
            f"{path} has action {action.shape} of type {action.dtype}. Store discrete actions one-hot and continuous "
            "ones as floats, both (T, A)."
        )
    return _to_float32(action)


def _plain_observation(path: Path, key: str, value: np.ndarray) -> np.ndarray:
    """Return images as uint8 (T, H, W, C), others as float32 (T, n) or (T,). Raises UserError for other images."""
    large = value.ndim > 3 or (value.ndim == 3 and min(value.shape[1:]) >= MIN_IMAGE_SIDE)
    if large and value.ndim == 3:
        value = value[..., None]
    if large and value.ndim == 4 and value.dtype == np.uint8 and value.shape[3] <= MAX_CHANNELS:
        return value
    if large:
        raise UserError(f"{path} has {key} {value.shape} of type {value.dtype}. Store images as uint8 (T, H, W, C).")
    return _to_float32(value if value.ndim < 3 else value.reshape(len(value), -1))


def _to_float32(value: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # `_check_finite` reports it
        return value.astype(np.float32)


def is_left_out(key: str, value: np.ndarray) -> bool:
    """Whether an array is not an observation: logged, a latent or an identifier of the program that wrote it."""
    of_writer = key in NOT_OBSERVED or "/" in key or key.startswith("log")
    return of_writer or value.dtype.kind not in "buif" or not value.ndim


def left_out(path: Path) -> list[str]:
    """Return the keys of a file that are not taken for observations, and that are not part of every record."""
    return [key for key, value in read_arrays(path).items() if key not in NOT_OBSERVATIONS and is_left_out(key, value)]


def has_terminals(path: Path) -> bool:
    """Whether a file says which ends are terminal."""
    return not {"is_terminal", "discount"}.isdisjoint(read_arrays(path))


def _flags(arrays: Arrays, length: int, continues: bool, continued: bool, path: Path) -> Arrays:
    """Return is_first, is_last and is_terminal, bool (T,): a file begins and ends an episode unless it is continued."""
    stored = {key: arrays[key] for key in (*FLAGS, "reset") if key in arrays}
    for key, value in stored.items():
        if not np.isin(value, (0, 1)).all():
            raise UserError(f"{path} has a {key} that is neither true nor false. Repair the file, or remove it.")
    nothing = np.zeros(length, bool)
    first = stored.get("is_first", stored.get("reset", nothing)).astype(bool)
    last = stored.get("is_last", nothing).astype(bool)
    terminal = stored.get("is_terminal", arrays.get("discount", np.ones(length)) == 0).astype(bool)
    first[0] |= not continues
    last[-1] |= not continued
    last |= terminal  # no reward can follow, so the next row is of another episode
    last[:-1] |= first[1:]
    first[1:] |= last[:-1]
    return {"is_first": first, "is_last": last, "is_terminal": terminal}


def _check_finite(path: Path, arrays: Arrays) -> None:
    for key, value in arrays.items():
        if value.dtype.kind == "f" and len(rows := np.argwhere(~np.isfinite(value))):
            raise UserError(f"{path} has {key} that is not finite in row {rows[0][0]}. Repair the file, or remove it.")


def _is_chosen_at_its_row(arrays: Arrays, action: np.ndarray, flags: Arrays) -> bool:
    """Whether each action was chosen at its row, as DreamerV3 stores it, and did not lead to it."""
    ends, starts = action[flags["is_last"]], action[flags["is_first"]]
    return "is_last" in arrays and len(ends) > 0 and not ends.any() and bool(starts.any())


def _is_one_hot(records: Arrays) -> bool:
    action = records["action"][~records["is_last"]]
    return bool(action.shape[1] > 1 and np.isin(action, (0, 1)).all() and (action.sum(1) == 1).all())


def spaces_of(records: Arrays) -> tuple[spaces.Dict, spaces.Space]:
    """Return observation and action space of an episode; actions are discrete if all of them are one-hot."""
    boxes: dict[str, spaces.Space] = {}
    for key, value in records.items():
        if key not in NOT_OBSERVATIONS:
            low, high = (0.0, 255.0) if value.dtype == np.uint8 else (-np.inf, np.inf)
            boxes[key] = spaces.Box(low, high, value.shape[1:], value.dtype.type)
    width = records["action"].shape[1]
    one_hot = _is_one_hot(records)
    return spaces.Dict(boxes), spaces.Discrete(width) if one_hot else spaces.Box(-1, 1, (width,), np.float32)
