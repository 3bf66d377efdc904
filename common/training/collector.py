"""Acting in the training environments, record by record."""

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from gymnasium import spaces

from common.agent.agent import Agent
from common.errors import NonFiniteError
from common.replay import Replay
from common.storage.saved_agent import read_number
from common.training.clock import Stopwatch

Record = dict[str, np.ndarray]


class VectorEnvs(Protocol):
    """`num` environments that step together; a record is a dict of arrays (num, ...), see `common/envs/vector`.

    `send` begins a step, `receive` waits for its records; `check` raises UserError after too many failures; `closed`
    returns which current records close an episode that a failure cut short, bool (num,); `restore` replays the episodes
    of `state`; `messages` returns new lines for the user, perhaps followed by tracebacks.
    """

    obs_space: spaces.Dict
    act_space: spaces.Space
    num: int
    repeat: int  # frames per agent step

    def reset(self) -> dict[str, Any]: ...
    def send(self, actions: np.ndarray) -> None: ...
    def receive(self) -> dict[str, Any]: ...
    def step(self, actions: np.ndarray) -> dict[str, Any]: ...
    def check(self) -> None: ...
    def closed(self) -> np.ndarray: ...
    def state(self) -> list[dict[str, Any]]: ...
    def restore(self, state: list[dict[str, Any]]) -> dict[str, Any]: ...
    def messages(self) -> list[str]: ...
    def close(self) -> None: ...


class Collecting(Protocol):
    """Interface of the part of the training loop that acts and stores records; see `Collector`.

    record, state: the current record and the agent's acting state. sent: whether `receive` has something to take.
    """

    envs: VectorEnvs
    record: Record
    state: dict[str, torch.Tensor]
    sent: bool

    def begin(self) -> None: ...
    def send(self, *, random: bool, step: int, updates: int = 0) -> int: ...
    def receive(self) -> list["Episode"]: ...
    def seen(self) -> Iterable[tuple[Record, bool]]: ...
    def metrics(self) -> dict[str, float]: ...
    def save(self) -> dict[str, Any]: ...
    def load(self, state: dict[str, Any]) -> None: ...


def without_log(record: dict[str, Any]) -> Record:
    """Return a record without the numbers that environments report for the logs."""
    return {key: value for key, value in record.items() if key != "log"}


def require_finite(action: np.ndarray) -> np.ndarray:
    """Return `action`; raise NonFiniteError if it holds a NaN or infinity."""
    if not np.isfinite(action).all():
        raise NonFiniteError(["the actions of the policy"])
    return action


def check_positions(positions: Iterable[dict[str, Any]]) -> None:
    """Raise TypeError, ValueError or KeyError unless each entry is the saved position in an episode."""
    for position in positions:
        read_number(position, "episode", int)
        read_number(position, "closed", bool)
        if not np.isfinite(np.array(position["actions"] or [], float)).all() or not isinstance(position["digest"], str):
            raise ValueError("position in an episode")


class Episode(NamedTuple):
    """A finished episode: undiscounted return, length in agent steps, statistics of the numbers for the logs.

    broken: whether a failure of the environment cut it short. Its return is not a score.
    """

    score: float
    length: int
    extra: dict[str, float]
    broken: bool = False


class Tally:
    """Return, length and numbers for the logs of the running episode of each of `n` environments."""

    def __init__(self, n: int) -> None:
        self.scores = np.zeros(n, np.float64)
        self.lengths = np.zeros(n, np.int64)
        self.numbers: list[dict[str, list[float]]] = [{} for _ in range(n)]  # name -> count, sum, largest, last

    def see(self, record: dict[str, Any], closed: np.ndarray) -> dict[int, Episode]:
        """Add a record (n, ...); return the episodes that ended with it, by environment.

        closed: bool (n,), whether the record closes an episode that a failure cut short.
        """
        first = record["is_first"]
        self.scores = np.where(first, 0.0, self.scores + record["reward"])
        self.lengths = np.where(first, 0, self.lengths + 1)
        self._add_numbers(record)
        ended = map(int, np.flatnonzero(record["is_last"]))
        return {
            i: Episode(float(self.scores[i]), int(self.lengths[i]), self._statistics(i), bool(closed[i])) for i in ended
        }

    def _add_numbers(self, record: dict[str, Any]) -> None:
        """Add the finite numbers under `log` of each environment."""
        for i in map(int, np.flatnonzero(record["is_first"])):
            self.numbers[i] = {}
        for name, values in record.get("log", {}).items():
            for numbers, value in zip(self.numbers, map(float, values), strict=True):
                if np.isfinite(value):
                    count, total, largest, _ = numbers.get(name, [0, 0.0, value, value])
                    numbers[name] = [count + 1, total + value, max(largest, value), value]

    def _statistics(self, env: int) -> dict[str, float]:
        """Return last value, mean, largest and sum of each number in the episode.

        Names lose the prefix `log`. A slash in them becomes a dot, so that `speed/max` is always the statistic.
        """
        extra: dict[str, float] = {}
        for name, (count, total, largest, last) in self.numbers[env].items():
            plain_name = name.removeprefix("log").strip("_/").replace("/", ".")
            extra |= {plain_name: last, f"{plain_name}/mean": total / count}
            extra |= {f"{plain_name}/max": largest, f"{plain_name}/sum": total}
        return extra


