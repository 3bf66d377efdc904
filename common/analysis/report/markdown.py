"""report.md: the tables and the main figures."""

import re
from collections.abc import Iterable, Sequence

from common.analysis.report import methods_text, run_tables, summary, tables
from common.analysis.report.gallery import Gallery, Picture
from common.analysis.report.tables import ReportTable

SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")


def escape(text: str) -> str:
    """Return text in one line that Markdown shows unchanged."""
    return SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def table(data: ReportTable) -> str:
    """Return a table with right-aligned numbers."""
    head, *rows = [" | ".join(map(escape, row)) for row in (data.head, *data.rows)]
    line = " | ".join("---" if place < data.labels else "---:" for place in range(len(data.head)))
    note = f"\n\n{escape(data.note)}" if data.note else ""
    return "\n".join(f"| {row} |" for row in (head, line, *rows)) + note


def images(pictures: Iterable[Picture], folder: str) -> str:
    """Return links to figures."""
    return "\n".join(f"![{escape(picture.about)}]({folder}/{picture.name}.svg)" for picture in pictures)


def bullets(sentences: Sequence[str]) -> str:
    """Return a list of sentences."""
    return "\n".join(f"- {escape(sentence)}" for sentence in sentences)


def render(report: dict, gallery: Gallery, folder: str) -> str:
    """Return the document. folder: of the figures."""
    compare = tables.comparisons
    parts = [f"# {escape(report['title'])}", escape(summary.overview(report)), escape(summary.warning(report))]
    parts.append(escape(summary.uneven_training(report)))
    parts += [bullets(summary.findings(report)), "## Final scores", table(tables.scores(report))]
    parts += [escape(sentence) for sentence in tables.cuts(report, report["axis"])]
    if report["comparisons"]:
        parts += ["## Differences", table(compare(report["comparisons"]))]
    if gallery.effects:
        parts += ["## Effects", images(gallery.effects, folder)]
    parts += ["## Learning curves", images(gallery.curves[report["axis"]], folder)]
    parts += _aggregates(report, gallery, folder)
    parts.append("## Environment frames to a score")
    parts += [table(tables.reach(report))] if report["reach"] else []
    parts += [escape(sentence) for sentence in tables.reach_left_out(report)]
    if "crafter" in report:
        parts += ["## Crafter score", table(tables.crafter(report))]
    if report["health"]:
        parts += ["## Health", table(tables.health(report))]
    parts += [
        "## Runs",
        table(run_tables.costs(report)),
        table(run_tables.runs(report)),
        table(run_tables.origins(report)),
    ]
    if report["left_out"]:
        parts += ["## Left out", table(tables.left_out(report))]
    if report["config"]:
        parts += ["## Config differences", table(tables.config(report))]
    definitions = [f"{term}: {text}" for term, text in methods_text.definitions(report)]
    parts += ["## How the numbers are computed", bullets(definitions)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _aggregates(report: dict, gallery: Gallery, folder: str) -> list[str]:
    """Return the section on all tasks; [] if the report has a single task."""
    left = summary.left_out_of_aggregates(report)
    parts = ["## Over all tasks"] * bool(report["aggregates"] or left) + [f"**{escape(left)}**"] * bool(left)
    for part, pictures in zip(report["aggregates"], gallery.aggregates, strict=True):
        parts += [f"### {escape(summary.aggregate_title(part))}", images(pictures, folder)]
        parts.append(table(tables.aggregates(part, report["variants"])))
        parts += [table(tables.comparisons(part["comparisons"]))] if part["comparisons"] else []
    return parts + [table(tables.scales(report))] * bool(report["aggregates"])
