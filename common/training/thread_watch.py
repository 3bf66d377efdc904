"""Repeats the choice of threads in a run when its updates become slow.

The threads of an update wait for each other. While another program has the core of one of them, all wait, so a busy
program can make an update with two threads four times as long, and one with one thread hardly longer.

Compiled functions use fewer threads too if they were compiled for all cores. Torch compiles other numbers of threads
into them, which they keep; the comparison then shows that fewer threads are not faster.
"""

import contextlib
import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Generator

import torch

from common.nn import ranks
from common.nn.machine import resolve_device
from common.training.threads import HOPELESS_FACTOR, MIN_SPEEDUP, ThreadChoice, thread_counts

SLOW_FACTOR = 2.0  # updates are slow if they take this many times as long as usual
RECENT_UPDATES = 3  # as many in a row, so that one long update changes nothing
TIMED_UPDATES = 3  # of each number of threads, after one that is not counted
RETRY_SECONDS = 60.0  # between comparisons while updates are slow
RETURN_SECONDS = 600.0  # from a change to fewer threads to the next comparison
MAX_TIME_SHARE = 0.05  # of a run for comparisons


def watch_threads(
    run: dict, choice: ThreadChoice, show: Callable[[str], None]
) -> contextlib.AbstractContextManager[object]:
    """Return a context for each update of a run, which may change the number of threads for the next one.

    It changes nothing if the number was set, on a GPU, or if a run has several ranks: all of them round alike.
    """
    several = choice.threads > 1 and ranks.current().size == 1
    if run["threads"] or not several or resolve_device(run["device"]) != "cpu":
        return contextlib.nullcontext()
    return ThreadWatch(choice.threads, show)


class ThreadWatch:
    """Context of an update: takes its time and, after slow ones, compares numbers of threads on the next updates.

    chosen: the number of threads of the run, never exceeded. show: prints a line. clock: seconds.
    """

    def __init__(
        self, chosen: int, show: Callable[[str], None], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.chosen, self.threads, self.show, self.clock = chosen, chosen, show, clock
        self.recent: deque[float] = deque(maxlen=RECENT_UPDATES)
        self.usual = math.inf  # seconds of an update with the current number of threads
        self.next_comparison = 0.0  # on the clock
        self.said = False  # whether a line said that fewer threads do not help
        self.comparison: Generator[None, float, None] | None = None
        self.begin = 0.0

    def __enter__(self) -> None:
        """Begin an update."""
        self.begin = self.clock()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End an update. One that fails is not counted."""
        if kind is None:
            self.see(self.clock() - self.begin)

    def see(self, seconds: float) -> None:
        """Take the seconds of an update, and set the number of threads of the next."""
        if self.comparison is not None:
            with contextlib.suppress(StopIteration):
                self.comparison.send(seconds)
                return
            self.comparison = None
        elif self._is_slow(seconds) or self._may_return():
            self.comparison = self._compare()
            next(self.comparison)

    def _is_slow(self, seconds: float) -> bool:
        """Whether the last updates all took far longer than usual, and no comparison ended shortly before."""
        self.recent.append(seconds)
        if len(self.recent) < RECENT_UPDATES:
            return False
        self.usual = min(self.usual, statistics.median(self.recent))
        return min(self.recent) > SLOW_FACTOR * self.usual and self.clock() >= self.next_comparison

    def _may_return(self) -> bool:
        """Whether it is time to try again the number of threads that the run had at first."""
        return self.threads < self.chosen and self.clock() >= self.next_comparison

    def _compare(self) -> Generator[None, float, None]:
        """Take the seconds of updates with 1, 2, 4, ... threads; use the number that is clearly fastest."""
        begin, slow = self.clock(), statistics.median(self.recent)
        best, fastest = 1, math.inf
        for count in (1, *thread_counts(self.chosen)):
            seconds = yield from _median_update(count, HOPELESS_FACTOR * fastest)
            if seconds * MIN_SPEEDUP > fastest:
                break
            best, fastest = count, seconds
        torch.set_num_threads(best)
        if best != self.threads:
            self.show(self._change_text(slow, best, fastest))
        elif fastest > SLOW_FACTOR * self.usual and not self.said:
            self.said = True
            self.show(
                f"Updates take {fastest:.2f} s instead of {self.usual:.2f} s: other programs use the processor. "
                "Fewer threads are not faster."
            )
        self._begin_again(best, fastest, self.clock() - begin)

    def _change_text(self, slow: float, threads: int, seconds: float) -> str:
        """Return the line about another number of threads. slow: seconds of an update until now."""
        text = f"Updates took {slow:.2f} s with {self.threads} thread(s) and take {seconds:.2f} s with {threads}"
        if threads == self.chosen:
            return f"{text}, with which the run continues again."
        return (
            f"{text}, with which the run continues: other programs use the processor. "
            f"After {RETURN_SECONDS / 60:.0f} minutes or more it compares again."
        )

    def _begin_again(self, threads: int, seconds: float, spent: float) -> None:
        """Continue with a number of threads after a comparison that took `spent` seconds."""
        if threads != self.threads:
            self.usual = seconds
        pause = RETRY_SECONDS if threads == self.chosen else RETURN_SECONDS
        self.threads, self.next_comparison = threads, self.clock() + max(pause, spent / MAX_TIME_SHARE)
        self.recent.clear()


def _median_update(threads: int, hopeless: float) -> Generator[None, float, float]:
    """Take the seconds of updates with a number of threads; return their median.

    The first one is not counted, unless it takes longer than `hopeless` seconds: then it is the only one.
    """
    torch.set_num_threads(threads)
    first = yield
    if first > hopeless:
        return first
    times: list[float] = []
    while len(times) < TIMED_UPDATES:
        times.append((yield))
    return statistics.median(times)
