"""Named sections of a program: rows in a profiler's trace and, while somebody records, seconds.

`with section("imagination"): ...` names a block; `with recording(device) as seconds: ...` around an update collects.
"""

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator

import torch


class SectionTimer:
    """Seconds by section of one thread. Time belongs to the innermost section, so the shares add up.

    On a GPU the device is waited for at every border, which slows the program down a little: record the split and the
    rate of updates in separate runs.
    """

    def __init__(self, device: torch.device | str = "cpu"):
        self.seconds: dict[str, float] = defaultdict(float)
        self.device = torch.device(device)
        self.thread = threading.get_ident()
        self.open: list[str] = []
        self.since = 0.0

    def enter(self, name: str) -> None:
        """From now on, time belongs to `name`."""
        self.charge_elapsed()
        self.open.append(name)

    def exit(self) -> None:
        """Time belongs to the section around again."""
        self.charge_elapsed()
        self.open.pop()

    def charge_elapsed(self) -> None:
        """Gives the time since the last border to the innermost section."""
        if self.device.type == "cuda" and not torch.cuda.is_current_stream_capturing():
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        if self.open:
            self.seconds[self.open[-1]] += now - self.since
        self.since = now


_active: SectionTimer | None = None


@contextlib.contextmanager
def section(name: str) -> Iterator[None]:
    """Names a block of code. Without a profiler or a recorder it costs microseconds."""
    recorder = _active if _active and _active.thread == threading.get_ident() else None
    with torch.profiler.record_function(name):
        if recorder is None:
            yield
            return
        recorder.enter(name)
        try:
            yield
        finally:
            recorder.exit()


@contextlib.contextmanager
def time_sections(device: torch.device | str = "cpu") -> Iterator[dict[str, float]]:
    """Sections of this thread are timed; the dict of seconds by name fills as they end."""
    global _active
    before, recorder = _active, SectionTimer(device)
    _active = recorder
    try:
        yield recorder.seconds
    finally:
        _active = before
