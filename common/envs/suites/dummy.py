"""Small built-in tasks with known answers, for tests and first runs.

    dummy             = dummy_mixed
    dummy_mixed       walk on a ring of 8 cells; reward 1 on cell 0            image + vector, Discrete(4)
    dummy_point       move a point onto a target; reward up to 1 per step      vector, Box(1)
    dummy_pixels      dummy_point from images                                  image, Box(1)
    dummy_bandit      a cue names the arm that pays 1                          vector, Discrete(4)
    dummy_onehot      the next observation is the one-hot of the action, the
                      reward its number / 3; misaligned data cannot fit it     vector, Discrete(4)
    dummy_counter     observes (step, last action); reward 1 only at the
                      terminal end                                             vector, Discrete(4)
    dummy_cliff       a cue names the arm that ends the episode (terminal);
                      reward 1 per step survived                               vector, Discrete(4)
    dummy_chain       100 cells; choice 3 steps forward in even cells, choice 0
                      in odd ones, the others back; reward 1 only in the last
                      cell, which random actions never see. `log_coverage`:
                      share of the cells that the episode has seen             vector, Discrete(4)

Suffixes in any order change observations, actions and length: `image`, `vector` or `both`; `discrete`, `box` or
`multi`; a number is the episode length (time limit; the terminal end of the counter). dummy_point_image_multi_30 is
dummy_point from images, with actions MultiDiscrete([2, 2]), for 30 steps.

Images are 64 x 64: one column per number of the vector, with a bright block at the height of its value.
"""

import difflib
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces

from common.envs.adapt.adapter import adapt_env
from common.errors import UserError

N_CHOICES = 4
VIEWS = ("image", "vector", "both")
ACTIONS: dict[str, spaces.Space] = {
    "discrete": spaces.Discrete(N_CHOICES),
    "box": spaces.Box(-1, 1, (1,), np.float32),
    "multi": spaces.MultiDiscrete([2, 2]),
}


def make(name: str, config: dict) -> gymnasium.Env:
    """Make the task of a kind with its suffixes.

    Raises:
        UserError: unknown kind or suffix.
    """
    kind, *suffixes = (name or "mixed").split("_")
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1, cutoff=0.3) or list(KINDS)
        raise UserError(f"Unknown task 'dummy_{kind}'. Nearest: dummy_{near[0]}. All: {', '.join(KINDS)}.")
    world, defaults = KINDS[kind]
    options = defaults | {_option(suffix): suffix for suffix in suffixes}
    return adapt_env(Dummy(world(), options["view"], options["action"], int(options["length"])), config)


class World(Protocol):
    """The dynamics of a task. Its vector has `size` numbers; an action is a choice in 0..3 and a force in [-1, 1]."""

    size: int
    logs: dict[str, float]  # after each record: numbers for the logs, by name

    def reset(self, random: np.random.Generator, length: int) -> Any:
        """Start an episode of `length` steps; return the vector."""

    def step(self, choice: int, force: float) -> tuple[Any, float, bool]:
        """Return the vector, the reward, and whether the episode terminated."""


class Dummy(gymnasium.Env):
    """A world observed as an image, a vector or both, with one of the spaces of ACTIONS."""

    def __init__(self, world: World, view: str, action: str, length: int):
        self.world, self.length = world, length
        self.action_space = ACTIONS[action]
        views: dict[str, spaces.Space] = {
            "image": spaces.Box(0, 255, (64, 64, 3), np.uint8),
            "vector": spaces.Box(-np.inf, np.inf, (world.size,), np.float32),
        }
        self.views = [key for key in views if view in (key, "both")]
        self.observation_space = spaces.Dict({key: views[key] for key in self.views})

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        super().reset(seed=seed)
        self.time = 0
        vector = self.world.reset(self.np_random, self.length)
        return self._observe(vector), dict(self.world.logs)

    def step(self, action: Any) -> tuple[dict, float, bool, bool, dict]:
        self.time += 1
        choice, force = _decode(self.action_space, action)
        vector, reward, terminated = self.world.step(choice, force)
        truncated = self.time >= self.length and not terminated
        return self._observe(vector), reward, terminated, truncated, dict(self.world.logs)

    def _observe(self, vector: Any) -> dict[str, np.ndarray]:
        self.vector = np.asarray(vector, np.float32)
        views = {"image": draw_columns(self.vector), "vector": self.vector}
        return {key: views[key] for key in self.views}

    def render(self) -> Any:
        return draw_columns(self.vector)


class NoLogs:
    """A world without numbers for the logs."""

    logs: dict[str, float] = {}  # noqa: RUF012 (read only)


class RingWalk(NoLogs):
    """Walk on a ring of eight cells: choices 0 and 1 step back, 2 and 3 forward. Observes the cell as one-hot."""

    size = 8

    def reset(self, random: np.random.Generator, length: int) -> Any:
        self.cell = int(random.integers(8))
        return np.eye(8)[self.cell]

    def step(self, choice: int, force: float) -> tuple[Any, float, bool]:
        self.cell = (self.cell + (1 if choice >= 2 else -1)) % 8
        return np.eye(8)[self.cell], float(self.cell == 0), False


class Point(NoLogs):
    """A point and a target in [-1, 1]; the force moves the point by up to 0.2. Observes both."""

    size = 2

    def reset(self, random: np.random.Generator, length: int) -> Any:
        self.state = random.uniform(-1, 1, 2)
        return self.state

    def step(self, choice: int, force: float) -> tuple[Any, float, bool]:
        self.state = np.clip(self.state + np.array([0.2 * force, 0]), -1, 1)
        distance = abs(self.state[0] - self.state[1])
        return self.state, float(max(0, 1 - 2 * distance)), False


