"""Dumps of a NaN or infinity: all that is needed to compute it again, on any machine.

A folder keeps two dumps, of the first and of the last time. They have the format of checkpoints, so reading one runs no
code from it.
"""

import json
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.storage import checkpoint_file

FILE_NAMES = ("first.pt", "last.pt")


def save(folder: Path, state: dict) -> Path:
    """Write `state` as the first dump or, if that exists, as the last one; return its path.

    state: config, spaces (as common/storage/spaces.py encodes them), agent (its state), updates, step, names (of what
    was not finite); for an update also batch and rng, for an action also record and acting (the agent's latent state).
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAMES[(folder / FILE_NAMES[0]).exists()]
    config = json.loads(json.dumps(state["config"]))
    checkpoint_file.write(path, {**state, "config": config}, caught=state["updates"], algo=config["algo"])
    return path


def load(path: Path) -> dict:
    """Return the content of a dump. Raises UserError if the file is damaged or something else."""
    try:
        state = checkpoint_file.read(path)
    except checkpoint_file.DamagedCheckpoint as error:
        raise UserError(f"{path} cannot be used: {error}. Runs keep their dumps in LOGDIR/nonfinite.") from error
    if not {"config", "spaces", "agent", "names"} <= set(state):
        raise UserError(f"{path} is a checkpoint, not a file of a run's nonfinite folder.")
    return state


def nonfinite_keys(arrays: dict) -> list[str]:
    """Return the keys of the arrays or tensors with a NaN or infinity."""
    values = {key: np.asarray(x) for key, x in arrays.items()}
    return [key for key, x in values.items() if x.dtype.kind == "f" and not np.isfinite(x).all()]
