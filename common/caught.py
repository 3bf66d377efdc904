"""Files of what was not finite: all that is needed to compute it again, anywhere.

A folder keeps two of them, of the first and of the last time. They have the form of checkpoints, so reading one runs no
foreign code.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from common import checkpoint
from common.errors import UserError

FILES = ("first.pt", "last.pt")


def save(folder: Path, state: dict) -> Path:
    """Writes `state` as the first or, if there is one, the last file; returns its path.

    state: config, spaces (see `describe`), agent (its state), updates, step, names (of what was not finite); for an
    update batch and rng, for an action record and acting (the agent's state in the environments).
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILES[(folder / FILES[0]).exists()]
    plain = json.loads(json.dumps(state["config"]))
    checkpoint.write(path, {**state, "config": plain}, caught=state["updates"], algo=plain["algo"])
    return path


def load(path: Path) -> dict:
    """Content of such a file. Raises UserError where it is none, or damaged."""
    try:
        state = checkpoint.read(path)
    except checkpoint.Damaged as error:
        raise UserError(f"{path} cannot be used: {error}. Runs keep such files in LOGDIR/nonfinite.") from error
    if not {"config", "spaces", "agent", "names"} <= set(state):
        raise UserError(f"{path} is a checkpoint, not a file of a run's nonfinite folder.")
    return state


def describe(obs_space: Any, act_space: Any) -> dict:
    """What an agent needs of its spaces, as plain values."""
    obs = {key: [list(box.shape), str(box.dtype)] for key, box in obs_space.items()}
    sizes = {"Discrete": lambda: int(act_space.n), "MultiDiscrete": lambda: [int(n) for n in act_space.nvec]}
    kind = type(act_space).__name__
    return {"obs": obs, "act": [kind, sizes.get(kind, lambda: list(act_space.shape))()]}


def restore(described: dict) -> tuple[spaces.Dict, spaces.Space]:
    """Undoes `describe`."""
    obs, (kind, size) = described["obs"], described["act"]
    boxes: dict[str, spaces.Space] = {key: _box(tuple(shape), np.dtype(dtype)) for key, (shape, dtype) in obs.items()}
    made = {"Discrete": spaces.Discrete, "MultiDiscrete": spaces.MultiDiscrete}
    return spaces.Dict(boxes), made[kind](size) if kind in made else spaces.Box(-1, 1, tuple(size), np.float32)


def _box(shape: tuple, dtype: np.dtype) -> spaces.Box:
    low, high = (0, 255) if dtype == np.uint8 else (-np.inf, np.inf)
    return spaces.Box(low, high, shape, dtype.type)


def broken(arrays: dict) -> list[str]:
    """Keys of arrays or tensors that hold a NaN or infinity."""
    values = {key: np.asarray(x) for key, x in arrays.items()}
    return [key for key, x in values.items() if x.dtype.kind == "f" and not np.isfinite(x).all()]
