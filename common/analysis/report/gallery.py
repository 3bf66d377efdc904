"""Choice of the figures in a report."""

import re
from functools import partial
from typing import NamedTuple

from matplotlib.figure import Figure

from common.analysis.report import figure_style, figures, row_figures
from common.analysis.report.curves import AXES
from common.analysis.report.figure_style import LineStyles
from common.analysis.report.score_normalization import HUMAN_SCALE
from common.analysis.report.tables import AGGREGATE_TITLES

MAX_CURVES_PER_FIGURE = 7


class Picture(NamedTuple):
    """A figure as SVG for a page, the name of its file, and a description for screen readers.

    wide: the same figure for the width of the page, if it is the only one of its section.
    """

    name: str
    about: str
    svg: str
    wide: str = ""


class Gallery(NamedTuple):
    """All figures of a report: curves for each axis, a list of figures for each aggregate."""

    effects: list[Picture]
    curves: dict[str, list[Picture]]
    aggregates: list[list[Picture]]


def draw_gallery(report: dict) -> Gallery:
    """Draw all figures of a report."""
    return Gallery(
        effects(report),
        {axis: curves(report, axis) for axis in AXES},
        [aggregates(report, place) for place in range(len(report["aggregates"]))],
    )


def make_picture(name: str, about: str, figure: Figure, wide: Figure | None = None) -> Picture:
    """Render a figure; characters that do not belong in a file name are replaced."""
    drawn = [figure_style.inline_svg(one, about) for one in (figure, wide) if one is not None]
    return Picture(re.sub(r"[^\w.-]+", "_", name), about, *drawn)


def shown_levels(report: dict, task: str) -> dict[str, float | None]:
    """Return name -> score of the levels that curves of a task mark: a random policy, a human, the maximum."""
    titles = {"random": "random", "human": "human", "maximum": "maximum"}
    return {title: report["levels"][task][key] for key, title in titles.items()}


def line_styles(report: dict) -> LineStyles:
    """Return the styles of the variants and of the published methods."""
    methods = {curve["method"] for curves in report["published"].values() for curve in curves}
    return LineStyles(report["variants"], sorted(methods))


def curves(report: dict, axis: str) -> list[Picture]:
    """Draw the learning curves of every task; many variants get a figure each, over the one they are compared with."""
    pictures, styles = [], line_styles(report)
    compared_with = dict(reversed(report["pairs"]))
    for place, (task, part) in enumerate(report["curves"][axis].items()):
        name, about = f"curves_{place}_{task}_{axis}", f"on {task} over {AXES[axis]}"
        if len(report["variants"]) <= MAX_CURVES_PER_FIGURE:
            published = report["published"].get(task, []) if axis == "frames" else []
            draw = partial(figures.learning_curves, task, part, axis, styles, published, shown_levels(report, task))
            wide = draw(wide=True) if len(report["tasks"]) == 1 else None
            pictures.append(make_picture(name, f"Learning curves {about}", draw(), wide))
            continue
        for number, variant in enumerate(report["variants"]):
            if variant in part["curves"]:
                other, levels = compared_with.get(variant), shown_levels(report, task)
                figure = figures.curve_over_baseline(task, part, axis, styles, variant, other, levels)
                pictures.append(make_picture(f"{name}_{number}", f"Learning curve of {variant} {about}", figure))
    return pictures


