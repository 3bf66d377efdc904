"""What a person sees while a grid runs: a table redrawn in place on a terminal, one line per news elsewhere."""

import shutil
import sys
import time
from collections.abc import Callable
from typing import NamedTuple, TextIO

from tqdm import tqdm

from common.experiments.grid.run_progress import RunProgress

COLUMNS = ("run", "", "done", "frames", "score", "frames/s", "left")
REFRESH_SECONDS = 2.0  # seconds between two drawings
NEWS = 10  # lines per run elsewhere: one for each tenth of it
DISPLAY_ORDER = ("failed", "running", "waiting", "done")  # what is shown first if not all fits


class ProgressRow(NamedTuple):
    """A run: name, status, how far it has come, and why it failed."""

    name: str
    status: str
    standing: RunProgress
    error: str | None = None

    def cells(self) -> tuple[str, ...]:
        """A text for each entry of HEAD."""
        now = self.standing
        score = "" if now.score is None else f"{now.score:.1f}"
        speed = f"{now.speed:.0f}" if now.speed and self.status == "running" else ""
        left = format_duration(now.total * (1 - now.share)) if now.total and self.status == "running" else ""
        return self.name, self.status, f"{now.share:.0%}", f"{now.frames:,}", score, speed, self.error or left


class ProgressTable:
    """Shows rows now and then; call `show` as often as you like."""

    def __init__(self, parallel: int, stream: TextIO | None = None):
        self.parallel, self.stream = parallel, stream or sys.stdout
        self.live = self.stream.isatty()
        self.height, self.shown = 0, -REFRESH_SECONDS
        self.told: dict[str, tuple] = {}

    def show(self, rows: Callable[[], list[ProgressRow]], final: bool = False) -> None:
        """Asks for the rows and shows them, if the last time is long enough ago or this is the `final` one."""
        if final or time.monotonic() - self.shown >= REFRESH_SECONDS:
            (self.draw if self.live else self.tell)(rows())
            self.shown = time.monotonic()

    def draw(self, rows: list[ProgressRow]) -> None:
        """Replaces what was drawn before."""
        width, height = shutil.get_terminal_size()
        kept = select_rows(rows, height - 4)
        lines = [*table([COLUMNS, *(row.cells() for row in kept)]), summary(rows, self.parallel)]
        up = f"\x1b[{self.height}F\x1b[J" if self.height else ""
        self.stream.write(up + "".join(f"{line[: width - 1]}\n" for line in lines))
        self.stream.flush()
        self.height = len(lines)

    def tell(self, rows: list[ProgressRow]) -> None:
        """Prints runs that have changed their status or completed another tenth since they were told of."""
        for row in rows:
            news = row.status, int(row.standing.share * NEWS)
            if self.told.get(row.name, ("waiting", 0)) != news:
                self.told[row.name] = news
                name, status, done, frames, score, speed, left = row.cells()
                texts = [name, status, done, f"{frames} frames", score and f"score {score}"]
                texts += [speed and f"{speed} frames/s", row.error or (left and f"{left} left")]
                print("  ".join(filter(None, texts)), file=self.stream, flush=True)


def select_rows(rows: list[ProgressRow], space: int) -> list[ProgressRow]:
    """The most urgent rows that fit, in their order."""
    ranks = sorted(range(len(rows)), key=lambda i: (DISPLAY_ORDER.index(rows[i].status), i))
    return [rows[i] for i in sorted(ranks[: max(1, space)])]


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Lines with aligned columns: texts to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ("<", "<", ">", ">", ">", ">", "<")
    line = lambda row: "  ".join(f"{text:{side}{width}}" for text, side, width in zip(row, sides, widths, strict=True))
    return [line(row).rstrip() for row in rows]


def summary(rows: list[ProgressRow], parallel: int) -> str:
    """How many runs stand how, and about how long all of them will take."""
    counts = {status: sum(row.status == status for row in rows) for status in DISPLAY_ORDER}
    text = f"{counts['done']} of {len(rows)} runs done" + "".join(
        f", {counts[status]} {status}" for status in ("running", "waiting", "failed") if counts[status]
    )
    totals = [row.standing.total for row in rows if row.standing.total]
    open_shares = [1 - row.standing.share for row in rows if row.status in ("running", "waiting")]
    if not (totals and open_shares):
        return text
    return f"{text}; about {format_duration(sum(open_shares) * sum(totals) / len(totals) / parallel)} left"


def format_duration(number: float) -> str:
    """As minutes and seconds, with hours where there are any."""
    return tqdm.format_interval(number)
