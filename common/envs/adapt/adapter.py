"""Any Gymnasium environment with normalized spaces and checked observations.

Observations become a dict of uint8 images (H, W, C) and float32 vectors (n,) or scalars (). Discrete and MultiDiscrete
become one-hot vectors. Observations named `log_...` go to `info` and are only logged. Actions: see actions.py, rewards
and flags: answers.py. An observation that does not match its space raises an error with its key and value.
"""

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from common.envs.adapt import images
from common.envs.adapt.actions import MAX_ONE_HOT, action_notes, normalize_action_space
from common.envs.adapt.answers import as_array, one_flag, one_number
from common.envs.adapt.image_notes import ImageWatch, scaled_bytes_note
from common.envs.adapt.wrappers import ActionRepeat
from common.errors import UserError

RESERVED_KEYS = {"action", "reward", "is_first", "is_last", "is_terminal", "log"}  # of records
RESERVED_KEYS |= {"prev_action", "deter", "stoch", "index"}  # of the replay
READABLE_SPACES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def adapt_env(env: gymnasium.Env, config: dict) -> gymnasium.Env:
    """Add action repeat, time limit and the hub's spaces to a Gymnasium environment. config: the block `env`."""
    repeated = ActionRepeat(env, config["repeat"], config["time_limit"])
    return Adapter(repeated, config["size"], config["gray"], config["resize"], config["action_scale"])


class Adapter(gymnasium.Wrapper):
    """The environment with the hub's spaces.

    size, gray, resize: shape of its images, see `images.fit_image`. action_scale: range of actions without bounds.
    `raw_observation` is the last observation before conversion. Notes for the user: `space_notes` about its spaces,
    `take_notes` about the values of its images.

    Raises:
        UserError: a space or a key that is not supported.
    """

    def __init__(
        self, env: gymnasium.Env, size: int = 0, gray: bool = False, resize: str = "area", action_scale: float = 1.0
    ):
        super().__init__(env)
        fit = lambda image: images.fit_image(image, size, gray, resize)
        found, unreadable = split_readable(env.observation_space)
        self.logged = [key for key, _ in found if is_log_only(key)]
        read = {key: space for key, space in found if key not in self.logged}
        converters = {key: observation_converter(space, key, fit) for key, space in read.items()}
        check_keys([key for key, _ in found], list(converters), unreadable)
        pictures = {key: space for key, space in read.items() if is_picture(space)}
        self.watch, self.value_notes = ImageWatch(pictures), list[str]()
        self.raw_observation: Any = None
        self.convert = {key: convert for key, (_, convert) in converters.items()}
        self.observation_space = spaces.Dict({key: space for key, (space, _) in converters.items()})
        self.action_space, self.decode = normalize_action_space(env.action_space, action_scale)
        left_out = [f"Observation {key!r} is left out: {reason}." for key, reason in unreadable.items()]
        scaled = [scaled_bytes_note(key, space) for key, space in pictures.items()]
        self.space_notes = [*left_out, *filter(None, scaled), *action_notes(env.action_space, action_scale)]

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        obs, info = self.env.reset(seed=seed, options=options)
        obs, logs = self.convert_observation(obs)
        return obs, {**info, **logs}

    def step(self, action: Any) -> tuple[dict, float, bool, bool, dict]:
        obs, reward, terminated, truncated, info = self.env.step(self.decode(action))
        obs, logs = self.convert_observation(obs)
        flags = one_flag(terminated, "terminated"), one_flag(truncated, "truncated")
        return obs, check_reward(reward), *flags, {**info, **logs}

    def convert_observation(self, obs: Any) -> tuple[dict, dict]:
        """Return a raw observation as the dict of arrays that the space promises, and its values for the logs.

        Raises:
            ValueError, TypeError: the observation does not match its own space.
        """
        self.raw_observation = obs
        values = dict(named_leaves(self.env.observation_space, obs))
        logs = {key: values[key] for key in self.logged}
        converted = {key: convert(values[key]) for key, convert in self.convert.items()}
        self.value_notes += self.watch.see(values)
        return converted, logs

    def take_notes(self) -> list[str]:
        """Return and clear the sentences about the values of images since the last call."""
        notes, self.value_notes = self.value_notes, []
        return notes


