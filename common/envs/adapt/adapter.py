"""Any Gymnasium environment, with normalised spaces and checked observations.

Observations become a dict of uint8 images (H, W, C) and float32 vectors (n,) or scalars (); Discrete and MultiDiscrete
are one-hot. Those named `log_...` go into `info`, to be logged and nothing else. Actions: see actions.py. An
environment that does not keep to its own spaces raises here, with the key and what came.
"""

from collections.abc import Callable, Iterator

import gymnasium
import numpy as np
from gymnasium import spaces

from common.envs.adapt import images
from common.envs.adapt.actions import action_notes, normalize_action_space
from common.errors import UserError

RESERVED_KEYS = {
    "action",
    "reward",
    "is_first",
    "is_last",
    "is_terminal",
    "prev_action",
    "log",
    "deter",
    "stoch",
    "index",
}
READABLE_SPACES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


class Adapter(gymnasium.Wrapper):
    """The environment with the hub's spaces; `size`, `gray` and `resize` shape its images, `action_scale` its actions.

    `raw` is the last observation as it came, `remarks` what a person should know of how the spaces are read.

    Raises:
        UserError: a space that is not supported, by name.
    """

    def __init__(
        self, env: gymnasium.Env, size: int = 0, gray: bool = False, resize: str = "area", action_scale: float = 1.0
    ):
        super().__init__(env)
        fit = lambda image: images.fit_image(image, size, gray, resize)
        found, unread = split_readable(env.observation_space)
        self.logged = [key for key, space in found if is_log_only(key, space)]
        readers = {key: observation_converter(space, key, fit) for key, space in found if key not in self.logged}
        if len({key for key, _ in found}) < len(found):
            twice = sorted({key for key, _ in found if [other for other, _ in found].count(key) > 1})
            raise UserError(f"Several observations become {', '.join(twice)} (a/b is read as a_b). Rename one of them.")
        if not readers or RESERVED_KEYS & set(readers):
            others = f" (no encoder reads {', '.join(unread.values())})" if unread else ""
            names = f"{sorted(readers)}{others}"
            raise UserError(f"Observation keys are {names}: at least one, and none of {sorted(RESERVED_KEYS)}.")
        self.raw = None
        self.convert = {key: convert for key, (_, convert) in readers.items()}
        self.observation_space = spaces.Dict({key: space for key, (space, _) in readers.items()})
        self.action_space, self.decode = normalize_action_space(env.action_space, action_scale)
        left_out = [f"Observation {key!r} is left out: no encoder reads a {kind}." for key, kind in unread.items()]
        self.remarks = left_out + action_notes(env.action_space, action_scale)

    def reset(self, *, seed=None, options=None):
        obs, info = self.env.reset(seed=seed, options=options)
        obs, logs = self.read(obs)
        return obs, {**info, **logs}

    def step(self, action):
        obs, reward, terminated, truncated, info = self.env.step(self.decode(action))
        obs, logs = self.read(obs)
        return obs, check_reward(reward), bool(terminated), bool(truncated), {**info, **logs}

    def read(self, obs):
        """The raw observation as the dict of arrays that the spaces promise, and its numbers for the logs.

        Raises if it breaks its own space.
        """
        self.raw = obs
        values = dict(named_leaves(self.env.observation_space, obs))
        logs = {key: values[key] for key in self.logged}
        return {key: convert(values[key]) for key, convert in self.convert.items()}, logs


def find_adapter(env: gymnasium.Env) -> Adapter | None:
    """The adapter that an environment's observations come from; None where they are made elsewhere."""
    space = env.observation_space
    while isinstance(env, gymnasium.Wrapper) and not isinstance(env, Adapter):
        env = env.env
    return env if isinstance(env, Adapter) and env.observation_space == space else None


def check_reward(reward) -> float:
    """A reward that came as a number or an array of one."""
    value = np.asarray(reward, np.float32)
    if value.size != 1:
        raise ValueError(f"The reward must be one number, got {reward!r}.")
    if not np.isfinite(value).all():
        raise ValueError(f"The reward is {value.item()}.")
    return float(value.item())


def is_log_only(key: str, space: spaces.Space) -> bool:
    """Whether an observation is for the logs only. Raises UserError if that is not one number."""
    if not key.startswith("log_"):
        return False
    if space.shape is None or np.prod(space.shape) != 1:
        raise UserError(f"Observation {key!r} has shape {space.shape}: what is named log_... must be one number.")
    return True


