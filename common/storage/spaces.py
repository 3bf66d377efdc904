"""`spaces.json` of a run directory: with it an agent can be rebuilt without environments."""

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
MAX_SPACES_BYTES = 64 * MIB
MAX_SPACE_ELEMENTS = 2**26  # numbers of one observation or action


class Spaces(NamedTuple):
    """Spaces of observations (a Dict of Boxes) and actions, as the agent sees them; raw: both as the environment has.

    The two differ if the environment is adapted: one-hots for Discrete, resized images, rescaled Boxes.
    """

    observation: spaces.Dict
    action: spaces.Space
    raw: tuple[spaces.Space, spaces.Space]


def from_envs(envs: Any) -> Spaces:
    """Return the spaces of environments."""
    return Spaces(envs.obs_space, envs.act_space, envs.raw or (envs.obs_space, envs.act_space))


def write(logdir: Path, found: Spaces) -> None:
    """Store spaces in a run directory."""
    write_text(logdir / SPACES_FILE, json.dumps(to_json(found), indent=1, allow_nan=False) + "\n")


def to_json(found: Spaces) -> dict:
    """Return spaces as plain JSON values."""
    own = {name: encode_space(getattr(found, name)) for name in ("observation", "action")}
    return {**own, "raw": list(map(encode_space, found.raw))}


def from_json(stored: Any) -> Spaces:
    """Undo `to_json`. Raises ValueError, LookupError, TypeError or AttributeError if `stored` is malformed."""
    observation, action, *raw = map(decode_space, (stored["observation"], stored["action"], *stored["raw"]))
    if not isinstance(observation, spaces.Dict) or not all(isinstance(x, spaces.Box) for x in observation.values()):
        raise ValueError("the observation space is not a Dict of Boxes")
    raw_observation, raw_action = raw
    return Spaces(observation, action, (raw_observation, raw_action))


def read(logdir: Path) -> Spaces:
    """Return the spaces stored in a run directory. Raises UserError if they are missing or damaged."""
    path, advice = logdir / SPACES_FILE, f"`python dreamer.py eval --logdir {logdir}` writes it."
    try:
        return from_json(read_json(path, MAX_SPACES_BYTES))
    except FileNotFoundError:
        raise UserError(f"{logdir} has no {SPACES_FILE}: older versions did not store it. {advice}") from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error!r}). {advice}") from error


def encode_space(space: spaces.Space) -> dict:
    """Return a space as JSON values. A space that the adapter omits, such as text, has only a type."""
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
            bounds = {"low": _encode_bound(space.low), "high": _encode_bound(space.high)}
            return {"type": "Box", "shape": list(space.shape), "dtype": space.dtype.name, **bounds}
    return {"type": UNSUPPORTED}


def _encode_bound(values: np.ndarray) -> Any:
    """Return bounds as text, which has infinity: one if all are equal, else nested lists."""
    text = np.vectorize(lambda x: repr(float(x)), otypes=[object])(values)
    return text.flat[0] if values.size and (values == values.flat[0]).all() else text.tolist()


def decode_space(stored: dict) -> spaces.Space:
    """Undo `encode_space`. Raises ValueError if `stored` is malformed or the space too large for memory."""
    try:
        return _decode(stored)
    except (
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
        AssertionError,
        RecursionError,
        MemoryError,
    ) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _decode(stored: dict) -> spaces.Space:
    kind = stored["type"]
    if kind == "Dict":
        return spaces.Dict({key: _decode(child) for key, child in stored["spaces"].items()})
    if kind == "Tuple":
        return spaces.Tuple(map(_decode, stored["spaces"]))
    if kind == "Discrete":
        return spaces.Discrete(_limited(stored["n"]), start=stored["start"])
    if kind == "MultiDiscrete":
        _limited(sum(_limited(int(n)) for n in np.ravel(stored["nvec"])))
        return spaces.MultiDiscrete(np.array(stored["nvec"]), start=np.array(stored["start"]))
    if kind == "MultiBinary":
        _limited(math.prod(stored["shape"]))
        return spaces.MultiBinary(stored["shape"][0] if len(stored["shape"]) == 1 else stored["shape"])
    if kind == UNSUPPORTED:
        return spaces.Space()
    if kind != "Box":
        raise ValueError(f"unknown space {kind}")
    shape, dtype = tuple(stored["shape"]), np.dtype(stored["dtype"])
    _limited(math.prod(shape))
    low, high = (np.broadcast_to(np.array(stored[key], float), shape).astype(dtype) for key in ("low", "high"))
    return spaces.Box(low, high, shape, dtype.type)


def _limited(count: int) -> int:
    """Return `count`. Raise ValueError if it is negative or that many numbers do not fit into memory."""
    if not 0 <= count <= MAX_SPACE_ELEMENTS:
        raise ValueError(f"{count} numbers")
    return count
