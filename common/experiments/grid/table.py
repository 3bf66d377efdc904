"""Progress of a running grid: a live table on a terminal, one line per change elsewhere."""

import time
from collections.abc import Callable
from typing import NamedTuple, TextIO

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from common.config.tables import make_console
from common.experiments.grid.run_progress import RunProgress
from common.storage.progress import format_rate

COLUMNS = ("run", "", "done", "frames", "updates", "score", "frames/s", "left")
HOST_COLUMN = "machine"  # of grids on several machines
REFRESH_SECONDS = 2.0
LINES_PER_RUN = 10  # outside of a terminal: one for each tenth of the run
#: Status -> style; the most urgent one first.
STYLES = {
    "failed": "red",
    "running": "cyan",
    "queued": "dim",
    "waiting": "dim",
    "pruned": "yellow",
    "done": "green",
}
COUNTED = ("running", "queued", "waiting", "pruned", "failed")  # in the summary, after those that are done
EXTRA_LINES = 4  # below a terminal's last row of runs: head, summary, prompt


class ProgressRow(NamedTuple):
    """Name, status, progress and error of a run, and the machine that computes it, if others may."""

    name: str
    status: str
    progress: RunProgress
    error: str | None = None
    host: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return a text for each of COLUMNS."""
        now, running = self.progress, self.status == "running"
        score = "" if now.score is None else f"{now.score:.1f}"
        speed = format_rate(now.speed) if now.speed and running else ""
        left = format_duration(now.left) if now.left is not None and running else ""
        counts = f"{now.share:.0%}", f"{now.frames:,}", f"{now.updates:,}"
        return self.name, self.status, *counts, score, speed, self.error or left


class ProgressTable:
    """Shows the rows of a grid every REFRESH_SECONDS. Use it as a context, and call `show` as often as you like.

    notice: a sentence about the comparison, below the table of a terminal, elsewhere before the first line.
    hosts: whether to show the machine of each run; a run without one waits in the queue of the cluster.
    """

    def __init__(self, parallel: int, stream: TextIO | None = None, notice: str = "", hosts: bool = False):
        self.parallel, self.notice, self.hosts, self.shown = parallel, notice, hosts, -REFRESH_SECONDS
        self.console = make_console(stream)
        live = Live(console=self.console, auto_refresh=False, vertical_overflow="crop")
        self.live = live if self.console.is_terminal else None
        self.reported: dict[str, tuple[str, int]] = {}

    def __enter__(self) -> "ProgressTable":
        if self.live:
            self.live.start()
        elif self.notice:
            print(self.notice, file=self.console.file, flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def show(self, rows: Callable[[], list[ProgressRow]], final: bool = False) -> None:
        """Show the result of `rows` if the last time was long enough ago, or if this is the `final` call."""
        if not final and time.monotonic() - self.shown < REFRESH_SECONDS:
            return
        shown = [self.with_queue(row) for row in rows()]
        if self.live:
            self.live.update(self.render(shown), refresh=True)
        else:
            self.report(shown)
        self.shown = time.monotonic()

    def with_queue(self, row: ProgressRow) -> ProgressRow:
        """Return the row with the status `queued` if no machine has begun the run."""
        return row._replace(status="queued") if self.hosts and row.status == "running" and not row.host else row

    def render(self, rows: list[ProgressRow]) -> Group:
        """Return the most urgent rows that fit on the terminal, and the summary of all."""
        made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for name in (*COLUMNS, *[HOST_COLUMN] * self.hosts):
            text = name in ("run", "", "left", HOST_COLUMN)
            made.add_column(name, justify="left" if text else "right", no_wrap=name != "left")
        notice = Text(self.notice, style="yellow")
        lines = len(notice.wrap(self.console, self.console.size.width)) if self.notice else 0
        for row in select_rows(rows, self.console.size.height - EXTRA_LINES - lines):
            cells = (*row.cells(), *[row.host] * self.hosts)
            made.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in cells), style=STYLES[row.status])
        summary = Text(summarize(rows, self.parallel), no_wrap=True, overflow="ellipsis")
        return Group(made, summary, *[notice] * bool(self.notice))

    def report(self, rows: list[ProgressRow]) -> None:
        """Print a line for each run with a new status, or with another tenth completed, since its last line."""
        for row in rows:
            state = row.status, int(row.progress.share * LINES_PER_RUN)
            if self.reported.get(row.name, ("waiting", 0)) != state:
                self.reported[row.name] = state
                name, status, done, frames, updates, score, speed, left = row.cells()
                texts = [name, status, done, f"{frames} frames", f"{updates} updates", score and f"score {score}"]
                texts += [speed and f"{speed} frames/s", row.error or (left and f"{left} left")]
                texts += [row.host and f"on {row.host}"]
                print("  ".join(filter(None, texts)), file=self.console.file, flush=True)


def select_rows(rows: list[ProgressRow], count: int) -> list[ProgressRow]:
    """Return the `count` most urgent rows, in their original order."""
    urgent = sorted(range(len(rows)), key=lambda i: (list(STYLES).index(rows[i].status), i))
    return [rows[i] for i in sorted(urgent[: max(1, count)])]


def summarize(rows: list[ProgressRow], parallel: int) -> str:
    """Return the number of runs by status, and the estimated time until all are done."""
    counts = {status: sum(row.status == status for row in rows) for status in STYLES}
    text = f"{counts['done']} of {len(rows)} runs done" + "".join(
        f", {counts[status]} {status}" for status in COUNTED if counts[status]
    )
    totals = [row.progress.total for row in rows if row.progress.total]
    ahead = [row.progress for row in rows if row.status in ("running", "queued", "waiting")]
    if not (totals and ahead):
        return text
    mean = sum(totals) / len(totals)  # of a run without an estimate of its own
    seconds = sum(max(0.0, mean - run.wall) if run.left is None else run.left for run in ahead)
    return f"{text}; about {format_duration(seconds / parallel)} left"


format_duration = tqdm.format_interval  # seconds -> minutes:seconds, with hours if there are any
