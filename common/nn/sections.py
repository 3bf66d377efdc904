"""Named sections of a program: rows in a profiler's trace and, inside `time_sections`, seconds.

`with section("imagination"): ...` names a block. `with time_sections(device) as seconds: ...` times the blocks.
"""

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator

import torch


class SectionTimer:
    """Timer of the sections of one thread. Time counts for the innermost section, so the shares add up.

    On a GPU it waits for the device wherever a section begins or ends, which slows the program down a little: measure
    the shares and the rate of updates in separate runs.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.device = torch.device(device)
        self.thread = threading.get_ident()
        self.open: list[str] = []
        self.since = 0.0

    def enter(self, name: str) -> None:
        """Begin a section."""
        self.charge_elapsed()
        self.open.append(name)

    def exit(self) -> None:
        """End the innermost section; the one around it continues."""
        self.charge_elapsed()
        self.open.pop()

    def charge_elapsed(self) -> None:
        """Add the time since the last call to the innermost section."""
        if self.device.type == "cuda" and not torch.cuda.is_current_stream_capturing():
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        if self.open:
            self.seconds[self.open[-1]] += now - self.since
        self.since = now


_active_timer: SectionTimer | None = None


@contextlib.contextmanager
def section(name: str) -> Iterator[None]:
    """Name a block of code. Without a profiler or a timer it costs microseconds."""
    timer = _active_timer if _active_timer and _active_timer.thread == threading.get_ident() else None
    with torch.profiler.record_function(name):
        if timer is None:
            yield
            return
        timer.enter(name)
        try:
            yield
        finally:
            timer.exit()


@contextlib.contextmanager
def time_sections(device: torch.device | str = "cpu") -> Iterator[dict[str, float]]:
    """Time the sections of this thread; the dict of seconds by name fills as they end."""
    global _active_timer
    before, timer = _active_timer, SectionTimer(device)
    _active_timer = timer
    try:
        yield timer.seconds
    finally:
        _active_timer = before
