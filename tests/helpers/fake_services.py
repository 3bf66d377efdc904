"""A package of a service that misbehaves, and the client for it."""

import threading

from common.storage.loggers.run_logger import RunFacts


class FakeService:
    """Keeps what it is sent. faults: name of a call -> function that runs first, and may raise or wait."""

    name, title, advice = "fake", "Fake", "See metrics.jsonl."

    def __init__(self, **faults):
        self.faults, self.calls, self.released = faults, [], threading.Event()

    def open(self, facts, run_id):
        self._call("open", run_id)
        return run_id or "id1"

    def scalars(self, values, frames, wall):
        self._call("scalars", frames, values)

    def film(self, name, path, frames):
        self._call("film", frames, name)

    def close(self, end):
        self._call("close", end)

    def _call(self, name, *values):
        self.faults.get(name, lambda: None)()
        self.calls.append((name, *values))

    def hang(self):
        """Wait until the test ends."""
        self.released.wait(60)

    def frames(self):
        """Frames of the lines that have arrived."""
        return [call[1] for call in self.calls if call[0] == "scalars"]


def facts(logdir, **changes):
    return RunFacts(logdir, "p", "", "task/v3/0", "task/v3", {"program": {"git": None}})._replace(**changes)
