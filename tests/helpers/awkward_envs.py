"""Environments with every interface and space, and environments with one fault each; tests use them by name."""

import dm_env
import gymnasium
import numpy as np
from dm_env import specs
from gymnasium import spaces


class Plain(gymnasium.Env):
    """Three random numbers; reward 1 per step; truncated after 7."""

    observation_space: spaces.Space = spaces.Box(-1, 1, (3,), np.float32)
    action_space: spaces.Space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self.observe(), {}

    def step(self, action):
        self.time += 1
        return self.observe(), 1.0, False, self.time >= 7, {}

    def observe(self):
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)


class Mixed(Plain):
    """Every kind of space in one environment."""

    observation_space = spaces.Dict(
        {
            "camera": spaces.Box(0, 1, (3, 40, 50), np.float32),
            "map": spaces.Box(0, 255, (84, 84), np.uint8),
            "joint": spaces.Box(-np.inf, np.inf, (2, 2), np.float64),
            "height": spaces.Box(0, 9, (), np.float32),
            "log_time": spaces.Box(0, 99, (), np.float32),
            "mission": spaces.Text(5),
            "gear/state": spaces.Tuple([spaces.Discrete(3, start=-1), spaces.MultiBinary(2)]),
        }
    )
    action_space = spaces.Dict(
        {
            "move": spaces.Box(-2, 2, (2,), np.float32),
            "push": spaces.Box(-np.inf, np.inf, (1,), np.float32),
            "grip": spaces.Discrete(3, start=1),
            "switches": spaces.MultiBinary(2),
        }
    )

    def step(self, action):
        assert self.action_space.contains(action), action
        return super().step(action)

    def observe(self):
        draw = self.np_random
        return {
            "camera": draw.random((3, 40, 50), np.float32),
            "map": draw.integers(0, 256, (84, 84), np.uint8),
            "joint": draw.normal(size=(2, 2)),
            "height": draw.uniform(0, 9),
            "log_time": self.time,
            "mission": "go",
            "gear/state": (int(draw.integers(-1, 2)), draw.integers(0, 2, 2)),
        }


