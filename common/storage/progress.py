"""Progress of training: a bar on a terminal, plain lines elsewhere, and the estimated time left."""

import sys
import time
from typing import TextIO

from tqdm import tqdm

BAR_FORMAT = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} frames [{elapsed}{postfix}]"
MIN_UPDATES, MIN_SECONDS = 3, 1.0  # of training, before an estimate


class TimeEstimate:
    """Estimates the time left from the rates of this process and from the frames and updates that are still due.

    A frame takes what it took while no updates were made; an update takes the rest of the time since then. Only the
    later half of the intervals with updates counts, because the first updates are slow.
    """

    def __init__(self, seconds: float = 0.0, frames: int = 0, updates: int = 0):
        self.last = (seconds, frames, updates)
        self.acting: list[tuple[float, int, int]] = []  # intervals without updates: seconds, frames, updates
        self.training: list[tuple[float, int, int]] = []

    def add(self, seconds: float, frames: int, updates: int) -> None:
        """Add a measurement: the clock, and the frames and updates of the run so far."""
        before, self.last = self.last, (seconds, frames, updates)
        interval = (seconds - before[0], frames - before[1], updates - before[2])
        if interval[1] or interval[2]:
            (self.training if interval[2] else self.acting).append(interval)

    def left(self, frames: int, updates: int) -> float | None:
        """Return the seconds for this many frames and updates; None while a rate that it needs is unknown."""
        if frames <= 0 and updates <= 0:
            return 0.0
        seconds, acted, made = _total(self.training[len(self.training) // 2 :])
        idle_seconds, idle_frames, _ = _total(self.acting)
        if (updates > 0 and (made < MIN_UPDATES or seconds < MIN_SECONDS)) or (frames > 0 and not acted + idle_frames):
            return None
        if updates <= 0 and seconds + idle_seconds < MIN_SECONDS:
            return None
        frame = idle_seconds / idle_frames if idle_frames else 0.0
        if acted:
            frame = min(frame, seconds / acted)
        update = (seconds - acted * frame) / made if made else 0.0
        return max(0, frames) * frame + max(0, updates) * update


def _total(intervals: list[tuple[float, int, int]]) -> tuple[float, int, int]:
    """Return the sums of seconds, frames and updates."""
    seconds, frames, updates = zip(*intervals, strict=True) if intervals else ((), (), ())
    return sum(seconds), sum(frames), sum(updates)


def format_rate(rate: float) -> str:
    """Return a rate with two digits or more; a rate above zero is never written as 0."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def bar_class(stream: TextIO) -> type[tqdm] | None:
    """Return the class of a bar: text on a terminal, a widget in a notebook; None where lines are better.

    A notebook without the package ipywidgets shows lines.
    """
    if stream.isatty():
        return tqdm
    if "ipykernel" not in sys.modules:
        return None
    from tqdm import notebook  # not earlier: it imports IPython

    return None if notebook.IProgress is None else notebook.tqdm_notebook


class Progress:
    """Progress towards `total` frames, on stderr: a bar on a terminal or in a notebook, else a line per `line`.

    quiet: show messages only.
    """

    def __init__(self, total: int, stream: TextIO | None = None, quiet: bool = False):
        self.total, self.stream, self.quiet = total, stream or sys.stderr, quiet
        self.frames = self._last_frames = 0
        self.updates = self._last_updates = 0
        self._last_time = time.perf_counter()
        self._scores: dict[str, float] = {}
        self.estimate = TimeEstimate(self._last_time)
        kind = None if quiet else bar_class(self.stream)
        self.bar = (kind or tqdm)(
            total=total, unit="f", unit_scale=True, dynamic_ncols=True, bar_format=BAR_FORMAT,
            file=self.stream, disable=kind is None,
        )  # fmt: skip

    def start_at(self, frames: int, updates: int) -> None:
        """Start at the counts of a resumed run, which do not count as speed."""
        self.frames, self.updates = self._last_frames, self._last_updates = frames, updates
        self._last_time = time.perf_counter()
        self.estimate = TimeEstimate(self._last_time, frames, updates)
        self.bar.initial = self.bar.n = self.bar.last_print_n = min(frames, self.total)
        self.bar.refresh()

    def update(self, frames: int, updates: int) -> None:
        """Move the bar; cheap enough for every step and every update."""
        if (frames, updates) != (self.frames, self.updates):
            self.bar.update(min(frames, self.total) - self.bar.n)
            if frames == self.frames and updates % 10 == 0:
                self.bar.refresh()
        self.frames, self.updates = frames, updates

    def line(self, due: int | None = None, limit: float | None = None, **scores: float | None) -> dict[str, float]:
        """Show rates, time left and newest `scores`; return `fps/env`, `fps/train` and, if known, `time/left`.

        due: updates still due, None if unknown. limit: seconds until the run ends by its time limit, None without one.
        The rates are those since the last call.
        """
        self._scores |= {name: score for name, score in scores.items() if score is not None}
        now = time.perf_counter()
        seconds = max(now - self._last_time, 1e-9)
        env, train = (self.frames - self._last_frames) / seconds, (self.updates - self._last_updates) / seconds
        self._last_time, self._last_frames, self._last_updates = now, self.frames, self.updates
        self.estimate.add(now, self.frames, self.updates)
        left = None if due is None else self.estimate.left(self.total - self.frames, due)
        left = min((seconds for seconds in (left, limit) if seconds is not None), default=None)
        shown = [f"{format_rate(env)} frames/s"] if env else []
        shown += [f"{format_rate(train)} updates/s"] if train else []
        shown += [f"{name} {score:.1f}" for name, score in self._scores.items()]
        shown += [f"{tqdm.format_interval(left)} left"] if left is not None else []
        self.bar.set_postfix_str(", ".join(shown))
        if self.bar.disable and not self.quiet:
            head = f"{self.frames:,}/{self.total:,} frames ({min(1, self.frames / max(self.total, 1)):.0%})"
            self.message(" | ".join([head, *shown]))
        return {"fps/env": env, "fps/train": train, **({} if left is None else {"time/left": left})}

    def message(self, text: str) -> None:
        """Print `text` without breaking the bar."""
        if self.bar.disable:
            print(text, file=self.stream, flush=True)
        else:
            self.bar.write(text, file=self.stream)

    def announce(self, text: str) -> None:
        """Print `text`, which the other processes of the run would print as well."""
        self.message(text)

    def close(self) -> None:
        """Keep the bar on the screen as it is now."""
        self.bar.close()
