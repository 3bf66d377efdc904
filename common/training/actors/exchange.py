"""Messages between learner and actors: requests, records, failures; and the protocol of a pool of actors."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from common.storage.spaces import Spaces
from common.training.collector import Episode, Record


class Request(NamedTuple):
    """A request for records, of plain values only.

    rounds: steps of each environment. random: random actions. step: agent steps so far. version: updates after which
    the weights were published. keys: entries of a record to return. picture: an image key for films, or "".
    """

    rounds: int
    random: bool
    step: int
    version: int
    keys: tuple[str, ...]
    picture: str = ""


class Ready(NamedTuple):
    """An actor has made its environments. Without `found`, environments can be made and steps can begin."""

    found: Spaces
    num: int
    repeat: int
    host: str
    pid: int
    messages: list[str]


class Chunk(NamedTuple):
    """Consecutive records of an actor's environments, arrays (T, n, ...).

    episodes: those that ended. film: pictures of the first environment (T, ...), None if not asked for. closed: bool
    (T,), whether its record closes an episode that a failure cut short. version: of the weights that acted. error:
    environments that failed too often.
    """

    records: Record
    episodes: list[Episode]
    film: np.ndarray | None
    closed: np.ndarray
    version: int
    messages: list[str]
    error: Exception | None = None

    @property
    def steps(self) -> int:
        """Agent steps: a record that ends an episode is followed by a reset, not by a step."""
        return int((~self.records["is_last"]).sum())


class Failed(NamedTuple):
    """An error in an actor that ends the run. names: of the values that are not finite, with the inputs they had."""

    error: Exception
    names: list[str] | None = None
    record: Record | None = None
    state: dict[str, np.ndarray] | None = None


class Lost(NamedTuple):
    """The process or the machine of an actor is gone, with its open requests."""

    reason: str


Answer = Ready | Chunk | Failed | Lost


class Pool(Protocol):
    """Actors by number. An actor answers `Ready` once, then its requests in their order, or `Lost` once."""

    def start(self, actor: int, life: int) -> None:
        """Start an actor; `life` counts how often this number was started in the run."""

    def publish(self, weights: dict[str, np.ndarray], version: int) -> None:
        """Store the weights that later requests use, once for all actors."""

    def ask(self, actor: int, request: Request) -> None:
        """Send a request, and with it the newest weights."""

    def answers(self, seconds: float) -> Sequence[tuple[int, Answer]]:
        """Wait until an actor has answered, `seconds` at most; return what has arrived, with the actors' numbers."""

    def close(self) -> None:
        """End all actors."""


def plain(state: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return tensors as arrays, to be sent."""
    return {key: value.cpu().numpy() for key, value in state.items()}
