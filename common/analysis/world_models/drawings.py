"""Figures of a report on world models."""

import math
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from common.analysis.report import formatting
from common.analysis.report.axis_format import MAX_TICKS, format_values
from common.analysis.report.figure_style import FIGURE_INCHES, INK, LINE, MUTED, LineStyles, canvas, figure_settings
from common.analysis.report.figures import CURVE_INCHES, draw_curve
from common.analysis.report.formatting import MINUS
from common.analysis.report.gallery import Picture, make_picture
from common.analysis.report.html import legend_entry
from common.analysis.world_models.numbers import BASELINES
from common.analysis.world_models.tables import fine

BASELINE_DASHES = {"mean": (5, 2), "last": (1.5, 1.5)}
RELIABILITY_INCHES, COUNT_SHARE = 3.9, 0.24  # height of a figure, and the part of it that shows counts
MOST_NUMBERS = 4  # of a vector, in a figure of clips
NUMBER_INCHES = 1.15
SMALL = 0.01  # smaller errors are drawn as multiples of a power of ten
LOG_RATIO = 30  # between the largest and the smallest value of an axis with a logarithmic scale


class Pictures(NamedTuple):
    """Figures by section."""

    errors: list[Picture]
    clips: list[Picture]
    calibration: list[Picture]

    def all(self) -> list[Picture]:
        """Return all figures."""
        return [*self.errors, *self.clips, *self.calibration]


def styles(report: dict[str, Any]) -> LineStyles:
    """Return colour and dashes of each variant."""
    return LineStyles(report["variants"])


def draw(report: dict[str, Any], clips: dict[str, dict[str, np.ndarray]]) -> Pictures:
    """Draw all figures. clips: vector key -> truth and predictions by variant, (T, n)."""
    errors = [
        make_picture(f"open_loop_{key}", f"Open-loop error of {key} over the predicted steps", open_loop(report, key))
        for key in report["keys"]
    ]
    shown = [
        make_picture(f"clip_{key}", f"Truth and predictions of {key} in one held-out clip", clip(report, key, lines))
        for key, lines in clips.items()
    ]
    heads = [head for head, table in report["calibration"].items() if table]
    calibration = [
        make_picture(f"reliability_{head}", f"Reliability of the {head} head, with counts", reliability(report, head))
        for head in heads
    ]
    return Pictures(errors, shown, calibration)


@figure_settings()
def open_loop(report: dict[str, Any], key: str) -> Figure:
    """Draw the error over the predicted steps, with the predictions without a model in grey."""
    figure, axes = canvas(CURVE_INCHES)
    part, look = report["curves"][key], styles(report)
    shown: list[float] = []
    for name, values in part["baselines"].items():
        line = np.array(values, float)
        axes.plot(np.arange(1, len(line) + 1), line, color=MUTED, lw=1.3, dashes=BASELINE_DASHES[name])
        shown += [value for value in values if value]
    for variant, line in part["variants"].items():
        draw_curve(axes, line, *look[variant])
        shown += [value for value in line["mean"] if value]
    axes.set_title(key)
    axes.set_xlabel("steps after the last observation")
    axes.xaxis.set_major_locator(MaxNLocator(MAX_TICKS, integer=True))
    format_errors(axes, "Brier score" if key == "continue" else "squared error", shown)
    return figure


def format_errors(axes: Axes, name: str, shown: list[float]) -> None:
    """Label the axis of errors, with a logarithmic scale if they differ much. Short ticks leave room for the label."""
    if shown and max(shown) > LOG_RATIO * min(shown) > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    else:
        exponent = math.floor(math.log10(max(shown))) if 0 < max(shown, default=1.0) < SMALL else 0
        name += f", in {power_of_ten(10.0**exponent)}" if exponent else ""
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(MAX_TICKS))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: fine(value / 10.0**exponent)))
    axes.set_ylabel(name)