def aggregates(report: dict, place: int) -> list[Picture]:
    """Draw one aggregate: its statistics with intervals, curves, profile, and the probability of improvement."""
    part, styles, pictures = report["aggregates"][place], line_styles(report), []
    percent = part["scale"] == HUMAN_SCALE
    factor, unit = (100.0, "human-normalised score in %") if percent else (1.0, part["scale"])
    levels = {"random": 0.0, "human": 100.0} if percent else {"maximum": 1.0}
    for statistic, lines in part["curves"].items():
        about = f"{statistic.capitalize()} over {len(part['tasks'])} tasks"
        shown = {variant: _times(line, factor) for variant, line in lines.items()}
        figure = figures.aggregate_curves(about, shown, unit, styles, levels)
        pictures.append(
            make_picture(f"aggregate_{place}_curve_{statistic}", f"{about} over environment frames", figure)
        )
    for statistic, title in AGGREGATE_TITLES.items():
        own = [row for row in part["values"] if row["statistic"] == statistic]
        rows = [
            {**_times(row, factor), "label": row["variant"], "color": styles[row["variant"]][0], "filled": True}
            for row in own
        ]
        figure = row_figures.intervals(f"{title.capitalize()}, {unit}", rows)
        pictures.append(make_picture(f"aggregate_{place}_{statistic}", f"{title} of normalised scores", figure))
    pictures.append(make_picture(f"profile_{place}", "Performance profile", figures.profiles(part, styles)))
    pairs = part["comparisons"]
    rows = [
        _effect_row(row | row["improvement"], styles, f"{row['one']} beats {row['two']}")
        for row in pairs
        if row["improvement"]["value"] is not None
    ]
    if rows:
        figure = row_figures.intervals("Probability of improvement", rows, line=0.5, limits=(-0.03, 1.03))
        pictures.append(make_picture(f"improvement_{place}", "Probability of improvement over all tasks", figure))
    return pictures


def _times(record: dict, factor: float) -> dict:
    """Return a record of numbers and lists with the scores in it multiplied; None stays None."""
    times = lambda value: None if value is None else value * factor
    scaled = {key: record[key] for key in ("value", "mean", "low", "high") if key in record}
    return record | {
        key: list(map(times, value)) if isinstance(value, list) else times(value) for key, value in scaled.items()
    }


def _effect_row(row: dict, styles: LineStyles, label: str) -> dict:
    """Return a comparison as a row of a figure, filled if it is significant."""
    return {**row, "label": label, "color": styles[row["one"]][0], "filled": row["verdict"] in ("better", "worse")}


def effects(report: dict) -> list[Picture]:
    """Draw the effect of each variant on each task and over all, for a ladder and for comparisons with a baseline."""
    if report["kind"] != "ladder" and not report["baseline"]:
        return []
    groups = {task: [row for row in report["comparisons"] if row["task"] == task] for task in report["tasks"]}
    for part in report["aggregates"]:
        groups[f"{len(part['tasks'])} tasks, {part['scale']}"] = part["comparisons"]
    draw = _ladder_plot if report["kind"] == "ladder" else _forest_plot
    shown, pictures = {task: rows for task, rows in groups.items() if rows}, []
    for place, (task, rows) in enumerate(shown.items()):
        wide = draw(report, task, rows, wide=True) if len(shown) == 1 else None
        pictures.append(make_picture(f"effects_{place}", f"Effects on {task}", draw(report, task, rows), wide))
    return pictures


def _forest_plot(report: dict, task: str, rows: list[dict], wide: bool = False) -> Figure:
    """Draw the differences from the baseline, the most harmful first."""
    styles = line_styles(report)
    drawn = [_effect_row(row, styles, row["one"]) for row in sorted(rows, key=lambda row: row["value"])]
    return row_figures.intervals(f"{task}: difference from {rows[0]['two']}", drawn, line=0, sign=True, wide=wide)


def _ladder_plot(report: dict, task: str, rows: list[dict], wide: bool = False) -> Figure:
    """Draw the steps from rung to rung, from the first rung that has runs."""
    styles, variants = line_styles(report), report["variants"]
    own = [row for row in report["scores"] if row["task"] == task]
    means = [
        row
        for part in report["aggregates"]
        if task == f"{len(part['tasks'])} tasks, {part['scale']}"
        for row in part["values"]
        if row["statistic"] == "mean"
    ]
    levels = {row["variant"]: row for row in own or means}
    first = next(variant for variant in variants if variant in levels)
    begin = {**levels[first], "label": first, "color": styles[first][0], "filled": True, "start": None}
    steps = [row for row in rows if [row["one"], row["two"]] in report["pairs"][: len(variants) - 1]]
    drawn = [_effect_row(row, styles, row["one"]) | {"start": levels[row["two"]]["value"]} for row in steps]
    return row_figures.waterfall(f"{task}: from rung to rung", [begin, *drawn], wide=wide)
