"""Which figures a report has."""

import re
from typing import NamedTuple

from matplotlib.figure import Figure

from common.analysis.report import figure_style, figures
from common.analysis.report.curves import AXES
from common.analysis.report.figure_style import LineStyles
from common.analysis.report.tables import AGGREGATE_TITLES

MAX_CURVES_PER_FIGURE = 7  # variants whose curves are drawn in one figure


class Picture(NamedTuple):
    """A figure as SVG for a page, the name of its file, and a description for those who do not see it."""

    name: str
    about: str
    svg: str


class Gallery(NamedTuple):
    """All figures of a report; curves for each axis."""

    effects: list[Picture]
    curves: dict[str, list[Picture]]
    aggregates: list[Picture]


def draw_gallery(report: dict) -> Gallery:
    """Draws everything."""
    return Gallery(effects(report), {axis: curves(report, axis) for axis in AXES}, aggregates(report))


def picture(name: str, about: str, figure: Figure) -> Picture:
    """Renders a figure; characters that do not belong into the name of a file are replaced."""
    return Picture(re.sub(r"[^\w.-]+", "_", name), about, figure_style.inline_svg(figure, about))


def line_styles(report: dict) -> LineStyles:
    """Colours of the variants and line styles of the published methods."""
    return LineStyles(report["variants"], methods(report))


def methods(report: dict) -> list[str]:
    """Names of the published methods that are drawn."""
    return sorted({curve["method"] for curves in report["published"].values() for curve in curves})


def curves(report: dict, axis: str) -> list[Picture]:
    """Learning curves of every task; with many variants one figure for each."""
    pictures = []
    for place, (task, part) in enumerate(report["curves"][axis].items()):
        name = f"curves_{place}_{task}_{axis}"
        if len(report["variants"]) > MAX_CURVES_PER_FIGURE:
            pictures += apart(report, task, part, axis, name)
            continue
        published = report["published"].get(task, []) if axis == "frames" else []
        figure = figures.learning(task, part, axis, line_styles(report), published)
        pictures.append(picture(name, f"Learning curves on {task} over {AXES[axis]}", figure))
    return pictures


def apart(report: dict, task: str, part: dict, axis: str, name: str) -> list[Picture]:
    """Curves of one task: each variant over the one that it is compared with."""
    others = dict(reversed(report["pairs"]))
    return [
        picture(
            f"{name}_{place}",
            f"Learning curve of {variant} on {task} over {AXES[axis]}",
            figures.against(task, part, axis, line_styles(report), variant, others.get(variant)),
        )
        for place, variant in enumerate(report["variants"])
        if variant in part["curves"]
    ]


def aggregates(report: dict) -> list[Picture]:
    """Aggregates with intervals, performance profile, probability of improvement."""
    part, colors = report["aggregates"], line_styles(report)
    if not part:
        return []
    pictures = []
    for statistic, title in AGGREGATE_TITLES.items():
        own = [row for row in part["values"] if row["statistic"] == statistic]
        rows = [{**row, "label": row["variant"], "color": colors[row["variant"]][0], "filled": True} for row in own]
        figure = figures.intervals(f"{title.capitalize()} of normalised scores", rows)
        pictures.append(picture(f"aggregate_{statistic}", f"{title} of normalised scores", figure))
    pictures.append(picture("profile", "Performance profile", figures.profiles(part, colors)))
    rows = [effect(row | row["improvement"], colors, f"{row['one']} beats {row['two']}") for row in part["comparisons"]]
    if rows:
        figure = figures.intervals("Probability of improvement", rows, line=0.5, limits=(-0.03, 1.03))
        pictures.append(picture("improvement", "Probability of improvement over all tasks", figure))
    return pictures


def effect(row: dict, colors: LineStyles, label: str) -> dict:
    """A comparison as a row of a figure: filled if it is significant."""
    return {**row, "label": label, "color": colors[row["one"]][0], "filled": row["verdict"] in ("better", "worse")}


def effects(report: dict) -> list[Picture]:
    """What each variant of an ablation or a ladder adds, on each task and over all; nothing without a baseline."""
    if report["kind"] != "ladder" and (report["kind"] != "ablate" or not report["baseline"]):
        return []
    groups = {task: [row for row in report["comparisons"] if row["task"] == task] for task in report["tasks"]}
    if report["aggregates"]:
        groups["all tasks, normalised"] = report["aggregates"]["comparisons"]
    draw = forest if report["kind"] == "ablate" else ladder
    return [
        picture(f"effects_{place}", f"Effects on {task}", draw(report, task, rows))
        for place, (task, rows) in enumerate(groups.items())
        if rows
    ]


def forest(report: dict, task: str, rows: list[dict]) -> Figure:
    """Differences from the baseline, the most harmful first."""
    drawn = [effect(row, line_styles(report), row["one"]) for row in sorted(rows, key=lambda row: row["value"])]
    return figures.intervals(f"{task}: difference from {rows[0]['two']}", drawn, line=0, sign=True)


def ladder(report: dict, task: str, rows: list[dict]) -> Figure:
    """Steps from rung to rung, from the first that has runs."""
    means = [row for row in report["aggregates"].get("values", []) if row["statistic"] == "mean"]
    own = [row for row in report["scores"] if row["task"] == task] or means
    levels = {row["variant"]: row for row in own}
    first = next(variant for variant in report["variants"] if variant in levels)
    begin = {**levels[first], "label": first, "color": line_styles(report)[first][0], "filled": True, "start": None}
    near = report["pairs"][: len(report["variants"]) - 1]
    steps = [effect(row, line_styles(report), row["one"]) for row in rows if [row["one"], row["two"]] in near]
    drawn = [step | {"start": levels[step["two"]]["value"]} for step in steps]
    return figures.waterfall(f"{task}: from rung to rung", [begin, *drawn])
