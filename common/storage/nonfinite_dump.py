"""Files of what was not finite: all that is needed to compute it again, anywhere.

A folder keeps two of them, of the first and of the last time. They have the form of checkpoints, so reading one runs no
foreign code.
"""

import json
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.storage import checkpoint_file

FILE_NAMES = ("first.pt", "last.pt")


def save(folder: Path, state: dict) -> Path:
    """Writes `state` as the first or, if there is one, the last file; returns its path.

    state: config, spaces (of observations and actions, as common/storage/spaces.py encodes them), agent (its state),
    updates, step, names (of what was not finite); for an update batch and rng, for an action record and acting (the
    agent's state in the environments).
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAMES[(folder / FILE_NAMES[0]).exists()]
    plain = json.loads(json.dumps(state["config"]))
    checkpoint_file.write(path, {**state, "config": plain}, caught=state["updates"], algo=plain["algo"])
    return path


def load(path: Path) -> dict:
    """Content of such a file. Raises UserError where it is none, or damaged."""
    try:
        state = checkpoint_file.read(path)
    except checkpoint_file.DamagedCheckpoint as error:
        raise UserError(f"{path} cannot be used: {error}. Runs keep such files in LOGDIR/nonfinite.") from error
    if not {"config", "spaces", "agent", "names"} <= set(state):
        raise UserError(f"{path} is a checkpoint, not a file of a run's nonfinite folder.")
    return state


def nonfinite_keys(arrays: dict) -> list[str]:
    """Keys of arrays or tensors that hold a NaN or infinity."""
    values = {key: np.asarray(x) for key, x in arrays.items()}
    return [key for key, x in values.items() if x.dtype.kind == "f" and not np.isfinite(x).all()]