def find_adapter(env: gymnasium.Env) -> Adapter | None:
    """Return the adapter of a wrapped environment; None if another wrapper changes its observations."""
    space = env.observation_space
    while isinstance(env, gymnasium.Wrapper) and not isinstance(env, Adapter):
        env = env.env
    return env if isinstance(env, Adapter) and env.observation_space == space else None


def check_keys(found: list[str], read: list[str], unreadable: dict[str, str]) -> None:
    """Raise UserError if two observations share a key, no observation is read, or a key is reserved."""
    if len(set(found)) < len(found):
        twice = sorted({key for key in found if found.count(key) > 1})
        raise UserError(f"Several observations become {', '.join(twice)} (a/b is read as a_b). Rename one of them.")
    if not read:
        reasons = "".join(f" {key!r} is left out: {reason}." for key, reason in unreadable.items())
        raise UserError(
            f"No observation can be read.{reasons} Give at least one Box, Discrete, MultiDiscrete or MultiBinary; "
            "split one with too many values into several numbers with fewer values."
        )
    if reserved := RESERVED_KEYS & set(read):
        raise UserError(f"Observation keys are {sorted(read)}. Rename {', '.join(sorted(reserved))}: records use it.")


def check_reward(reward: Any) -> float:
    """Return a reward as a float, rounded to float32. Raises ValueError if it is not one finite number."""
    with np.errstate(over="ignore"):
        value = float(np.float32(one_number(reward, "reward")))
    if not np.isfinite(value):
        raise ValueError(f"The reward is {value}.")
    return value


