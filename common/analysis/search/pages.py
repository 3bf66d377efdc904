"""report.html and report.md about a search, made with the parts of every report."""

from pathlib import Path
from typing import Any

from common.analysis.report import FIGURES_FOLDER
from common.analysis.report.formatting import DASH, percent, plural
from common.analysis.report.gallery import Picture
from common.analysis.report.html import page_template
from common.analysis.report.markdown import bullets, escape, images, table
from common.analysis.report.tables import ReportTable
from common.analysis.search.drawings import last_value

FOLDER = Path(__file__).parent
STATES = ("done", "pruned", "failed", "running")
IMPORTANCE_NOTE = (
    "By PED-ANOVA (Watanabe et al. 2023): how much a key decides whether a trial is among the best tenth. The shares "
    "add up to 100 %. With fewer than some dozens of trials they are rough."
)
FEW_TRIALS = "No importances: there are too few finished trials with different values."
VALUE_TEXT = (
    "A trial's value is the mean of the metric over the last tenth of its frames, and over its seeds. A pruned trial "
    "was worse than the median of the others after the same tenth of a run. Its value is the last one that it reached, "
    "and it is not compared with those of finished trials."
)


def html(report: dict[str, Any], pictures: list[Picture]) -> str:
    """Return the page, a single self-contained file."""
    return page_template("search.html.jinja", FOLDER).render(
        report=report,
        history=pictures[:1],
        keys=pictures[1:],
        overview=overview(report),
        best=best_values(report),
        importances=importances(report),
        few_trials=FEW_TRIALS,
        trials=trials(report),
        errors=errors(report),
        value_text=VALUE_TEXT,
    )


def markdown(report: dict[str, Any], pictures: list[Picture]) -> str:
    """Return the document."""
    parts = [f"# {escape(report['title'])}", escape(overview(report)), "## Best values", table(best_values(report))]
    parts += [f"```\n{report['best']['command']}\n```", images(pictures[:1], FIGURES_FOLDER), "## Importances"]
    parts += [table(importances(report)) if report["importances"] else FEW_TRIALS, "## Values"]
    parts += [images(pictures[1:], FIGURES_FOLDER), "## Trials", table(trials(report)), escape(VALUE_TEXT)]
    parts += ["## Failed trials", bullets(errors(report))] if errors(report) else []
    return "\n\n".join(parts) + "\n"


def overview(report: dict[str, Any]) -> str:
    """Return the search in two sentences."""
    states = [trial["state"] for trial in report["trials"]]
    counts = ", ".join(f"{states.count(state)} {state}" for state in STATES if state in states)
    best, seeds = report["best"], plural(report["seeds"], "seed")
    amount = f"{report['steps']:,} frames with {seeds} each"
    return (
        f"{plural(len(states), 'trial')} ({counts}) of {amount}. The search {report['direction']}s "
        f"{report['metric']}. Trial {best['number']} has the best value, {number(best['value'])}."
    )


def best_values(report: dict[str, Any]) -> ReportTable:
    """Return the best value of each key, with the values that were searched."""
    best = report["best"]["params"]
    return ReportTable(
        ["key", "best", "searched"], [[key, number(best[key]), text] for key, text in report["space"].items()], 3
    )


def importances(report: dict[str, Any]) -> ReportTable:
    """Return the share of each key."""
    return ReportTable(
        ["key", "importance"], [[k, percent(v)] for k, v in report["importances"].items()], 1, IMPORTANCE_NOTE
    )


def trials(report: dict[str, Any]) -> ReportTable:
    """Return all trials, the best first, then those without a result."""
    sign = -1 if report["direction"] == "maximize" else 1
    order = lambda trial: (STATES.index(trial["state"]), sign * (last_value(trial) or 0.0))
    rows = [
        [
            str(one["number"]),
            one["state"],
            *(number(one["params"].get(key)) for key in report["space"]),
            number(last_value(one)),
            f"{10 * max(one['rungs'], default=0)} %",
        ]
        for one in sorted(report["trials"], key=order)
    ]
    return ReportTable(["trial", "state", *report["space"], report["metric"], "reached"], rows, 2)


def errors(report: dict[str, Any]) -> list[str]:
    """Return the errors of failed trials."""
    return [f"trial {one['number']}: {one['error']}" for one in report["trials"] if one["error"]]


def number(value: Any) -> str:
    """Return a value of a trial: four digits of a number."""
    if value is None:
        return DASH
    return f"{value:.4g}" if isinstance(value, float) else str(value)