def named_leaves(space: spaces.Space, obs=None, name: str = "") -> Iterator[tuple]:
    """Walk a nested space: (key, subspace) pairs, or (key, value) pairs of an observation; leaves out empty arrays."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        children = dict(space.items() if isinstance(space, spaces.Dict) else enumerate(space))
        if obs is not None and (len(obs) != len(children) or (isinstance(obs, dict) and set(obs) != set(children))):
            raise ValueError(f"The observation has {list(obs)}, its space has {list(children)}.")
        for key, child in children.items():
            yield from named_leaves(child, None if obs is None else obs[key], join_key(name, str(key)))
    elif space.shape is None or 0 not in space.shape:
        picture = isinstance(space, spaces.Box) and images.is_image(space)
        yield name or ("image" if picture else "vector"), space if obs is None else obs


def join_key(name: str, key: str) -> str:
    """The key of a part: arm and left become arm_left, stats and log_x become log_stats_x."""
    path = f"{name}_{key}" if name else key
    if name and key.startswith("log_"):
        path = f"log_{name.removeprefix('log_')}_{key.removeprefix('log_')}"
    return path.replace("/", "_")


def split_readable(space: spaces.Space) -> tuple[list[tuple[str, spaces.Space]], dict[str, str]]:
    """(key, subspace) of what can be read, and key -> kind of what cannot, such as text."""
    found = list(named_leaves(space))
    unread = {key: f"{type(child).__name__} space" for key, child in found if not isinstance(child, READABLE_SPACES)}
    return [(key, child) for key, child in found if key not in unread], unread


def observation_converter(space: spaces.Space, key: str, fit: Callable) -> tuple[spaces.Box, Callable]:
    """The normalised Box of one observation, and the function that checks and converts a value for it."""
    if isinstance(space, spaces.Discrete):
        return _one_hot(np.array([space.n]), space.start, key)
    if isinstance(space, spaces.MultiDiscrete):
        return _one_hot(space.nvec.reshape(-1), space.start.reshape(-1), key)
    if isinstance(space, spaces.Box) and images.is_image(space):
        return _image(space, key, fit)
    return _vector(space, key)


def _one_hot(sizes, start, key):
    offsets = np.cumsum(sizes) - sizes

    def convert(value):
        index = np.asarray(value).reshape(-1) - start
        if index.shape != sizes.shape or index.dtype.kind not in "iu" or (index < 0).any() or (index >= sizes).any():
            raise ValueError(f"Observation {key!r} is {value!r}, its space has {sizes.tolist()} values from {start}.")
        vector = np.zeros(sizes.sum(), np.float32)
        vector[offsets + index] = 1
        return vector

    return spaces.Box(0, 1, (int(sizes.sum()),), np.float32), convert


def _vector(space, key):
    shape = (int(np.prod(space.shape)),) if space.shape else ()
    low, high = (space.low.min(), space.high.max()) if isinstance(space, spaces.Box) else (0, 1)

    def convert(value):
        with np.errstate(over="ignore"):
            return _finite(_checked(value, space, key).astype(np.float32), key).reshape(shape)

    return spaces.Box(np.float32(low), np.float32(high), shape, np.float32), convert


def _image(space, key, fit):
    shape, convert = images.image_converter(space)
    shape = fit(np.zeros(shape, np.uint8)).shape
    return spaces.Box(0, 255, shape, np.uint8), lambda value: fit(convert(_finite(_checked(value, space, key), key)))


def _checked(value, space, key):
    value = np.asarray(value)
    if value.shape != space.shape:
        raise ValueError(f"Observation {key!r} has shape {value.shape}, its space says {space.shape}.")
    wrong = space.dtype == np.uint8 and value.dtype != np.uint8
    if wrong and value.dtype.kind in "iu" and value.size and value.min() >= 0 and value.max() <= 255:
        return value.astype(np.uint8)  # came as a list, or as the whole numbers of another library
    if wrong or value.dtype.kind not in "biuf":
        raise TypeError(f"Observation {key!r} has dtype {value.dtype}, its space says {space.dtype}.")
    return value


def _finite(value, key):
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise ValueError(f"Observation {key!r} is not finite: it has {value[~np.isfinite(value)][:3]}.")
    return value
