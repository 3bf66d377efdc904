"""`spaces.json` of a logdir: what a run sees and does, so that its agent can be rebuilt without environments."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from common.errors import UserError
from common.files import write_text
from common.safe_io import MIB, read_json

SPACES_FILE = "spaces.json"
UNSUPPORTED = "other"
MAX_SPACES_BYTES = 64 * MIB  # bytes of the file
MAX_SPACE_ELEMENTS = 2**26  # numbers of one observation or action
_FOREIGN = (LookupError, TypeError, AttributeError, OverflowError, AssertionError, RecursionError, MemoryError)


class Spaces(NamedTuple):
    """Observations (a Dict of Boxes) and actions as the agent has them; raw: both as the environment itself has them.

    The two differ where the environment is adapted: one-hots for Discrete, resized images, rescaled Boxes.
    """

    observation: spaces.Dict
    action: spaces.Space
    raw: tuple[spaces.Space, spaces.Space]


def from_envs(envs: Any) -> Spaces:
    """Spaces of environments."""
    return Spaces(envs.obs_space, envs.act_space, envs.raw or (envs.obs_space, envs.act_space))


def write(logdir: Path, found: Spaces) -> None:
    """Stores spaces in a logdir."""
    write_text(logdir / SPACES_FILE, json.dumps(to_json(found), indent=1, allow_nan=False) + "\n")


def to_json(found: Spaces) -> dict:
    """Spaces as plain JSON values."""
    own = {name: encode_space(getattr(found, name)) for name in ("observation", "action")}
    return {**own, "raw": list(map(encode_space, found.raw))}


def read(logdir: Path) -> Spaces:
    """Spaces stored in a logdir. Raises UserError where there are none."""
    path = logdir / SPACES_FILE
    try:
        stored = read_json(path, MAX_SPACES_BYTES)
        observation, action, raw = (
            decode_space(stored["observation"]),
            decode_space(stored["action"]),
            map(decode_space, stored["raw"]),
        )
        seen, done = raw
        if not isinstance(observation, spaces.Dict) or not all(isinstance(x, spaces.Box) for x in observation.values()):
            raise ValueError("the observations are no Dict of Boxes")
        return Spaces(observation, action, (seen, done))
    except FileNotFoundError:
        raise UserError(
            f"{logdir} has no {SPACES_FILE}: it is from before runs stored their spaces. "
            f"`python dreamer.py eval --logdir {logdir}` writes it."
        ) from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        mend = f"`python dreamer.py eval --logdir {logdir}` mends it."
        raise UserError(f"{path} is damaged ({error!r}). {mend}") from error


def encode_space(space: spaces.Space) -> dict:
    """A space as plain JSON values; one that the adapter leaves out, such as text, has no more than a name."""
    match space:
        case spaces.Dict():
            return {"type": "Dict", "spaces": {key: encode_space(child) for key, child in space.items()}}
        case spaces.Tuple():
            return {"type": "Tuple", "spaces": list(map(encode_space, space))}
        case spaces.Discrete():
            return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
        case spaces.MultiDiscrete():
            return {"type": "MultiDiscrete", "nvec": space.nvec.tolist(), "start": space.start.tolist()}
        case spaces.MultiBinary():
            return {"type": "MultiBinary", "shape": list(space.shape)}
        case spaces.Box():
            bounds = {"low": encode_bound(space.low), "high": encode_bound(space.high)}
            return {"type": "Box", "shape": list(space.shape), "dtype": space.dtype.name, **bounds}
    return {"type": UNSUPPORTED}


def encode_bound(values: np.ndarray) -> Any:
    """Bounds as text, which knows infinity: one where all are equal, else nested lists."""
    text = np.vectorize(lambda x: repr(float(x)), otypes=[object])(values)
    return text.flat[0] if values.size and (values == values.flat[0]).all() else text.tolist()


def decode_space(stored: dict) -> spaces.Space:
    """Undoes `encode`. Raises ValueError for what is no space, or one that no memory holds."""
    try:
        return _space(stored)
    except _FOREIGN as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _space(stored: dict) -> spaces.Space:
    kind = stored["type"]
    if kind == "Dict":
        return spaces.Dict({key: _space(child) for key, child in stored["spaces"].items()})
    if kind == "Tuple":
        return spaces.Tuple(map(_space, stored["spaces"]))
    if kind == "Discrete":
        return spaces.Discrete(_few(stored["n"]), start=stored["start"])
    if kind == "MultiDiscrete":
        _few(sum(_few(int(n)) for n in np.ravel(stored["nvec"])))
        return spaces.MultiDiscrete(np.array(stored["nvec"]), start=np.array(stored["start"]))
    if kind == "MultiBinary":
        _few(math.prod(stored["shape"]))
        return spaces.MultiBinary(stored["shape"][0] if len(stored["shape"]) == 1 else stored["shape"])
    if kind == UNSUPPORTED:
        return spaces.Space()
    if kind != "Box":
        raise ValueError(f"unknown space {kind}")
    shape, dtype = tuple(stored["shape"]), np.dtype(stored["dtype"])
    _few(math.prod(shape))
    low, high = (np.broadcast_to(np.array(stored[key], float), shape).astype(dtype) for key in ("low", "high"))
    return spaces.Box(low, high, shape, dtype.type)


def _few(count: int) -> int:
    """`count`, unless it is negative or no memory holds so many numbers."""
    if not 0 <= count <= MAX_SPACE_ELEMENTS:
        raise ValueError(f"{count} numbers")
    return count
