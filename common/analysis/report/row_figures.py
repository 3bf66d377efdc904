"""Figures with a row for each variant or comparison: its name, its interval, and its numbers in three columns."""

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from common.analysis.report import formatting
from common.analysis.report.axis_format import format_values
from common.analysis.report.figure_style import FIGURE_INCHES, INK, MUTED, WIDE_INCHES, canvas, figure_settings

ROW_INCHES, MARGIN_INCHES = 0.4, 0.75  # height of a row, and of the space around rows
NUMBER_INCHES = 1.45  # width of the column of numbers
NAME_INCHES, WIDE_NAME_INCHES = 1.3, 2.8  # width of the column of names
LETTERS_PER_INCH = 12.5  # of names, in 8.5 point text
TEXT_GAP = 0.1  # inches between a column of text and the intervals


@figure_settings()
def intervals(
    title: str, rows: Sequence[dict], line: float | None = None, *, sign=False, limits=None, wide=False
) -> Figure:
    """Draw points with intervals, one row each: label, value, low, high, color, filled. line: a value to mark."""
    figure, axes = _row_canvas(title, len(rows), wide)
    for place, row in enumerate(rows):
        _draw_point(axes, place, row)
        _draw_texts(axes, place, row["label"], formatting.interval(row, sign), wide)
    if line is not None:
        axes.axvline(line, color=INK, lw=0.9, dashes=(3, 2), zorder=0)
    axes.set_xlim(limits)
    return figure


@figure_settings()
def waterfall(title: str, rows: Sequence[dict], *, wide=False) -> Figure:
    """Draw the rungs of a ladder: a point, then a bar from each rung to the next with the interval of the step.

    Rows are those of `intervals`, with the score of the rung before as `start`, None for the first.
    """
    figure, axes = _row_canvas(title, len(rows), wide)
    for place, row in enumerate(rows):
        (_draw_point if row["start"] is None else _draw_step)(axes, place, row)
        _draw_texts(axes, place, row["label"], formatting.interval(row, sign=row["start"] is not None), wide)
    return figure


def _row_canvas(title: str, rows: int, wide: bool) -> tuple[Figure, Any]:
    """Return a figure and its axes, with rows from top to bottom."""
    name = WIDE_NAME_INCHES if wide else NAME_INCHES
    width = WIDE_INCHES if wide else FIGURE_INCHES
    figure, axes = canvas(ROW_INCHES * rows + MARGIN_INCHES, name, 0.3, width=width, right=NUMBER_INCHES)
    figure.text(
        0.06 / width, 1 - 0.09 / figure.get_figheight(), title, fontsize=11, fontweight="bold", va="top", ha="left"
    )
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    format_values(axes.xaxis)
    axes.margins(x=0.08)
    return figure, axes


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
    axes.barh(place, row["value"], left=start, height=0.34, facecolor=face, edgecolor=row["color"], linewidth=1.4)
    axes.plot([start, start], [place - 0.83, place - 0.17], color=MUTED, lw=0.7)
    if row["low"] is not None:
        axes.plot([start + row["low"], start + row["high"]], [place, place], color=INK, lw=1.2)


def _draw_texts(axes, place: float, left: str, right: str, wide: bool) -> None:
    """Write a row's name to the left of the axes, on up to two lines, and its numbers to the right of them."""
    letters = round(LETTERS_PER_INCH * (WIDE_NAME_INCHES if wide else NAME_INCHES))
    lines = textwrap.wrap(formatting.shorten(left, 2 * letters - 4), letters) or [""]
    name = "\n".join([lines[0], formatting.shorten(" ".join(lines[1:]), letters)]) if len(lines) > 1 else lines[0]
    inch = 1 / (axes.get_position().width * axes.figure.get_figwidth())
    options = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 8.5, "linespacing": 1.0}
    column = WIDE_NAME_INCHES if wide else NAME_INCHES
    axes.text((0.06 - column) * inch, place, name, ha="left", **options)
    axes.text(1 + (NUMBER_INCHES - 0.06) * inch, place, right, ha="right", color=MUTED, **options)
