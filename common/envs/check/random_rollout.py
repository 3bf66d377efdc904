"""A few episodes of an environment with random actions, and statistics of what they show."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from common.envs import raw_spaces
from common.envs.adapt.adapter import find_adapter, named_leaves
from common.envs.adapt.answers import as_array
from common.envs.faults import describe_error
from common.envs.vector.workers import split_logs
from common.errors import UserError
from common.signals import deadline, pass_on_interrupt

MAX_COMPARED_STEPS = 100  # of an episode that is replayed to compare it


class PlayedEpisode(NamedTuple):
    """An episode: return, length in agent steps, and its end: terminated, truncated, still going or broken."""

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
    """Plays `episodes` episodes of at most `limit` agent steps and about `max_seconds` seconds each.

    timeout: seconds for a reset or a step, 0 for no limit. A longer one counts as a failure.

    Attributes:
        flags: (is_first, is_last, is_terminal) -> number of records.
        ranges: key of a raw observation -> range of its values.
        logged, unlogged: keys that are logged; keys named log_... -> message why they are not.
        failure: why the environment broke, or an empty string.
        reproducible: whether a new environment replays the first episode identically.
        resets_fully: whether the same environment replays it identically after the other episodes.
    """

    def __init__(
        self,
        make: Callable[[], gymnasium.Env],
        episodes: int,
        limit: int,
        max_seconds: float = 20.0,
        timeout: float = 0.0,
    ):
        self.limit, self.max_seconds, self.timeout = limit, max_seconds, timeout
        self.episodes: list[PlayedEpisode] = []
        self.rewards: list[float] = []
        self.flags: Counter[tuple[bool, bool, bool]] = Counter()
        self.ranges: dict[str, ValueRange] = {}
        self.logged: set[str] = set()
        self.unlogged: dict[str, str] = {}
        self.failure, self.seconds, self.reproducible, self.resets_fully = "", 0.0, True, True
        self.env: Any = make()
        try:
            for number in range(episodes):
                self._play(number)
            self._compare(make)
        except UserError:
            raise
        except BaseException as error:
            pass_on_interrupt(error)
            self.failure = describe_error(error)
        finally:
            self.env.close()

    @property
    def steps(self) -> int:
        """Agent steps of all episodes."""
        return len(self.rewards)

    def _play(self, number: int) -> None:
        """Play one episode from start to end."""
        self.env.action_space.seed(number)
        score, length, end, deadline = 0.0, 0, "broken", time.monotonic() + self.max_seconds
        try:
            obs, info = self._timed(self.env.reset, options={"episode": number})
            self._add(obs, info, (True, False, False))
            while end == "broken":
                obs, reward, terminated, truncated, info = self._timed(self.env.step, self.env.action_space.sample())
                score, length = score + reward, length + 1
                self.rewards.append(reward)
                self._add(obs, info, (False, terminated or truncated, terminated))
                if terminated or truncated:
                    end = "terminated" if terminated else "truncated"
                elif length >= self.limit or time.monotonic() > deadline:
                    end = "still going"
        finally:
            self.episodes.append(PlayedEpisode(score, length, end))

    def _timed(self, call: Callable, *args: Any, **options: Any) -> Any:
        begin = time.perf_counter()
        try:
            with deadline(self.timeout):
                return call(*args, **options)
        finally:
            self.seconds += time.perf_counter() - begin

    def _add(self, obs: dict, info: dict, flags: tuple[bool, bool, bool]) -> None:
        """Add a record to the statistics; observations count as they were before the adapter."""
        self.flags[flags] += 1
        numbers, others = split_logs(info)
        self.logged |= set(numbers)
        self.unlogged = others | self.unlogged
        for key, value in raw_values(self.env, obs).items():
            if key in self.ranges:
                self.ranges[key].add(value)
            else:
                self.ranges[key] = ValueRange(value)

    def _compare(self, make: Callable[[], gymnasium.Env]) -> None:
        """Replay the first episode in two new environments and in this one, within `max_seconds` in total."""
        affordable = self.max_seconds * self.steps / max(self.seconds, 1e-9) / 3
        steps = int(max(2, min(self.limit, MAX_COMPARED_STEPS, affordable)))
        first, second = make(), make()
        try:
            traces = [record_trace(env, steps) for env in (first, second, self.env)]
        finally:
            first.close()
            second.close()
        self.reproducible = traces[0] == traces[1]
        self.resets_fully = not self.reproducible or traces[0] == traces[2]


def raw_values(env: gymnasium.Env, obs: dict) -> dict[str, np.ndarray]:
    """Return the numbers of the last observation by key, as they were before the adapter, if there is one."""
    adapter = find_adapter(env)
    values = dict(named_leaves(adapter.env.observation_space, adapter.raw_observation)) if adapter else obs
    readable = {*obs, *adapter.logged} if adapter else {*obs}  # others may not be arrays
    arrays = {key: as_array(value) for key, value in values.items() if key in readable}
    return {key: value for key, value in arrays.items() if value.dtype.kind in "biuf" and value.size}


def own_spaces(env: gymnasium.Env) -> tuple[dict[str, gymnasium.Space], gymnasium.Space]:
    """Return the observation spaces by key and the action space, as they were before the adapter."""
    observation_space, action_space = raw_spaces(env) or (env.observation_space, env.action_space)
    return dict(named_leaves(observation_space)), action_space


def record_trace(env: gymnasium.Env, steps: int) -> list:
    """Return the first steps of episode 0 with fixed actions, as bytes and numbers that can be compared."""
    to_bytes = lambda obs: [np.asarray(obs[key]).tobytes() for key in sorted(obs)]
    env.action_space.seed(0)
    found: list = [to_bytes(env.reset(options={"episode": 0})[0])]
    for _ in range(steps):
        obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        found.append((to_bytes(obs), reward, terminated, truncated))
        if terminated or truncated:
            break
    return found
