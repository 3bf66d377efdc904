"""The report of the study as a Markdown page."""

import numpy as np

from benchmarks.learning import equivalence
from benchmarks.learning.analysis import Cell, Row, late_metrics, tenths
from benchmarks.learning.score_files import SIDES, Run

ABOUT_TESTS = (
    "*p equal*: two one-sided tests that the difference is inside the margin. *p zero*: Welch's test that it is 0. "
    "Both have Holm's correction for the number of rows of this table. *Smallest*: the margin at which the difference "
    f"would be inside at level {equivalence.LEVEL} without correction. *Seeds needed*: per side, for a verdict with a "
    f"chance of {equivalence.POWER:.0%} at the strictest level of the correction, if the difference and the spread "
    "seen so far are the true ones."
)


def page(cells: list[Cell], rows: list[Row], found: dict[Run, dict]) -> str:
    """Return the report as Markdown."""
    complete = min(len(cell.curves[side]) for cell in cells for side in SIDES)
    return "\n".join(
        [
            "# Official agents and ours: verdicts",
            "",
            f"`python -m benchmarks.learning.report` wrote this page from {len(found)} runs; every version, task and "
            f"side has at least {complete} of them. [PROTOCOL.md](PROTOCOL.md) says what was compared and how. A "
            "verdict *undecided* means that the runs so far show neither equality nor a difference.",
            "",
            *verdict_table(cells, rows),
            "",
            "![Mean score in each tenth of training](curves.png)",
            "",
            "Mean of the episodes that end in each tenth of training: thin lines are single runs, thick lines their "
            "mean. Bands are 95 % bootstrap intervals of the mean, from three runs on.",
            "",
            "## Tests",
            "",
            *test_table(rows),
            "",
            f"Difference: official minus ours, with the 95 % bootstrap interval from three seeds on. {ABOUT_TESTS}",
            "",
            "## Inside the agents",
            "",
            *metric_table(cells, found),
            "",
            "Means of metrics over the last fifth of each run: mean over the runs, and in brackets the smallest and "
            "the largest run. Losses whose definitions differ by constants are not listed.",
            "",
            "## Runs",
            "",
            *run_table(found),
            "",
        ]
    )


def table(head: list[str], lines: list[list[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines)]


def verdict_table(cells: list[Cell], rows: list[Row]) -> list[str]:
    """Return one line for each version and task."""
    lines = []
    for cell in cells:
        own = [row for row in rows if (row.version, row.task) == (cell.version, cell.task.name)]
        needed = [row.needed for row in own if row.verdict == equivalence.UNDECIDED]
        seeds = " and ".join(f"{len(cell.curves[side])} {side}" for side in SIDES)
        verdict = equivalence.join_verdicts([row.verdict for row in own])
        estimate = seeds_text(needed) if verdict == equivalence.UNDECIDED else ""
        lines.append([cell.version.upper(), cell.task.name, f"**{verdict}**", seeds, estimate])
    return table(["version", "task", "verdict", "seeds", "seeds per side needed"], lines)


def seeds_text(needed: list[int | None]) -> str:
    """Return the largest of several estimates, as text."""
    if None in needed or not needed:
        return "unknown before two seeds per side"
    most = max(needed)
    return f"{equivalence.MOST_SEEDS} or more" if most >= equivalence.MOST_SEEDS else f"about {most}"


def test_table(rows: list[Row]) -> list[str]:
    """Return one line for each test."""
    lines = [
        [
            row.version.upper(),
            row.task,
            row.quantity,
            *(number(mean, ".1f") for mean in row.means),
            f"{number(row.found.difference, '+.1f')} {interval_text(row.found)}",
            f"{row.margin:.1f}",
            number(row.found.smallest_margin, ".1f"),
            number(row.p_equal, ".3f"),
            number(row.p_zero, ".3f"),
            row.verdict,
            seeds_text([row.needed]) if row.verdict == equivalence.UNDECIDED else "",
        ]
        for row in rows
    ]
    head = [
        "version",
        "task",
        "quantity",
        "official",
        "ours",
        "difference",
        "margin",
        "smallest",
        "p equal",
        "p zero",
        "verdict",
    ]
    return table([*head, "seeds needed"], lines)


def metric_table(cells: list[Cell], found: dict[Run, dict]) -> list[str]:
    """Return one line for each metric of each version and task."""
    text = lambda values: f"{np.mean(values):.3g} [{min(values):.3g}, {max(values):.3g}]"
    lines = [
        [cell.version.upper(), cell.task.name, metric, *(text(sides[side]) for side in SIDES)]
        for cell in cells
        for metric, sides in late_metrics(found, cell).items()
    ]
    return table(["version", "task", "metric", *SIDES], lines)


def number(value: float, form: str) -> str:
    """Return a number as text; a dash if it does not exist."""
    return "–" if np.isnan(value) else f"{value:{form}}"


def interval_text(found: equivalence.Comparison) -> str:
    """Return the interval of a difference as text."""
    return f"[{number(found.low, '+.1f')}, {number(found.high, '+.1f')}]"


def run_table(found: dict[Run, dict]) -> list[str]:
    """Return one line for each run."""
    lines = [
        [
            str(run),
            " ".join(f"{mean:.0f}" for mean in tenths(content)),
            f"{content['updates']:,}",
            f"{content['parameters']:,}",
            f"{content['cpu_seconds']:.0f}",
            content["revision"],
            content["date"],
        ]
        for run, content in found.items()
    ]
    head = ["run", "mean score in each tenth", "updates", "parameters", "processor seconds", "revision", "date"]
    return table(head, lines)
