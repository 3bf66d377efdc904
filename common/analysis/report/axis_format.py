"""Ticks, labels and marked levels of axes."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from common.analysis.report import formatting
from common.analysis.report.curves import AXES
from common.analysis.report.figure_style import MUTED

MAX_TICKS = 5
LEVEL_DASHES = (1, 2)
LABEL_SHARE = 0.09  # of the height of the axes, for the label of a level


def axis_label(axis: str, top: float) -> str:
    """Return the label of a horizontal axis that ends at `top`. Training time has the unit of its ticks."""
    return f"training time in {formatting.time_unit(top)[1]}" if axis == "wall" else AXES[axis]


def format_axes(axes, axis: str) -> None:
    """Set the label of the horizontal axis, and a few ticks on both. All ticks of an axis have the same unit."""
    top = axes.get_xlim()[1]
    axes.set_xlim(0, top)
    size, unit = formatting.time_unit(top) if axis == "wall" else formatting.count_unit(top)
    ticks = [tick for tick in MaxNLocator(MAX_TICKS).tick_values(0, top / size) if 0 <= tick * size <= top]
    suffix = "" if axis == "wall" else unit
    axes.set_xticks([tick * size for tick in ticks], [f"{tick:,.4g}{suffix}" if tick else "0" for tick in ticks])
    axes.set_xlabel(axis_label(axis, top))
    format_values(axes.yaxis)


def format_values(axis) -> None:
    """Set a few ticks with short numbers on an axis of scores."""
    axis.set_major_locator(MaxNLocator(MAX_TICKS))
    axis.set_major_formatter(FuncFormatter(lambda value, _: formatting.short(value)))


def draw_levels(axes, lines: Sequence[dict], levels: Mapping[str, float | None]) -> None:
    """Mark levels (name -> score) that are not far outside the curves; name the others at the top right.

    A distant level, such as a human's score that is 100 times as high, would hide the curves.
    """
    drawn = np.concatenate([np.array(line[key], float) for line in lines for key in ("mean", "low", "high")])
    low, high = np.nanmin(drawn), np.nanmax(drawn)
    span = high - low or abs(high) or 1.0
    known = sorted((value, name) for name, value in levels.items() if value is not None)
    near = [(value, name) for value, name in known if low - span <= value <= high + span]
    for value, _ in near:
        axes.axhline(value, color=MUTED, lw=0.9, dashes=LEVEL_DASHES, zorder=1)
    bottom, top = axes.get_ylim()
    above = [value for value, _ in near[1:]] + [float("inf")]
    for (value, name), following in zip(near, above, strict=False):
        crowded = following - value < LABEL_SHARE * (top - bottom)
        place = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "top" if crowded else "bottom"}
        axes.text(0.995, value, f"{name} {formatting.score(value)}", color=MUTED, fontsize=8, **place)
    outside = [f"{name} {formatting.score(value)}" for value, name in known if (value, name) not in near]
    if outside:
        add_note(axes, f"not drawn: {', '.join(outside)}")


def add_note(axes, text: str) -> None:
    """Add a small text at the top right of the axes, after those that are there."""
    options = {"loc": "right", "fontsize": 8, "fontweight": "normal", "color": MUTED}
    axes.set_title("; ".join(filter(None, [axes.get_title("right"), text])), **options)