class Old:
    """The old gym: seed, a reset that returns the observation, four values. Ends after 5 steps."""

    observation_space = spaces.Box(-1, 1, (3,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    info: dict = {}  # noqa: RUF012

    def seed(self, seed):
        self.rng = np.random.default_rng(seed)

    def reset(self):
        self.time = 0
        return self.rng.uniform(-1, 1, 3)

    def step(self, action):
        self.time += 1
        return self.rng.uniform(-1, 1, 3), 500.0, self.time >= 5, self.info


class OldPair(Old):
    """Its observation is a pair whose second part is a dict, like an info."""

    observation_space = spaces.Tuple([spaces.Box(-1, 1, (3,), np.float32), spaces.Dict(light=spaces.Discrete(2))])

    def reset(self):
        return super().reset(), {"light": 1}

    def step(self, action):
        obs, *rest = super().step(action)
        return (obs, {"light": 1}), *rest


class OldInTime(Old):
    info = {"TimeLimit.truncated": True}  # noqa: RUF012


class Unprepared(Plain):
    """Its reset has no arguments and returns the observation alone."""

    def reset(self):
        self.time = 0
        return self.observe()


class Desk(dm_env.Environment):
    """dm_env; ends with discount 0 after 6 steps."""

    def __init__(self):
        self.random = np.random.default_rng(0)

    def seed(self, seed):
        self.random = np.random.default_rng(seed)

    def action_spec(self):
        return {"arm": specs.BoundedArray((2,), np.float32, -1, 3), "leg": specs.BoundedArray((1,), np.float32, 0, 1)}

    def observation_spec(self):
        picture = specs.BoundedArray((20, 20, 3), np.uint8, 0, 255)
        return {"angle": specs.Array((3,), np.float64), "picture": picture, "button": specs.DiscreteArray(4)}

    def observe(self):
        picture = self.random.integers(0, 256, (20, 20, 3), np.uint8)
        return {"angle": self.random.normal(size=3), "picture": picture, "button": self.time % 4}

    def reset(self):
        self.time = 0
        return dm_env.restart(self.observe())

    def step(self, action):
        assert set(action) == {"arm", "leg"}
        self.time += 1
        return (dm_env.termination if self.time >= 6 else dm_env.transition)(1.0, self.observe())


class Choice(Desk):
    """dm_env with one discrete action and one array; truncated after 6 steps."""

    def action_spec(self):
        return specs.DiscreteArray(3)

    def observation_spec(self):
        return specs.BoundedArray((2, 2), np.float32, 0, 1)

    def observe(self):
        return self.random.random((2, 2), np.float32)

    def step(self, action):
        self.time += 1
        return (dm_env.truncation if self.time >= 6 else dm_env.transition)(1.0, self.observe())


class Words(Choice):
    """dm_env with a text among its observations."""

    def observation_spec(self):
        return {"position": super().observation_spec(), "mission": specs.StringArray(())}

    def observe(self):
        return {"position": super().observe(), "mission": "go"}


class Leaks(Plain):
    """Keeps a count across episodes."""

    count = 0

    def observe(self):
        self.count += 1
        return np.full(3, self.count / 100, np.float32)


class Unseeded(Plain):
    def observe(self):
        return np.random.default_rng().uniform(-1, 1, 3)


class Black(Plain):
    """Pixels from 0 to 1 in a space from 0 to 255."""

    observation_space = spaces.Box(0, 255, (64, 64, 3), np.uint8)

    def observe(self):
        return (self.np_random.random((64, 64, 3)) < 0.5).astype(np.uint8)


class Cut(Plain):
    """Pixels up to 255 in a space from 0 to 1."""

    observation_space = spaces.Box(0, 1, (64, 64, 3), np.float32)

    def observe(self):
        return self.np_random.uniform(0, 255, (64, 64, 3)).astype(np.float32)


class Lost(Plain):
    """An image without bounds, with its channels in the middle axis."""

    observation_space = spaces.Box(-np.inf, np.inf, (32, 3, 32), np.float32)

    def observe(self):
        return self.np_random.random((32, 3, 32))


class Broken(Plain):
    """NaN at step 3."""

    def observe(self):
        return np.full(3, np.nan if self.time == 3 else 0.0)


class Misshapen(Plain):
    """An observation whose shape differs from its space."""

    def observe(self):
        return np.zeros(2, np.float32)


class Dies(Plain):
    """Reports its time limit as terminated; rewards and observations are huge."""

    observation_space = spaces.Box(-1, 1, (3,), np.float32)

    def step(self, action):
        *_, over, info = super().step(action)
        return self.observe(), 1e4, over, False, info

    def observe(self):
        return self.np_random.uniform(-1, 1, 3) * 1e5


class Endless(Plain):
    """Never ends; its reward is always 0."""

    action_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)

    def step(self, action):
        return self.observe(), 0.0, False, False, {}


class Wide(Plain):
    """A short vector, and an array that is too large to be read as one."""

    observation_space = spaces.Dict(
        state=spaces.Box(-1, 1, (3,), np.float32), map=spaces.Box(0, 9, (40, 40, 40), np.float32)
    )

    def observe(self):
        return {"state": super().observe(), "map": np.full((40, 40, 40), self.time % 9, np.float32)}


class EndsAtOnce(Plain):
    """Every step is terminated."""

    def step(self, action):
        return self.observe(), 1.0, True, False, {}


class EndsAtOnceInTime(Plain):
    """Every step is truncated."""

    def step(self, action):
        return self.observe(), 1.0, False, True, {}


class Symbols(Plain):
    """A grid of codes in a space of bytes."""

    observation_space = spaces.Box(0, 255, (24, 18), np.uint8)

    def observe(self):
        return self.np_random.integers(0, 10, (24, 18), np.uint8)
