"""Progress of training: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from typing import TextIO

from tqdm import tqdm


class Progress:
    """Progress towards `total` frames, on stderr: a bar on a terminal, otherwise a line per call of `line`."""

    def __init__(self, total: int, stream: TextIO | None = None):
        self.total, self.stream = total, stream or sys.stderr
        self.frames = self._frames = 0
        self.updates = self._updates = 0
        self._time = time.perf_counter()
        self._scores: dict[str, float | None] = {}
        self.bar = None
        if self.stream.isatty():
            form = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} frames [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
            self.bar = tqdm(
                total=total, unit="f", unit_scale=True, dynamic_ncols=True, smoothing=0.05,
                file=self.stream, bar_format=form,
            )  # fmt: skip

    def start_at(self, frames: int, updates: int) -> None:
        """Start at the counts of a resumed run, which do not count as speed."""
        self.frames, self.updates = self._frames, self._updates = frames, updates
        if self.bar is not None:
            self.bar.initial = self.bar.n = self.bar.last_print_n = frames
            self.bar.refresh()

    def update(self, frames: int, updates: int) -> None:
        """Move the bar; cheap enough for every step and every update."""
        if self.bar is not None and (frames, updates) != (self.frames, self.updates):
            self.bar.update(frames - self.frames)
            if frames == self.frames and updates % 10 == 0:
                self.bar.refresh()
        self.frames, self.updates = frames, updates

    def line(self, **scores: float | None) -> dict[str, float]:
        """Show the newest `scores` and the rates since the last call; return the rates `fps/env`, `fps/train`."""
        self._scores |= {name: score for name, score in scores.items() if score is not None}
        now = time.perf_counter()
        past = max(now - self._time, 1e-9)
        rates = {
            "fps/env": (self.frames - self._frames) / past,
            "fps/train": (self.updates - self._updates) / past,
        }
        self._time, self._frames, self._updates = now, self.frames, self.updates
        shown = [f"{rates['fps/train']:.2f} updates/s"]
        shown += [f"{name} {score:.1f}" for name, score in self._scores.items()]
        if self.bar is not None:
            self.bar.set_postfix_str(", ".join(shown))
        else:
            self._print_line(shown, rates["fps/env"])
        return rates

    def message(self, text: str) -> None:
        """Print `text` without breaking the bar."""
        if self.bar is not None:
            self.bar.write(text, file=self.stream)
        else:
            print(text, file=self.stream, flush=True)

    def close(self) -> None:
        """Keep the bar on the screen as it is now."""
        if self.bar is not None:
            self.bar.close()

    def _print_line(self, shown: list[str], speed: float) -> None:
        left = tqdm.format_interval((self.total - self.frames) / speed) if speed > 0 else "?"
        head = f"{self.frames:,}/{self.total:,} frames ({self.frames / max(self.total, 1):.0%})"
        print(" | ".join([head, f"{speed:.0f} frames/s", *shown, f"{left} left"]), file=self.stream, flush=True)
