"""The place of one of several environments: which episode it is in, how far, and how that is saved and found again."""

import hashlib

import numpy as np

from common.errors import UserError

RECORD_FLAGS = ("is_first", "is_last", "is_terminal")
MAX_REPLAYED_STEPS = 100_000  # steps of an episode that `state` can bring back; longer ones start anew


class TooManyEnvFailures(UserError):
    """An environment broke too often in a row. The run can be saved."""


class EpisodePosition:
    """Episode, actions and current record of one environment; whatever plays it keeps them up to date."""

    def __init__(self, index: int, messages: list[str]):
        self.index, self.messages = index, messages
        self.broken: TooManyEnvFailures | None = None
        self.episode = -1
        self.steps = 0  # of this episode
        self.actions: list[np.ndarray] = []  # of this episode
        self.record: dict = {}  # the current one; empty until a new episode has begun
        self.closed = False  # whether the current record closes a broken episode
        self.asked = False  # whether an answer is still to be received

    def turn(self) -> int:
        """Leave this episode: the number of the next one."""
        assert not self.asked, "receive first"
        self.episode, self.steps, self.actions, self.record, self.closed = self.episode + 1, 0, [], {}, False
        return self.episode

    def note(self, action) -> None:
        """Keep an action of this episode."""
        self.steps += 1
        if self.steps <= MAX_REPLAYED_STEPS + 1:
            self.actions.append(np.array(action))

    def state(self) -> dict:
        """The episode's number, its actions, and a digest of the current record."""
        assert self.record, "reset first"
        assert not self.asked, "receive first"
        actions = [action.tolist() for action in self.actions] if len(self.actions) <= MAX_REPLAYED_STEPS else None
        return {"episode": self.episode, "actions": actions, "closed": self.closed, "digest": _digest(self.record)}

    def back(self, state: dict) -> bool:
        """Whether an episode that was played again has come to where the state was saved; if not, says so."""
        if state["closed"]:
            self.record = self.closing()
        if _digest(self.record) == state["digest"]:
            return True
        self.say("it did not come back to where the run was saved, so it starts a new episode")
        return False

    def closing(self) -> dict:
        """The last good record once more, as the truncated end of a broken episode."""
        self.closed = True
        flags = {"is_first": False, "is_last": True, "is_terminal": False}
        return {**self.record, "reward": np.float32(0), **flags, "log": {}}

    def say(self, what: str, trace: str = "") -> None:
        """A message for people; lines after its first are a traceback."""
        self.messages.append(f"Environment {self.index}: {what}\n{trace}".strip())


def make_record(obs: dict, reward: float, flags: tuple, log: dict) -> dict:
    """A record of one environment; `flags` are is_first, is_last, is_terminal."""
    named = {name: bool(flag) for name, flag in zip(RECORD_FLAGS, flags, strict=True)}
    return {**obs, "reward": np.float32(reward), **named, "log": log}


def _digest(record):
    digest = hashlib.sha256()
    for key in sorted(record.keys() - {"log"}):
        digest.update(key.encode() + np.ascontiguousarray(record[key]).tobytes())
    return digest.hexdigest()
