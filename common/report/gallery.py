"""Which figures a report has."""

from typing import NamedTuple

from matplotlib.figure import Figure

from common.report import figures
from common.report.curves import AXES
from common.report.style import Look
from common.report.tables import AGGREGATES

TOGETHER = 7  # variants whose curves are drawn in one figure


class Picture(NamedTuple):
    """A figure, the name of its file, and a description for those who do not see it."""

    name: str
    about: str
    figure: Figure


def look(report: dict) -> Look:
    """Colours of the variants and line styles of the published methods."""
    return Look(report["variants"], methods(report))


def methods(report: dict) -> list[str]:
    """Names of the published methods that are drawn."""
    return sorted({curve["method"] for curves in report["published"].values() for curve in curves})


def curves(report: dict, axis: str) -> list[Picture]:
    """Learning curves of every task; with many variants one figure for each."""
    pictures = []
    for task, part in report["curves"][axis].items():
        if len(report["variants"]) > TOGETHER:
            pictures += apart(report, task, part, axis)
            continue
        published = report["published"].get(task, []) if axis == "frames" else []
        figure = figures.learning(task, part, axis, look(report), published)
        pictures.append(Picture(f"curves_{task}_{axis}", f"Learning curves on {task} over {AXES[axis]}", figure))
    return pictures


def apart(report: dict, task: str, part: dict, axis: str) -> list[Picture]:
    """Curves of one task: each variant over the one that it is compared with."""
    others = dict(reversed(report["pairs"]))
    return [
        Picture(
            f"curves_{task}_{axis}_{place}",
            f"Learning curve of {variant} on {task} over {AXES[axis]}",
            figures.against(task, part, axis, look(report), variant, others.get(variant)),
        )
        for place, variant in enumerate(report["variants"])
        if variant in part["curves"]
    ]


def aggregates(report: dict) -> list[Picture]:
    """Aggregates with intervals, performance profile, probability of improvement."""
    part, colors = report["aggregates"], look(report)
    if not part:
        return []
    pictures = []
    for statistic, title in AGGREGATES.items():
        own = [row for row in part["values"] if row["statistic"] == statistic]
        rows = [{**row, "label": row["variant"], "color": colors[row["variant"]][0], "filled": True} for row in own]
        figure = figures.intervals(f"{title.capitalize()} of normalised scores", rows)
        pictures.append(Picture(f"aggregate_{statistic}", f"{title} of normalised scores", figure))
    pictures.append(Picture("profile", "Performance profile", figures.profiles(part, colors)))
    rows = [effect(row | row["improvement"], colors, f"{row['one']} beats {row['two']}") for row in part["comparisons"]]
    if rows:
        figure = figures.intervals("Probability of improvement", rows, line=0.5, limits=(-0.03, 1.03))
        pictures.append(Picture("improvement", "Probability of improvement over all tasks", figure))
    return pictures


def effect(row: dict, colors: Look, label: str) -> dict:
    """A comparison as a row of a figure: filled if it is significant."""
    return {**row, "label": label, "color": colors[row["one"]][0], "filled": row["verdict"] in ("better", "worse")}


def effects(report: dict) -> list[Picture]:
    """What each variant of an ablation or a ladder adds, on each task and over all."""
    if report["kind"] not in ("ablate", "ladder"):
        return []
    groups = {task: [row for row in report["comparisons"] if row["task"] == task] for task in report["tasks"]}
    if report["aggregates"]:
        groups["all tasks, normalised"] = report["aggregates"]["comparisons"]
    draw = forest if report["kind"] == "ablate" else ladder
    names = {task: f"effects_{place}" for place, task in enumerate(groups)}
    return [
        Picture(names[task], f"Effects on {task}", draw(report, task, rows)) for task, rows in groups.items() if rows
    ]


def forest(report: dict, task: str, rows: list[dict]) -> Figure:
    """Differences from the baseline, the most harmful first."""
    ordered = sorted(rows, key=lambda row: row["value"])
    base = rows[0]["two"]
    drawn = [effect(row, look(report), row["one"]) for row in ordered]
    return figures.intervals(f"{task}: difference from {base}", drawn, line=0, sign=True)


def ladder(report: dict, task: str, rows: list[dict]) -> Figure:
    """Steps from rung to rung."""
    steps = [row for row in rows if [row["one"], row["two"]] in report["pairs"][: len(report["variants"]) - 1]]
    levels = {row["variant"]: row for row in report["scores"] if row["task"] == task}
    levels |= {row["variant"]: row for row in report["aggregates"].get("values", []) if task not in report["tasks"]
               and row["statistic"] == "mean"}  # fmt: skip
    first = levels[steps[0]["two"]]
    begin = {**first, "label": first["variant"], "color": look(report)[first["variant"]][0], "filled": True}
    drawn = [effect(row, look(report), row["one"]) | {"start": levels[row["two"]]["value"]} for row in steps]
    return figures.waterfall(f"{task}: from rung to rung", [begin | {"start": None}, *drawn])
