"""Acting in the training environments, record by record."""

from typing import Any, NamedTuple

import numpy as np
import torch

from common.errors import NonFiniteError
from common.training.clock import Stopwatch

Record = dict[str, np.ndarray]


def without_log(record: dict) -> Record:
    """`record` without the extra numbers that environments report beside it."""
    return {key: value for key, value in record.items() if key != "log"}


def require_finite(action: np.ndarray) -> np.ndarray:
    """Returns `action`; raises NonFinite if there is a NaN or infinity in it."""
    if not np.isfinite(action).all():
        raise NonFiniteError(["the actions of the policy"])
    return action


class Episode(NamedTuple):
    """A finished episode: undiscounted return, length in agent steps, what its numbers for the logs come to."""

    score: float
    length: int
    extra: dict[str, float]


class Tally:
    """Return and length of the running episode of each of `n` environments, and the numbers for the logs in it."""

    def __init__(self, n: int):
        self.scores = np.zeros(n, np.float64)
        self.lengths = np.zeros(n, np.int64)
        self.numbers: list[dict[str, list[float]]] = [{} for _ in range(n)]  # name -> count, sum, largest, last

    def see(self, record: dict) -> dict[int, Episode]:
        """Adds `record` (n, ...); returns the episodes that ended with it, by environment."""
        first = record["is_first"]
        self.scores = np.where(first, 0.0, self.scores + record["reward"])
        self.lengths = np.where(first, 0, self.lengths + 1)
        self._log(record)
        ended = map(int, np.flatnonzero(record["is_last"]))
        return {i: Episode(float(self.scores[i]), int(self.lengths[i]), self._extra(i)) for i in ended}

    def _log(self, record: dict) -> None:
        """Adds the finite numbers under `log` of each environment."""
        for i in map(int, np.flatnonzero(record["is_first"])):
            self.numbers[i] = {}
        for name, values in record.get("log", {}).items():
            for numbers, value in zip(self.numbers, map(float, values), strict=True):
                if np.isfinite(value):
                    count, total, largest, _ = numbers.get(name, [0, 0.0, value, value])
                    numbers[name] = [count + 1, total + value, max(largest, value), value]

    def _extra(self, env: int) -> dict[str, float]:
        """Last value, mean, largest and sum of each number in the episode, without the prefix `log`."""
        extra: dict[str, float] = {}
        for name, (count, total, largest, last) in self.numbers[env].items():
            plain_name = name.removeprefix("log").strip("_/")
            extra |= {plain_name: last, f"{plain_name}_mean": total / count}
            extra |= {f"{plain_name}_max": largest, f"{plain_name}_sum": total}
        return extra


class Collector:
    """Training environments, the agent's latent state in them, and the record it acts on next.

    `send` stores the record of now together with the action chosen at it and begins the step; `receive` moves on to the
    record it leads to. In between, environments in worker processes are at work and the caller may be too.
    """

    def __init__(self, envs: Any, agent: Any, replay: Any, watch: Stopwatch):
        self.envs, self.agent, self.replay, self.watch = envs, agent, replay, watch
        self.tally = Tally(envs.num)
        self.state = agent.initial(envs.num)
        self.record: Record = {}
        self.sent = False  # whether a step was begun whose records are still to be received

    def begin(self) -> None:
        """Starts the first episodes."""
        self.record = without_log(self.envs.reset())

    def send(self, *, random: bool, step: int) -> int:
        """Acts once in every environment, at random or by the agent after `step` agent steps.

        Returns the agent steps this makes: an environment whose episode is over only resets.
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
        """Takes in the records that the step begun by `send` leads to; returns the episodes that ended."""
        with self.watch("env"):
            record = self.envs.receive()
        assert np.array_equal(record["is_first"], self.record["is_last"]), (record, self.record)
        self.sent = False
        self.record, ended = without_log(record), self.tally.see(record)
        return list(ended.values())

    def _act(self, random: bool, step: int) -> tuple[np.ndarray, Record]:
        """Random actions are watched by the agent, so that it takes over in the middle of an episode."""
        action, extras, state = self.agent.act(self.record, self.state, mode="train", step=step)
        if random:
            action, drawn = self.agent.random(self.envs.num)
            extras["action"] = drawn["action"]
            state = state | {"action": torch.as_tensor(drawn["action"]).to(state["action"])}
        action, self.state = require_finite(action), state
        return action, extras

    def save(self) -> dict:
        """State for a checkpoint; not between `send` and `receive`."""
        assert not self.sent, "receive first"
        return {
            "envs": self.envs.state(),
            "state": {key: value.cpu() for key, value in self.state.items()},
            "scores": self.tally.scores,
            "lengths": self.tally.lengths,
            "numbers": self.tally.numbers,
        }

    def check(self, state: dict) -> None:
        """Raises ValueError for a saved state of other environments or another agent."""
        form = lambda arrays: {key: (tuple(x.shape), x.dtype) for key, x in arrays.items()}
        rows = (len(state["scores"]), len(state["lengths"]), len(state.get("numbers", self.tally.numbers)))
        if form(state["state"]) != form(self.state) or set(rows) != {self.envs.num}:
            raise ValueError(f"collector has {form(state['state'])}, not {form(self.state)}")

    def load(self, state: dict) -> None:
        """Undoes `save`: environments stand in the same episodes at the same steps."""
        self.record = without_log(self.envs.restore(state["envs"]))
        self.state = {key: value.to(self.agent.device) for key, value in state["state"].items()}
        begins = self.record["is_first"]  # also where an episode could not be brought back
        self.tally.scores = np.where(begins, 0, state["scores"])
        self.tally.lengths = np.where(begins, 0, state["lengths"])
        saved = zip(begins, state.get("numbers", self.tally.numbers), strict=True)
        self.tally.numbers = [{} if fresh else numbers for fresh, numbers in saved]