def power_of_ten(value: float) -> str:
    """Return 0.001 as '1e−3', and other numbers as in tables."""
    exponent = round(math.log10(value)) if value > 0 else 0
    short = not -3 < exponent < 4 and math.isclose(value, 10.0**exponent)
    return f"1e{exponent}".replace("-", MINUS) if short else fine(value)


@figure_settings()
def reliability(report: dict[str, Any], head: str) -> Figure:
    """Draw the mean truth over the mean prediction of each bin; below, the counts on a logarithmic scale."""
    figure, axes = canvas(RELIABILITY_INCHES, bottom=0.5 + COUNT_SHARE * RELIABILITY_INCHES)
    box = axes.get_position()
    below = figure.add_axes((box.x0, 0.5 / RELIABILITY_INCHES, box.width, COUNT_SHARE - 0.06))
    table, look = report["calibration"][head], styles(report)
    low, high = (next(iter(table.values()))[name] for name in ("low", "high"))
    axes.plot([low, high], [low, high], color=LINE, lw=1.2, zorder=0)
    bars = len(table)
    for place, (variant, own) in enumerate(table.items()):
        color, dashes = look[variant]
        x, y = (np.array(own[name], float) for name in ("predicted", "truth"))
        known = np.isfinite(x)
        axes.plot(x[known], y[known], color=color, dashes=dashes, lw=1.4, marker="o", markersize=4.5)
        width = (high - low) / len(own["counts"]) or 1.0
        left = low + width * (np.arange(len(own["counts"])) + 0.1 + 0.8 * place / bars)
        below.bar(left, own["counts"], 0.8 * width / bars, align="edge", color=color, linewidth=0)
    name = "probability to continue" if head == "continue" else "reward"
    axes.set_title(f"{name}: truth over prediction")
    axes.set_ylabel("mean truth")
    below.set_xlabel(f"predicted {name}, one step ahead")
    below.set_ylabel("count")
    below.set_yscale("log")
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: formatting.short(value)))
    below.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    format_values(axes.yaxis)
    format_values(below.xaxis)
    axes.set_xlim(below.get_xlim())
    axes.set_xticklabels([])
    return figure


@figure_settings()
def clip(report: dict[str, Any], key: str, lines: dict[str, np.ndarray]) -> Figure:
    """Draw the first numbers of a vector in one clip: truth and predictions, observed up to the dashed line."""
    count = min(MOST_NUMBERS, lines["truth"].shape[1])
    height = NUMBER_INCHES * count + 0.8
    figure, look, context = (
        Figure(figsize=(FIGURE_INCHES, height)),
        styles(report),
        report["about"]["protocol"]["context"],
    )
    steps = np.arange(len(lines["truth"])) - (context - 1)
    for number in range(count):
        top = height - 0.32 - NUMBER_INCHES * number
        bottom, tall = top - NUMBER_INCHES + 0.12, NUMBER_INCHES - 0.14
        place = (0.62 / FIGURE_INCHES, bottom / height, 1 - 0.74 / FIGURE_INCHES, tall / height)
        axes = figure.add_axes(place)
        axes.axvline(0, color=MUTED, lw=1, dashes=(3, 2), zorder=0)
        axes.plot(steps, lines["truth"][:, number], color=INK, lw=2.4, alpha=0.55)
        for variant in report["variants"]:
            if variant in lines:
                color, dashes = look[variant]
                axes.plot(steps, lines[variant][:, number], color=color, dashes=dashes, lw=1.3)
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: fine(value)))
        axes.xaxis.set_major_locator(MaxNLocator(MAX_TICKS, integer=True))
        axes.set_ylabel(f"[{number}]")
        if number < count - 1:
            axes.set_xticklabels([])
        else:
            axes.set_xlabel("steps after the last observation")
        if not number:
            axes.set_title(f"{key}, one clip")
    return figure


def legend_entries(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return name, colour variable and dashes of each variant and of the predictions without a model."""
    entries = [legend_entry(variant, *style) for variant, style in styles(report).items()]
    plain = [legend_entry(text, MUTED, BASELINE_DASHES[name], published=True) for name, text in BASELINES.items()]
    return [*entries, *plain]
