"""Figures of a report, drawn from its numbers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from common.analysis.report import formatting
from common.analysis.report.curves import AXES
from common.analysis.report.figure_style import INK, LINE, MUTED, PAGE, LineStyles, canvas, with_figure_style

HEIGHT = 2.9  # inches of a figure with curves
LABEL = 32  # characters of a label beside numbers
ROW, MARGIN = 0.44, 0.65  # inches of a row, and of what stands around rows
LABELS = {"wall": "training time", **{axis: label for axis, label in AXES.items() if axis != "wall"}}


def arrays(line: dict) -> dict[str, np.ndarray]:
    """Lists of a curve as arrays; absent values are nan."""
    return {key: np.array(values, float) for key, values in line.items() if key != "single"}


def curve(axes, line: dict, color: str, dashes=(None, None), label: str | None = None) -> None:
    """Draws a mean with its band: x, mean, low, high."""
    part = arrays(line)
    marker = "o" if len(part["x"]) < 2 else None
    axes.plot(part["x"], part["mean"], color=color, dashes=dashes, lw=1.8, marker=marker, label=label)
    axes.fill_between(part["x"], part["low"], part["high"], color=color, alpha=0.18, linewidth=0)


def scale(axes, axis: str) -> None:
    """Labels and few ticks for a horizontal axis."""
    form = formatting.duration if axis == "wall" else lambda value: formatting.short(value, thousand=1e3)
    axes.set_xlabel(LABELS[axis])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value) if value else "0"))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formatting.short(value)))
    axes.set_xlim(left=0)


@with_figure_style
def learning(task: str, part: dict, axis: str, look: LineStyles, published: Sequence[dict] = ()) -> Figure:
    """Learning curves of a task: mean over seeds with band; published curves in grey below."""
    figure, axes = canvas(HEIGHT)
    for known in published:
        x, mean, std = (np.array(known[key], float) for key in ("x", "mean", "std"))
        inside = x <= part["cut"]["at"]
        axes.fill_between(x[inside], (mean - std)[inside], (mean + std)[inside], color=LINE, alpha=0.45, linewidth=0)
        axes.plot(x[inside], mean[inside], color=MUTED, lw=1.2, dashes=look.published[known["method"]])
    for variant, line in part["curves"].items():
        curve(axes, line, *look[variant])
    axes.set_title(formatting.shorten(task, 44))
    axes.set_ylabel("return")
    scale(axes, axis)
    return figure


@with_figure_style
def against(task: str, part: dict, axis: str, look: LineStyles, variant: str, other: str | None) -> Figure:
    """The curve of one variant of many, over that of another in grey; the same heights for all of the task."""
    figure, axes = canvas(HEIGHT * 0.8)
    if other in part["curves"]:
        curve(axes, part["curves"][other], MUTED)
    curve(axes, part["curves"][variant], *look[variant])
    axes.set_ylim(heights(part["curves"]))
    axes.set_title(formatting.shorten(variant, 48), fontsize=10)
    scale(axes, axis)
    axes.set_xlabel(f"{task}, {LABELS[axis]}")
    return figure


def heights(lines: dict[str, dict]) -> tuple[float, float]:
    """Limits that hold all curves with their bands."""
    parts = [part[key] for part in map(arrays, lines.values()) for key in ("mean", "low", "high")]
    low, high = np.nanmin(np.concatenate(parts)), np.nanmax(np.concatenate(parts))
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


@with_figure_style
def intervals(title: str, rows: Sequence[dict], line: float | None = None, *, sign=False, limits=None) -> Figure:
    """Points with intervals, one row each: label, value, low, high, color, filled. line: a value to mark."""
    figure, axes = canvas(ROW * len(rows) + MARGIN, left=0.12, bottom=0.3)
    for place, row in enumerate(rows):
        point(axes, place, row)
        caption(axes, place, row["label"], formatting.interval(row, sign))
    frame(axes, title, len(rows), line)
    axes.set_xlim(limits)
    return figure


def point(axes, place: float, row: dict) -> None:
    """A value and its interval."""
    color, ends = row["color"], [row["low"], row["high"]]
    if None not in ends:
        axes.plot(ends, [place, place], color=color, lw=5, alpha=0.35, solid_capstyle="butt")
    face = color if row["filled"] else "none"
    axes.plot(row["value"], place, "o", markeredgecolor=color, markerfacecolor=face, markersize=7, mew=1.6)


def caption(axes, place: float, left: str, right: str) -> None:
    """Words above a row: its label and its numbers."""
    options = {"transform": axes.get_yaxis_transform(), "va": "bottom", "fontsize": 9}
    options["bbox"] = {"facecolor": PAGE, "edgecolor": "none", "pad": 0.8}
    axes.text(0.01, place - 0.2, formatting.shorten(left, LABEL), ha="left", **options)
    axes.text(0.99, place - 0.2, right, ha="right", color=MUTED, **options)


def frame(axes, title: str, rows: int, line: float | None) -> None:
    """Axes of a figure with rows from top to bottom."""
    axes.set_title(formatting.shorten(title, 52))
    axes.set_ylim(rows - 0.6, -0.85)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: formatting.short(value)))
    axes.margins(x=0.08)
    if line is not None:
        axes.axvline(line, color=INK, lw=0.9, dashes=(3, 2), zorder=0)


@with_figure_style
def waterfall(title: str, rows: Sequence[dict]) -> Figure:
    """Rungs of a ladder: the first as a point, then a bar from each rung to the next with the interval of the step.

    Rows are those of `intervals` with `start`, the score of the rung before, or None.
    """
    figure, axes = canvas(ROW * len(rows) + MARGIN, left=0.12, bottom=0.3)
    for place, row in enumerate(rows):
        if row["start"] is None:
            point(axes, place, row)
        else:
            step(axes, place, row)
        caption(axes, place, row["label"], formatting.interval(row, sign=row["start"] is not None))
    frame(axes, title, len(rows), None)
    return figure


def step(axes, place: float, row: dict) -> None:
    """A bar from one rung's score to the next one's."""
    start, face = row["start"], row["color"] if row["filled"] else "none"
    axes.barh(place, row["value"], left=start, height=0.3, facecolor=face, edgecolor=row["color"], linewidth=1.4)
    axes.plot([start, start], [place - 0.85, place - 0.15], color=MUTED, lw=0.7)
    if row["low"] is not None:
        axes.plot([start + row["low"], start + row["high"]], [place, place], color=INK, lw=1.2)


@with_figure_style
def profiles(part: dict, look: LineStyles) -> Figure:
    """Share of runs above each normalised score."""
    figure, axes = canvas(HEIGHT)
    for variant, line in part["profiles"].items():
        band = {"x": part["levels"], "mean": line["value"], "low": line["low"], "high": line["high"]}
        curve(axes, band, *look[variant])
    axes.set_title("Performance profile")
    axes.set_xlabel("normalised score")
    axes.set_ylabel("share of runs above it")
    axes.set_ylim(-0.02, 1.02)
    return figure
