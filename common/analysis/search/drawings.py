"""Figures of a search: the best value over trials, and the value over each key."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from common.analysis.report.axis_format import MAX_TICKS, format_values
from common.analysis.report.figure_style import COLORS, MUTED, canvas, figure_settings
from common.analysis.report.gallery import Picture, make_picture
from common.files import slug

INCHES = 2.9  # height of a figure
MOST_KEYS = 12  # that are drawn
DONE_COLOR, PRUNED_COLOR, BEST_COLOR = COLORS["hue0"][0], MUTED, COLORS["hue1"][0]


def draw(report: dict[str, Any]) -> list[Picture]:
    """Return the curve of the best value, then a figure for each key, the most important first."""
    keys = sorted(report["space"], key=lambda key: -report["importances"].get(key, 0.0))
    found = [make_picture("best_value", f"{report['metric']} of the trials, and the best one so far", history(report))]
    return found + [
        make_picture(f"key_{slug(key)}", f"{report['metric']} over {key}", values(report, key))
        for key in keys[:MOST_KEYS]
    ]


def last_value(trial: dict[str, Any]) -> float | None:
    """Return the value of a trial; of a pruned one, the last that it reached."""
    if trial["value"] is not None and trial["state"] == "done":
        return trial["value"]
    return trial["rungs"][max(trial["rungs"])] if trial["rungs"] else None


def with_state(report: dict[str, Any], state: str) -> list[dict[str, Any]]:
    """Return the trials in a state that have a value."""
    return [one for one in report["trials"] if one["state"] == state and last_value(one) is not None]


@figure_settings()
def history(report: dict[str, Any]) -> Figure:
    """Draw the value of each trial, and the best one so far as a line."""
    figure, axes = canvas(INCHES)
    done = with_state(report, "done")
    better = np.maximum if report["direction"] == "maximize" else np.minimum
    line = better.accumulate([one["value"] for one in done])
    axes.step([one["number"] for one in done], line, where="post", color=BEST_COLOR, lw=1.6)
    draw_trials(axes, report, lambda trial: trial["number"])
    axes.set_title("best value so far")
    axes.set_xlabel("trial")
    axes.set_ylabel(report["metric"])
    axes.xaxis.set_major_locator(MaxNLocator(MAX_TICKS, integer=True))
    format_values(axes.yaxis)
    return figure


@figure_settings()
def values(report: dict[str, Any], key: str) -> Figure:
    """Draw the value of each trial over the value of a key."""
    figure, axes = canvas(INCHES)
    found = [trial["params"][key] for trial in report["trials"] if key in trial["params"]]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in found)
    if numbers:
        draw_trials(axes, report, lambda trial: trial["params"][key])
        if key in report["logarithmic"]:
            axes.set_xscale("log")
        else:
            axes.xaxis.set_major_locator(MaxNLocator(MAX_TICKS))
    else:
        names = sorted({str(value) for value in found})
        draw_trials(axes, report, lambda trial: names.index(str(trial["params"][key])))
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_title(key)
    axes.set_ylabel(report["metric"])
    format_values(axes.yaxis)
    return figure


def draw_trials(axes: Any, report: dict[str, Any], place: Any) -> None:
    """Draw finished trials as dots, pruned ones as crosses, the best one as a ring. place: trial -> its x."""
    for state, mark, color in (("pruned", "x", PRUNED_COLOR), ("done", "o", DONE_COLOR)):
        trials = with_state(report, state)
        axes.scatter(
            [place(one) for one in trials], [last_value(one) for one in trials], marker=mark, color=color, s=16
        )
    best = report["best"]
    axes.scatter([place(best)], [best["value"]], marker="o", facecolors="none", edgecolors=BEST_COLOR, s=70)
