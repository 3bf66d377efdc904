"""Figures of curves in a report, drawn from its numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from common.analysis.report import formatting
from common.analysis.report.axis_format import axis_label, draw_levels, format_axes
from common.analysis.report.figure_style import (
    FIGURE_INCHES,
    LINE,
    MUTED,
    WIDE_INCHES,
    LineStyles,
    canvas,
    figure_settings,
)

CURVE_INCHES, WIDE_CURVE_INCHES = 2.9, 4.2  # height of a figure with curves
TITLE_LETTERS = 10  # per inch


def draw_curve(axes, line: dict, color: str, dashes=(None, None), label: str | None = None) -> None:
    """Draw a mean with its band: x, mean, low, high; None is a gap."""
    x, mean, low, high = (np.array(line[key], float) for key in ("x", "mean", "low", "high"))
    axes.plot(x, mean, color=color, dashes=dashes, lw=1.8, marker="o" if len(x) < 2 else None, label=label)
    axes.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)


@figure_settings()
def learning_curves(
    task: str,
    part: dict,
    axis: str,
    styles: LineStyles,
    published: Sequence[dict] = (),
    levels: Mapping[str, float | None] | None = None,
    wide: bool = False,
) -> Figure:
    """Draw the curves of a task: mean over seeds with band, over published curves in grey.

    levels: name -> score to mark. wide: for the width of a page.
    """
    width = WIDE_INCHES if wide else FIGURE_INCHES
    figure, axes = canvas(WIDE_CURVE_INCHES if wide else CURVE_INCHES, width=width)
    for known in published:
        x, mean, std = (np.array(known[key], float) for key in ("x", "mean", "std"))
        inside = x <= part["cut"]["at"]
        axes.fill_between(x[inside], (mean - std)[inside], (mean + std)[inside], color=LINE, alpha=0.45, linewidth=0)
        axes.plot(x[inside], mean[inside], color=MUTED, lw=1.2, dashes=styles.published[known["method"]])
    for variant, line in part["curves"].items():
        draw_curve(axes, line, *styles[variant])
    axes.set_title(formatting.shorten(task, round(TITLE_LETTERS * width) - 2))
    axes.set_ylabel("return")
    if part["curves"]:
        draw_levels(axes, list(part["curves"].values()), levels or {})
    format_axes(axes, axis)
    return figure


@figure_settings()
def curve_over_baseline(
    task: str,
    part: dict,
    axis: str,
    styles: LineStyles,
    variant: str,
    baseline: str | None,
    levels: Mapping[str, float | None] | None = None,
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
    axes.set_ylabel("return")
    draw_levels(axes, [{"mean": [low], "low": [low], "high": [high]}], levels or {})
    format_axes(axes, axis)
    axes.set_xlabel(f"{task}, {axis_label(axis, axes.get_xlim()[1])}")
    return figure


@figure_settings()
def aggregate_curves(
    title: str, lines: dict[str, dict], scale: str, styles: LineStyles, levels: Mapping[str, float]
) -> Figure:
    """Draw a statistic over tasks of normalised scores against frames, with band. levels: name -> score to mark."""
    figure, axes = canvas(CURVE_INCHES)
    for variant, line in lines.items():
        draw_curve(axes, line, *styles[variant])
    axes.set_title(title)
    axes.set_ylabel(scale)
    draw_levels(axes, list(lines.values()), levels)
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