def named_leaves(space: spaces.Space, obs: Any = None, name: str = "") -> Iterator[tuple[str, Any]]:
    """Walk a nested space. Yield (key, subspace), or (key, value) if an observation is given; skip empty arrays."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        children = dict(space.items() if isinstance(space, spaces.Dict) else enumerate(space))
        if obs is not None and (len(obs) != len(children) or (isinstance(obs, dict) and set(obs) != set(children))):
            raise ValueError(f"The observation has {list(obs)}, its space has {list(children)}.")
        for key, child in children.items():
            yield from named_leaves(child, None if obs is None else obs[key], join_key(name, str(key)))
    elif space.shape is None or 0 not in space.shape:
        yield name or ("image" if is_picture(space) else "vector"), space if obs is None else obs


def is_picture(space: spaces.Space) -> bool:
    """Whether a space is read as an image."""
    return isinstance(space, spaces.Box) and images.is_image(space)


def join_key(name: str, key: str) -> str:
    """Return the key of a nested part: arm and left give arm_left, stats and log_x give log_stats_x."""
    path = f"{name}_{key}" if name else key
    if name and key.startswith("log_"):
        path = f"log_{name.removeprefix('log_')}_{key.removeprefix('log_')}"
    return path.replace("/", "_")


def split_readable(space: spaces.Space) -> tuple[list[tuple[str, Any]], dict[str, str]]:
    """Return (key, subspace) of each part that is read or logged, and key -> the reason why not of the others."""
    found = list(named_leaves(space))
    unreadable = {key: reason for key, child in found if (reason := unreadable_reason(key, child))}
    return [(key, child) for key, child in found if key not in unreadable], unreadable


def unreadable_reason(key: str, space: spaces.Space) -> str:
    """Return why a part of the observation is neither read nor logged, or an empty string."""
    if not isinstance(space, READABLE_SPACES):
        return f"no encoder reads a {type(space).__name__} space"
    if is_log_only(key):
        return "" if np.prod(space.shape or ()) == 1 else f"only single numbers are logged, its shape is {space.shape}"
    sizes = space.nvec if isinstance(space, spaces.MultiDiscrete) else getattr(space, "n", 0)
    count = 0 if isinstance(space, spaces.MultiBinary) else np.sum(sizes, dtype=np.float64)
    if count > MAX_ONE_HOT:
        kind = type(space).__name__
        return f"the one-hot vector of this {kind} would have {count:,.0f} values, more than {MAX_ONE_HOT:,}"
    return ""


def is_log_only(key: str) -> bool:
    """Whether an observation is never read, only logged if it is one number."""
    return key.startswith("log_")


def observation_converter(space: spaces.Space, key: str, fit: Callable) -> tuple[spaces.Box, Callable]:
    """Return the normalized Box of one observation, and the function that checks and converts its values."""
    if isinstance(space, spaces.Discrete):
        return _one_hot(np.array([space.n]), space.start, key)
    if isinstance(space, spaces.MultiDiscrete):
        return _one_hot(space.nvec.reshape(-1), space.start.reshape(-1), key)
    if isinstance(space, spaces.Box) and images.is_image(space):
        return _image(space, key, fit)
    return _vector(space, key)


def _one_hot(sizes: np.ndarray, start: Any, key: str) -> tuple[spaces.Box, Callable]:
    offsets = np.cumsum(sizes) - sizes

    def convert(value: Any) -> np.ndarray:
        index = as_array(value).reshape(-1) - start
        if index.shape != sizes.shape or index.dtype.kind not in "iu" or (index < 0).any() or (index >= sizes).any():
            raise ValueError(f"Observation {key!r} is {value!r}, its space has {sizes.tolist()} values from {start}.")
        vector = np.zeros(sizes.sum(), np.float32)
        vector[offsets + index] = 1
        return vector

    return spaces.Box(0, 1, (int(sizes.sum()),), np.float32), convert


def _vector(space: spaces.Space, key: str) -> tuple[spaces.Box, Callable]:
    shape = (int(np.prod(space.shape)),) if space.shape else ()
    low, high = (space.low.min(), space.high.max()) if isinstance(space, spaces.Box) else (0, 1)

    def convert(value: Any) -> np.ndarray:
        with np.errstate(over="ignore"):
            return _check_finite(_check_array(value, space, key).astype(np.float32), key).reshape(shape)

    return spaces.Box(np.float32(low), np.float32(high), shape, np.float32), convert


def _image(space: spaces.Box, key: str, fit: Callable) -> tuple[spaces.Box, Callable]:
    shape, convert = images.image_converter(space)
    shape = fit(np.zeros(shape, np.uint8)).shape
    checked = lambda value: _check_finite(_check_array(value, space, key), key)
    bounded = (lambda value: _check_bytes(checked(value), space, key)) if images.has_own_bounds(space) else checked
    return spaces.Box(0, 255, shape, np.uint8), lambda value: fit(convert(bounded(value)))


def _check_array(value: Any, space: spaces.Space, key: str) -> np.ndarray:
    value = as_array(value)
    if value.shape != space.shape:
        raise ValueError(f"Observation {key!r} has shape {value.shape}, its space says {space.shape}.")
    wrong = space.dtype == np.uint8 and value.dtype != np.uint8
    if wrong and value.dtype.kind in "iu" and value.size and value.min() >= 0 and value.max() <= 255:
        return value.astype(np.uint8)  # from a list, or integers from another library
    if wrong or value.dtype.kind not in "biuf":
        raise TypeError(f"Observation {key!r} has dtype {value.dtype}, its space says {space.dtype}.")
    return value


def _check_bytes(value: np.ndarray, space: spaces.Box, key: str) -> np.ndarray:
    """Return bytes; raise ValueError outside their bounds, from which they would be scaled to other pixels."""
    if (value < space.low).any() or (value > space.high).any():
        low, high = images.bounds(space)
        raise ValueError(
            f"Observation {key!r} has bytes from {value.min()} to {value.max()}, its space says {low:g} to {high:g}. "
            "Give the space the true bounds, 0 to 255 for pixels."
        )
    return value


def _check_finite(value: np.ndarray, key: str) -> np.ndarray:
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise ValueError(f"Observation {key!r} is not finite: it has {value[~np.isfinite(value)][:3]}.")
    return value