class Collector:
    """Training environments, the agent's latent state in them, and the record it acts on next.

    `send` stores the current record with the action chosen for it and begins the step; `receive` takes the next record.
    Between them environments in worker processes step, while the caller can do other work.
    """

    def __init__(self, envs: VectorEnvs, agent: Agent, replay: Replay, watch: Stopwatch) -> None:
        self.envs, self.agent, self.replay, self.watch = envs, agent, replay, watch
        self.tally = Tally(envs.num)
        self.state: dict[str, torch.Tensor] = agent.initial(envs.num)
        self.record: Record = {}
        self.sent = False  # whether a step is in progress

    def begin(self) -> None:
        """Start the first episodes."""
        self.record = without_log(self.envs.reset())

    def send(self, *, random: bool, step: int, updates: int = 0) -> int:
        """Act once in every environment: at random, or by the agent after `step` agent steps and `updates` updates.

        Returns the number of agent steps: an environment whose episode has ended only resets.
        """
        with self.watch("policy"):
            action, extras = self._act(random, step)
        with self.watch("replay"):
            extras["action"] = np.where(self.record["is_last"][:, None], 0, extras["action"]).astype(np.float32)
            self.replay.add({**self.record, **extras})
        with self.watch("env"):
            self.envs.send(action)
        self.sent = True
        return int((~self.record["is_last"]).sum())

    def receive(self) -> list[Episode]:
        """Take the records of the step that `send` began; return the episodes that ended."""
        with self.watch("env"):
            record = self.envs.receive()
        assert np.array_equal(record["is_first"], self.record["is_last"]), (record, self.record)
        self.sent = False
        self.record, ended = without_log(record), self.tally.see(record, self.envs.closed())
        return list(ended.values())

    def seen(self) -> Iterable[tuple[Record, bool]]:
        """Return the records that `receive` took, for films: (records (n, ...), whether the first one is closed)."""
        return [(self.record, bool(self.envs.closed()[0]))]

    def metrics(self) -> dict[str, float]:
        """Return numbers about acting for the logs, of the time since the last call."""
        return {}

    def _act(self, random: bool, step: int) -> tuple[np.ndarray, Record]:
        """Return actions and the arrays to store with them.

        The agent also sees records of random actions, so it can take over in the middle of an episode.
        """
        action, extras, state = self.agent.act(self.record, self.state, mode="train", step=step)
        if random:
            action, drawn = self.agent.random(self.envs.num)
            extras["action"] = drawn["action"]
            state = state | {"action": torch.as_tensor(drawn["action"]).to(state["action"])}
        action, self.state = require_finite(action), state
        return action, extras

    def save(self) -> dict[str, Any]:
        """Return the state for a checkpoint; not between `send` and `receive`."""
        assert not self.sent, "receive first"
        return {
            "envs": self.envs.state(),
            "state": {key: value.cpu() for key, value in self.state.items()},
            "scores": self.tally.scores,
            "lengths": self.tally.lengths,
            "numbers": self.tally.numbers,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `save` returned: environments are in the same episodes at the same steps.

        Raises ValueError, TypeError or KeyError, before the environments move, if `state` is malformed.
        """
        form = lambda arrays: {key: (tuple(x.shape), x.dtype) for key, x in arrays.items()}
        scores, lengths = np.asarray(state["scores"], np.float64), np.asarray(state["lengths"], np.int64)
        numbers = [_read_numbers(entry) for entry in state.get("numbers", self.tally.numbers)]
        shapes = scores.shape, lengths.shape, (len(numbers),)
        if form(state["state"]) != form(self.state) or set(shapes) != {(self.envs.num,)}:
            raise ValueError(f"collector has {form(state['state'])} and {shapes}, not {form(self.state)}")
        check_positions(state["envs"])
        self.record = without_log(self.envs.restore(state["envs"]))
        self.state = {key: value.to(self.agent.device) for key, value in state["state"].items()}
        begins = self.record["is_first"]  # also where an environment had to start a new episode
        self.tally.scores, self.tally.lengths = np.where(begins, 0, scores), np.where(begins, 0, lengths)
        self.tally.numbers = [{} if fresh else entry for fresh, entry in zip(begins, numbers, strict=True)]


def _read_numbers(entry: dict[str, Any]) -> dict[str, list[float]]:
    return {name: [int(count), float(total), float(largest), float(last)]
            for name, (count, total, largest, last) in entry.items()}  # fmt: skip