class Bandit(NoLogs):
    """The cue is the one-hot of the arm that pays 1, and changes every step."""

    size = N_CHOICES

    def reset(self, random: np.random.Generator, length: int) -> Any:
        self.random = random
        return self._cue()

    def step(self, choice: int, force: float) -> tuple[Any, float, bool]:
        reward = float(choice == self.arm)
        return self._cue(), reward, False

    def _cue(self) -> np.ndarray:
        self.arm = int(self.random.integers(N_CHOICES))
        return np.eye(N_CHOICES)[self.arm]


class OneHotView(NoLogs):
    """Observes the last action as one-hot (zeros after a reset); pays its number / 3."""

    size = N_CHOICES

    def reset(self, random: np.random.Generator, length: int) -> Any:
        return np.zeros(N_CHOICES)

    def step(self, choice: int, force: float) -> tuple[Any, float, bool]:
        return np.eye(N_CHOICES)[choice], choice / (N_CHOICES - 1), False


class Counter(NoLogs):
    """Observes the step and the last choice (-1 after a reset); pays 1 at its terminal end."""

    size = 2

    def reset(self, random: np.random.Generator, length: int) -> Any:
        self.count, self.length = 0, length
        return self.count, -1

    def step(self, choice: int, force: float) -> tuple[Any, float, bool]:
        self.count += 1
        over = self.count >= self.length
        return (self.count, choice), float(over), over


class Cliff(Bandit):
    """The arm of the cue ends the episode; every other arm pays 1."""

    def step(self, choice: int, force: float) -> tuple[Any, float, bool]:
        fatal = choice == self.arm
        return self._cue(), float(not fatal), fatal


class Chain:
    """A chain of cells: in each cell one choice steps forward, all others step back. Pays 1 in the last cell.

    Random actions drift back and see about 8 cells of 100 in thousands of steps; a constant action sees 2. Observes the
    block of four cells and the place in it as one-hots times 5: with 1, models take long to see the difference.
    """

    cells, size = 100, 29
    forward = (3, 0)  # the choice that steps forward, in even and in odd cells

    def reset(self, random: np.random.Generator, length: int) -> Any:
        self.cell = self.furthest = 0
        return self._observe()

    def step(self, choice: int, force: float) -> tuple[Any, float, bool]:
        ahead = choice == self.forward[self.cell % 2]
        self.cell = int(np.clip(self.cell + (1 if ahead else -1), 0, self.cells - 1))
        self.furthest = max(self.furthest, self.cell)
        return self._observe(), float(self.cell == self.cells - 1), False

    def _observe(self) -> np.ndarray:
        self.logs = {"log_coverage": (self.furthest + 1) / self.cells}
        return 5 * np.concatenate([np.eye(25)[self.cell // 4], np.eye(4)[self.cell % 4]])


#: Kind -> dynamics and default suffixes.
KINDS: dict[str, tuple[type[World], dict[str, str]]] = {
    "mixed": (RingWalk, {"view": "both", "action": "discrete", "length": "50"}),
    "point": (Point, {"view": "vector", "action": "box", "length": "50"}),
    "pixels": (Point, {"view": "image", "action": "box", "length": "50"}),
    "bandit": (Bandit, {"view": "vector", "action": "discrete", "length": "10"}),
    "onehot": (OneHotView, {"view": "vector", "action": "discrete", "length": "20"}),
    "counter": (Counter, {"view": "vector", "action": "discrete", "length": "10"}),
    "chain": (Chain, {"view": "vector", "action": "discrete", "length": "150"}),
    "cliff": (Cliff, {"view": "vector", "action": "discrete", "length": "20"}),
}


def draw_columns(vector: np.ndarray) -> np.ndarray:
    """(n,) -> uint8 (64, 64, 3): column i has a block at the height of vector[i], -1 (top) to 1; other values wrap."""
    image = np.full((64, 64, 3), 32, np.uint8)
    width = 64 // len(vector)
    for column, value in enumerate(vector):
        top = round(28 + 28 * float((value + 1) % 2 - 1 if abs(value) > 1 else value))
        image[top : top + 8, column * width : (column + 1) * width, column % 3] = 255
    return image


def _decode(space: spaces.Space, action: Any) -> tuple[int, float]:
    """Return the choice in 0..3 and the force in [-1, 1] of an action of any of the spaces."""
    if isinstance(space, spaces.Box):
        force = float(np.clip(action[0], -1, 1))
        return min(int((force + 1) / 2 * N_CHOICES), N_CHOICES - 1), force
    choice = int(action) if isinstance(space, spaces.Discrete) else int(2 * action[0] + action[1])
    return choice, 2 * choice / (N_CHOICES - 1) - 1


def _option(suffix: str) -> str:
    """Return which option a suffix sets."""
    if suffix in VIEWS:
        return "view"
    if suffix in ACTIONS:
        return "action"
    if suffix.isdecimal() and int(suffix) > 0:
        return "length"
    near = difflib.get_close_matches(suffix, [*VIEWS, *ACTIONS], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    known = ", ".join([*VIEWS, *ACTIONS])
    raise UserError(f"Unknown suffix {suffix!r} of a dummy task.{hint} Use {known} or a length.")
