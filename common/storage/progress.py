"""Progress of training: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from typing import TextIO

from tqdm import tqdm

BAR_FORMAT = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} frames [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


class Progress:
    """Progress towards `total` frames, on stderr: a bar on a terminal, otherwise a line per call of `line`."""

    def __init__(self, total: int, stream: TextIO | None = None):
        self.total, self.stream = total, stream or sys.stderr
        self.frames = self._last_frames = 0
        self.updates = self._last_updates = 0
        self._last_time = time.perf_counter()
        self._scores: dict[str, float] = {}
        self.bar = tqdm(
            total=total, unit="f", unit_scale=True, dynamic_ncols=True, smoothing=0.05, bar_format=BAR_FORMAT,
            file=self.stream, disable=not self.stream.isatty(),
        )  # fmt: skip

    def start_at(self, frames: int, updates: int) -> None:
        """Start at the counts of a resumed run, which do not count as speed."""
        self.frames, self.updates = self._last_frames, self._last_updates = frames, updates
        self.bar.initial = self.bar.n = self.bar.last_print_n = min(frames, self.total)
        self.bar.refresh()

    def update(self, frames: int, updates: int) -> None:
        """Move the bar; cheap enough for every step and every update."""
        if (frames, updates) != (self.frames, self.updates):
            self.bar.update(min(frames, self.total) - self.bar.n)
            if frames == self.frames and updates % 10 == 0:
                self.bar.refresh()
        self.frames, self.updates = frames, updates

    def line(self, **scores: float | None) -> dict[str, float]:
        """Show the newest `scores` and the rates since the last call; return the rates `fps/env`, `fps/train`."""
        self._scores |= {name: score for name, score in scores.items() if score is not None}
        now = time.perf_counter()
        seconds = max(now - self._last_time, 1e-9)
        env, train = (self.frames - self._last_frames) / seconds, (self.updates - self._last_updates) / seconds
        self._last_time, self._last_frames, self._last_updates = now, self.frames, self.updates
        shown = [f"{train:.2f} updates/s", *(f"{name} {score:.1f}" for name, score in self._scores.items())]
        self.bar.set_postfix_str(", ".join(shown))
        if self.bar.disable:
            left = tqdm.format_interval(max(0, self.total - self.frames) / env) if env > 0 else "?"
            head = f"{self.frames:,}/{self.total:,} frames ({min(1, self.frames / max(self.total, 1)):.0%})"
            self.message(" | ".join([head, f"{env:.0f} frames/s", *shown, f"{left} left"]))
        return {"fps/env": env, "fps/train": train}

    def message(self, text: str) -> None:
        """Print `text` without breaking the bar."""
        if self.bar.disable:
            print(text, file=self.stream, flush=True)
        else:
            self.bar.write(text, file=self.stream)

    def close(self) -> None:
        """Keep the bar on the screen as it is now."""
        self.bar.close()
