"""The position of one environment in its episode, and how it is saved and restored."""

import hashlib
from typing import Any

import numpy as np

from common.errors import UserError

RECORD_FLAGS = ("is_first", "is_last", "is_terminal")
MAX_REPLAYED_STEPS = 100_000  # longer episodes are not replayed on resume; a new one starts


class TooManyEnvFailures(UserError):
    """An environment failed too often in a row. The run can still be saved."""


class EpisodePosition:
    """Episode number, actions and current record of one environment. Its owner updates them."""

    def __init__(self, index: int, messages: list[str]):
        self.index, self.messages = index, messages
        self.error: TooManyEnvFailures | None = None
        self.episode = -1
        self.steps = 0  # of this episode
        self.actions: list[np.ndarray] = []  # of this episode
        self.record: dict = {}  # the current one; empty until a new episode has begun
        self.closed = False  # whether the current record closes a failed episode
        self.pending = False  # whether a record was requested and not yet received

    def next_episode(self) -> int:
        """Leave this episode and return the number of the next one."""
        assert not self.pending, "receive first"
        self.episode, self.steps, self.actions, self.record, self.closed = self.episode + 1, 0, [], {}, False
        return self.episode

    def add_action(self, action: Any) -> None:
        """Count a step of this episode and keep its action."""
        self.steps += 1
        if self.steps <= MAX_REPLAYED_STEPS + 1:
            self.actions.append(np.array(action))

    def state(self) -> dict:
        """Return the episode's number, its actions, and a digest of the current record."""
        assert self.record, "reset first"
        assert not self.pending, "receive first"
        actions = [action.tolist() for action in self.actions] if len(self.actions) <= MAX_REPLAYED_STEPS else None
        return {"episode": self.episode, "actions": actions, "closed": self.closed, "digest": _digest(self.record)}

    def matches(self, state: dict) -> bool:
        """Whether a replayed episode has reached the record of a saved state; add a message if not."""
        if state["closed"]:
            self.record = self.closing_record()
        if _digest(self.record) == state["digest"]:
            return True
        self.add_message("replaying its episode did not lead to the saved record, so it starts a new episode")
        return False

    def closing_record(self) -> dict:
        """Return the last valid record again, as the truncated end of a failed episode."""
        self.closed = True
        flags = {"is_first": False, "is_last": True, "is_terminal": False}
        return {**self.record, "reward": np.float32(0), **flags, "log": {}}

    def add_message(self, text: str, trace: str = "") -> None:
        """Add a message for the user; lines after its first are a traceback."""
        self.messages.append(f"Environment {self.index}: {text}\n{trace}".strip())


def make_record(obs: dict, reward: float, flags: tuple, log: dict) -> dict:
    """Return a record of one environment; `flags` are is_first, is_last, is_terminal."""
    named = {name: bool(flag) for name, flag in zip(RECORD_FLAGS, flags, strict=True)}
    return {**obs, "reward": np.float32(reward), **named, "log": log}


def _digest(record: dict) -> str:
    digest = hashlib.sha256()
    for key in sorted(record.keys() - {"log"}):
        digest.update(key.encode() + np.ascontiguousarray(record[key]).tobytes())
    return digest.hexdigest()
