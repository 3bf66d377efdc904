"""A service as a logger: its calls are made in a thread, so that it can neither stop nor slow a run.

Records wait in a bounded queue. `<service>.json` in the run directory stores the id of the run in the service, and the
position up to which records were handed over. A resumed run therefore continues the same run there, and does not send
what an interrupted process sent after the checkpoint.
"""

import json
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from common.errors import error_text
from common.files import write_text
from common.safe_io import read_json
from common.storage.loggers.run_logger import RunFacts

FIRST_RETRY_SECONDS = 1.0  # doubled up to `Limits.retry`
Position = tuple[int, int]  # frames, and the number of a record at these frames


class Service(Protocol):
    """A client of a service. Its calls may take any time and raise anything. Only one thread uses it.

    name: that of the logger. title: its name for people. advice: what to do about records that it did not take.
    """

    name: str
    title: str
    advice: str

    def open(self, facts: RunFacts, run_id: str | None) -> str:
        """Create the run, or continue the one with `run_id`; return its id."""

    def scalars(self, values: dict[str, float], frames: int, wall: float) -> None:
        """Send metrics, with `frames` as the step. wall: time in seconds since 1970."""

    def film(self, name: str, path: Path, frames: int) -> None:
        """Send a GIF file."""

    def close(self, end: str) -> None:
        """End the process of the run there, and wait until everything is sent."""


class Limits(NamedTuple):
    """Records that may wait; seconds until a missing answer is reported, between attempts to open, and at the end."""

    waiting: int = 1000
    answer: float = 30.0
    retry: float = 30.0
    close: float = 10.0


class ServiceLogger:
    """A `RunLogger` that hands records to a `Service` in a thread. report: prints a notice.

    Records that the service does not take are counted. The first trouble prints one notice, the end another one.
    """

    def __init__(self, service: Service, logdir: Path, report: Callable[[str], None], limits: Limits | None = None):
        self.service, self.report, self.limits = service, report, limits or Limits()
        self.path = logdir / f"{service.name}.json"
        self.waiting: queue.SimpleQueue[tuple[Position, str, tuple] | None] = queue.SimpleQueue()
        self.added = self.settled = 0  # records that the thread was given, and those that it is done with
        self.dropped = 0  # by the run, because too many waited
        self.refused = 0  # by the service
        self.position: Position = (0, -1)
        self.counted = -1  # frames of the last counters
        self.facts: RunFacts | None = None
        self.trouble = ""  # the first one, until it is printed
        self.busy_since: float | None = None  # of the call in progress
        self._had_trouble = False
        self._ending = threading.Event()
        self._end = ""
        self._thread = threading.Thread(target=self._work, name=f"logger {service.name}", daemon=True)

    def start(self, facts: RunFacts) -> None:
        """Start the thread, which opens the run in the service."""
        self.facts = facts
        self._thread.start()

    def scalars(self, counters: dict[str, float], metrics: dict[str, float], wall: float) -> None:
        """Hand over a line, or count it as dropped if too many records wait.

        Several lines may have the same frames, such as that of an evaluation: a service gets their counters once.
        """
        frames = int(counters["frames"])
        values = metrics if frames == self.counted else {**counters, **metrics}
        self.counted = frames
        self._add(frames, "scalars", values, frames, wall)

    def film(self, name: str, path: Path, size: tuple[int, int], frames: int, wall: float) -> None:
        """Hand over a film, or count it as dropped if too many records wait."""
        self._add(frames, "film", name, path, frames)

    def close(self, end: str) -> None:
        """Wait some seconds until all records are sent, and print what the service does not have."""
        if self.facts is None:
            return
        self._end = end
        self._ending.set()
        self.waiting.put(None)
        self._thread.join(self.limits.close)
        self._print_trouble()
        lost, waiting = self.dropped + self.refused, self.added - self.settled
        if self._thread.is_alive():
            self.report(
                f"{self.service.title} did not finish within {self.limits.close:g} seconds. "
                f"{_count(lost + waiting)} may be missing there. {self.service.advice}"
            )
        elif lost:
            self.report(f"{_count(lost)} are missing in {self.service.title}. {self.service.advice}")

    def _add(self, frames: int, kind: str, *values: Any) -> None:
        self.position = (frames, self.position[1] + 1 if self.position[0] == frames else 0)
        since = self.busy_since
        if since is not None and time.monotonic() - since > self.limits.answer:
            self._note(f"it has not answered for {self.limits.answer:g} seconds")
        if self.added - self.settled >= self.limits.waiting:
            self.dropped += 1
            self._note(f"{self.limits.waiting:,} records wait")
        else:
            self.added += 1
            self.waiting.put((self.position, kind, values))
        self._print_trouble()

    def _note(self, trouble: str) -> None:
        """Keep the first trouble for the thread of the run, which prints it."""
        if not self._had_trouble:
            self._had_trouble, self.trouble = True, trouble

    def _print_trouble(self) -> None:
        if self.trouble:
            self.report(f"{self.service.title} does not take records: {self.trouble}. The run continues without it.")
            self.trouble = ""

    def _work(self) -> None:
        """Open the run, send all records, close. Runs in the thread."""
        sent = self._open()
        while (record := self.waiting.get()) is not None:
            position, kind, values = record
            if sent is None:
                self.refused += 1
            elif position > sent["sent"]:
                sent["sent"] = position
                self._call(self._send, sent, kind, values)
            self.settled += 1
        if sent is not None:
            self._call(self.service.close, self._end)

    def _send(self, sent: dict[str, Any], kind: str, values: tuple) -> None:
        """Store the position, then send: a record is lost rather than sent twice."""
        write_text(self.path, json.dumps(sent) + "\n")
        getattr(self.service, kind)(*values)

    def _open(self) -> dict[str, Any] | None:
        """Open the run; try again until the end of the run. Return what is stored about it, None if it stays closed."""
        assert self.facts is not None
        place = {"project": self.facts.project, "entity": self.facts.entity}
        stored = read_stored(self.path)
        if any(stored.get(key) != value for key, value in place.items()):  # another place is another run
            stored = {}
        sent = place | {"id": stored.get("id"), "sent": tuple(stored.get("sent", (0, -1)))}
        pause = FIRST_RETRY_SECONDS
        while not self._call(self._open_once, sent):
            if self._ending.wait(min(pause, self.limits.retry)):
                return sent if self._call(self._open_once, sent) else None
            pause *= 2
        return sent

    def _open_once(self, sent: dict[str, Any]) -> None:
        assert self.facts is not None
        sent["id"] = self.service.open(self.facts, sent["id"])
        write_text(self.path, json.dumps(sent) + "\n")

    def _call(self, function: Callable[..., None], *values: Any) -> bool:
        """Call a function of the service. Return whether it raised nothing."""
        self.busy_since = time.monotonic()
        try:
            function(*values)
        except BaseException as error:  # foreign code may raise anything, also SystemExit
            self.refused += function == self._send
            text = error_text(error).strip().splitlines()
            self._note(f"{type(error).__name__}: {text[0]}" if text else type(error).__name__)
            return False
        finally:
            self.busy_since = None
        return True


def read_stored(path: Path) -> dict[str, Any]:
    """Return what a run stored about itself in a service; {} if there is nothing or it is malformed."""
    try:
        stored = read_json(path)
        frames, number = stored["sent"]
        valid = isinstance(stored["id"], str) and type(frames) is type(number) is int
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return stored if valid else {}


def _count(records: int) -> str:
    return f"{records:,} record{'s' * (records != 1)}"
