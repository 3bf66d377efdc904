"""Figures of a report, drawn from its numbers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from common.analysis.report import formatting
from common.analysis.report.curves import AXES
from common.analysis.report.figure_style import INK, LINE, MUTED, PAGE, LineStyles, canvas, figure_settings

CURVE_INCHES = 2.9  # height of a figure with curves
ROW_INCHES, MARGIN_INCHES = 0.44, 0.65  # height of a row, and of the space around rows
MAX_LABEL_LENGTH = 32
LABELS = {**AXES, "wall": "training time"}


def draw_curve(axes, line: dict, color: str, dashes=(None, None), label: str | None = None) -> None:
    """Draw a mean with its band: x, mean, low, high; None is a gap."""
    x, mean, low, high = (np.array(line[key], float) for key in ("x", "mean", "low", "high"))
    axes.plot(x, mean, color=color, dashes=dashes, lw=1.8, marker="o" if len(x) < 2 else None, label=label)
    axes.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)


def format_axes(axes, axis: str) -> None:
    """Set the label of the horizontal axis, and a few ticks on both."""
    form = formatting.duration if axis == "wall" else lambda value: formatting.short(value, thousand=1e3)
    axes.set_xlabel(LABELS[axis])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value) if value else "0"))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formatting.short(value)))
    axes.set_xlim(left=0)


@figure_settings()
def learning_curves(task: str, part: dict, axis: str, styles: LineStyles, published: Sequence[dict] = ()) -> Figure:
    """Draw the curves of a task: mean over seeds with band, over published curves in grey."""
    figure, axes = canvas(CURVE_INCHES)
    for known in published:
        x, mean, std = (np.array(known[key], float) for key in ("x", "mean", "std"))
        inside = x <= part["cut"]["at"]
        axes.fill_between(x[inside], (mean - std)[inside], (mean + std)[inside], color=LINE, alpha=0.45, linewidth=0)
        axes.plot(x[inside], mean[inside], color=MUTED, lw=1.2, dashes=styles.published[known["method"]])
    for variant, line in part["curves"].items():
        draw_curve(axes, line, *styles[variant])
    axes.set_title(formatting.shorten(task, 44))
    axes.set_ylabel("return")
    format_axes(axes, axis)
    return figure


@figure_settings()
def curve_over_baseline(
    task: str, part: dict, axis: str, styles: LineStyles, variant: str, baseline: str | None
) -> Figure:
    """Draw the curve of one of many variants over its baseline's in grey; all figures of a task share their limits."""
    figure, axes = canvas(CURVE_INCHES * 0.8)
    if baseline in part["curves"]:
        draw_curve(axes, part["curves"][baseline], MUTED)
    draw_curve(axes, part["curves"][variant], *styles[variant])
    values = [np.array(line[key], float) for line in part["curves"].values() for key in ("mean", "low", "high")]
    low, high = np.nanmin(np.concatenate(values)), np.nanmax(np.concatenate(values))
    margin = 0.05 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)
    axes.set_title(formatting.shorten(variant, 48), fontsize=10)
    format_axes(axes, axis)
    axes.set_xlabel(f"{task}, {LABELS[axis]}")
    return figure


@figure_settings()
def intervals(title: str, rows: Sequence[dict], line: float | None = None, *, sign=False, limits=None) -> Figure:
    """Draw points with intervals, one row each: label, value, low, high, color, filled. line: a value to mark."""
    figure, axes = canvas(ROW_INCHES * len(rows) + MARGIN_INCHES, left=0.12, bottom=0.3)
    for place, row in enumerate(rows):
        _draw_point(axes, place, row)
        _draw_caption(axes, place, row["label"], formatting.interval(row, sign))
    _finish_rows(axes, title, len(rows))
    if line is not None:
        axes.axvline(line, color=INK, lw=0.9, dashes=(3, 2), zorder=0)
    axes.set_xlim(limits)
    return figure


@figure_settings()
def waterfall(title: str, rows: Sequence[dict]) -> Figure:
    """Draw the rungs of a ladder: a point, then a bar from each rung to the next with the interval of the step.

    Rows are those of `intervals`, with the score of the rung before as `start`, None for the first.
    """
    figure, axes = canvas(ROW_INCHES * len(rows) + MARGIN_INCHES, left=0.12, bottom=0.3)
    for place, row in enumerate(rows):
        (_draw_point if row["start"] is None else _draw_step)(axes, place, row)
        _draw_caption(axes, place, row["label"], formatting.interval(row, sign=row["start"] is not None))
    _finish_rows(axes, title, len(rows))
    return figure


def _draw_point(axes, place: float, row: dict) -> None:
    """Draw a value and its interval."""
    color, ends = row["color"], [row["low"], row["high"]]
    if None not in ends:
        axes.plot(ends, [place, place], color=color, lw=5, alpha=0.35, solid_capstyle="butt")
    face = color if row["filled"] else "none"
    axes.plot(row["value"], place, "o", markeredgecolor=color, markerfacecolor=face, markersize=7, mew=1.6)


def _draw_step(axes, place: float, row: dict) -> None:
    """Draw a bar from the score of the rung before to this rung's, and the interval of the step."""
    start, face = row["start"], row["color"] if row["filled"] else "none"
    axes.barh(place, row["value"], left=start, height=0.3, facecolor=face, edgecolor=row["color"], linewidth=1.4)
    axes.plot([start, start], [place - 0.85, place - 0.15], color=MUTED, lw=0.7)
    if row["low"] is not None:
        axes.plot([start + row["low"], start + row["high"]], [place, place], color=INK, lw=1.2)


def _draw_caption(axes, place: float, left: str, right: str) -> None:
    """Draw a row's label and numbers above it."""
    options = {"transform": axes.get_yaxis_transform(), "va": "bottom", "fontsize": 9}
    options["bbox"] = {"facecolor": PAGE, "edgecolor": "none", "pad": 0.8}
    axes.text(0.01, place - 0.2, formatting.shorten(left, MAX_LABEL_LENGTH), ha="left", **options)
    axes.text(0.99, place - 0.2, right, ha="right", color=MUTED, **options)


def _finish_rows(axes, title: str, rows: int) -> None:
    """Set the title and the axes of a figure with rows from top to bottom."""
    axes.set_title(formatting.shorten(title, 52))
    axes.set_ylim(rows - 0.6, -0.85)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: formatting.short(value)))
    axes.margins(x=0.08)


@figure_settings()
def aggregate_curves(title: str, lines: dict[str, dict], scale: str, styles: LineStyles) -> Figure:
    """Draw a statistic over tasks of normalised scores against frames, with band."""
    figure, axes = canvas(CURVE_INCHES)
    for variant, line in lines.items():
        draw_curve(axes, line, *styles[variant])
    axes.set_title(title)
    axes.set_ylabel(scale)
    format_axes(axes, "frames")
    return figure


@figure_settings()
def profiles(part: dict, styles: LineStyles) -> Figure:
    """Draw the share of runs above each normalised score."""
    figure, axes = canvas(CURVE_INCHES)
    for variant, line in part["profiles"].items():
        draw_curve(axes, {**line, "x": part["levels"], "mean": line["value"]}, *styles[variant])
    axes.set_title("Performance profile")
    axes.set_xlabel("normalised score")
    axes.set_ylabel("share of runs above it")
    axes.set_ylim(-0.02, 1.02)
    return figure
