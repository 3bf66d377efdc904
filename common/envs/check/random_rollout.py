"""A few episodes of an environment with random actions, and what is seen in them."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from common.envs import raw_spaces
from common.envs.adapt.adapter import find_adapter, named_leaves
from common.envs.vector.workers import describe_error, split_logs
from common.errors import UserError
from common.signals import pass_on_interrupt

MAX_COMPARED_STEPS = 100  # at most so many steps are compared when an episode is played again


class PlayedEpisode(NamedTuple):
    """An episode: return, length in agent steps, and how it ended: terminated, truncated, still going or broken."""

    score: float
    length: int
    end: str


class ValueRange:
    """Smallest and largest number of a raw observation, and whether it ever changed."""

    def __init__(self, value: np.ndarray):
        self.low, self.high, self.first, self.changed = np.inf, -np.inf, np.array(value), False
        self.add(value)

    def add(self, value: np.ndarray) -> None:
        self.low, self.high = min(self.low, float(value.min())), max(self.high, float(value.max()))
        self.changed = self.changed or not np.array_equal(value, self.first)


class RandomRollout:
    """Plays `episodes` episodes of at most `limit` agent steps and about `patience` seconds each.

    flags: (is_first, is_last, is_terminal) -> records. spans: raw observations by key. unlogged: key -> what is named
    log_... and is no number. failure: why it broke, or nothing. seeded: whether a new environment plays the first
    episode again in the same way; clean: whether the same environment does, after the others.
    """

    def __init__(self, make: Callable[[], gymnasium.Env], episodes: int, limit: int, patience: float = 20.0):
        self.limit, self.patience = limit, patience
        self.episodes: list[PlayedEpisode] = []
        self.rewards: list[float] = []
        self.flags: Counter[tuple[bool, bool, bool]] = Counter()
        self.spans: dict[str, ValueRange] = {}
        self.logged: set[str] = set()
        self.unlogged: dict[str, str] = {}
        self.failure, self.seconds, self.seeded, self.clean = "", 0.0, True, True
        self.env: Any = make()
        try:
            for number in range(episodes):
                self.play(number)
            self.compare(make)
        except UserError:
            raise
        except BaseException as error:
            pass_on_interrupt(error)
            self.failure = describe_error(error)
        finally:
            self.env.close()

    @property
    def steps(self) -> int:
        """Agent steps made."""
        return len(self.rewards)

    def play(self, number: int) -> None:
        """One episode, from start to end."""
        self.env.action_space.seed(number)
        score, length, end, deadline = 0.0, 0, "broken", time.monotonic() + self.patience
        try:
            obs, info = self.timed(self.env.reset, options={"episode": number})
            self.see(obs, info, (True, False, False))
            while end == "broken":
                obs, reward, terminated, truncated, info = self.timed(self.env.step, self.env.action_space.sample())
                score, length = score + reward, length + 1
                self.rewards.append(reward)
                self.see(obs, info, (False, terminated or truncated, terminated))
                if terminated or truncated:
                    end = "terminated" if terminated else "truncated"
                elif length >= self.limit or time.monotonic() > deadline:
                    end = "still going"
        finally:
            self.episodes.append(PlayedEpisode(score, length, end))

    def timed(self, call: Callable, *args: Any, **options: Any) -> Any:
        begin = time.perf_counter()
        try:
            return call(*args, **options)
        finally:
            self.seconds += time.perf_counter() - begin

    def see(self, obs: dict, info: dict, flags: tuple[bool, bool, bool]) -> None:
        """Takes in a record; observations as they came, before the adapter."""
        self.flags[flags] += 1
        numbers, others = split_logs(info)
        self.logged |= set(numbers)
        self.unlogged = others | self.unlogged
        for key, value in raw_values(self.env, obs).items():
            if key in self.spans:
                self.spans[key].add(value)
            else:
                self.spans[key] = ValueRange(value)

    def compare(self, make: Callable[[], gymnasium.Env]) -> None:
        """Plays the first episode again: in two new environments, and in this one; no longer than patience lasts."""
        affordable = self.patience * self.steps / max(self.seconds, 1e-9) / 3
        steps = int(max(2, min(self.limit, MAX_COMPARED_STEPS, affordable)))
        first, second, third = make(), make(), self.env
        try:
            traces = [record_trace(env, steps) for env in (first, second, third)]
        finally:
            first.close()
            second.close()
        self.seeded = traces[0] == traces[1]
        self.clean = not self.seeded or traces[0] == traces[2]


def raw_values(env: gymnasium.Env, obs: dict) -> dict[str, np.ndarray]:
    """The numbers of the last observation by key, as they came: before the adapter, if there is one."""
    inner = find_adapter(env)
    values = dict(named_leaves(inner.env.observation_space, inner.raw)) if inner else obs
    arrays = {key: np.asarray(value) for key, value in values.items()}
    return {key: value for key, value in arrays.items() if value.dtype.kind in "biuf" and value.size}


def own_spaces(env: gymnasium.Env) -> tuple[dict[str, gymnasium.Space], gymnasium.Space]:
    """Observation spaces by key and action space as the environment itself has them."""
    observed, acted = raw_spaces(env) or (env.observation_space, env.action_space)
    return dict(named_leaves(observed)), acted


def record_trace(env: gymnasium.Env, steps: int) -> list:
    """The first steps of episode 0 with the same actions every time, as bytes and numbers to compare."""
    as_bytes = lambda obs: [np.asarray(obs[key]).tobytes() for key in sorted(obs)]
    env.action_space.seed(0)
    found: list = [as_bytes(env.reset(options={"episode": 0})[0])]
    for _ in range(steps):
        obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        found.append((as_bytes(obs), reward, terminated, truncated))
        if terminated or truncated:
            break
    return found
