"""report.html and report.md about world models, made with the parts of every report."""

from pathlib import Path
from typing import Any

from common.analysis.report import FIGURES_FOLDER
from common.analysis.report import tables as shared_tables
from common.analysis.report.html import page_template
from common.analysis.report.markdown import bullets, escape, images, table
from common.analysis.world_models import films, tables, texts
from common.analysis.world_models.drawings import Pictures, legend_entries

FOLDER = Path(__file__).parent


def html(report: dict[str, Any], pictures: Pictures, moving: dict[str, bytes]) -> str:
    """Return the page, a single self-contained file."""
    return page_template("world_models.html.jinja", FOLDER).render(
        report=report,
        pictures=pictures,
        films=moving,
        tables=tables,
        shared_tables=shared_tables,
        texts=texts,
        legend_entries=legend_entries(report),
    )


def markdown(report: dict[str, Any], pictures: Pictures, moving: dict[str, bytes]) -> str:
    """Return the document."""
    parts = [f"# {escape(report['title'])}", escape(texts.overview(report)), escape(texts.warning(report))]
    parts += [bullets(texts.findings(report)), "## Open-loop error", images(pictures.errors, FIGURES_FOLDER)]
    parts += [table(tables.errors(report))]
    parts += [table(tables.comparisons(report))] if report["comparisons"] else []
    if moving or pictures.clips:
        parts += ["## Films", escape(texts.FILMS)]
        parts += [f"![Truth and predictions of {escape(key)}]({films.FOLDER}/{films.file_name(key)})" for key in moving]
        parts += [images(pictures.clips, FIGURES_FOLDER)]
    parts += ["## One step ahead", table(tables.one_step(report)), "### Own likelihoods"]
    parts += [bullets(texts.comparability(report)), table(tables.own_losses(report)), "## Calibration"]
    parts += [images(pictures.calibration, FIGURES_FOLDER)]
    for head, sentences in (("continue", texts.continue_sentences(report)), ("reward", texts.reward_sentences(report))):
        parts += [f"### {head.capitalize()} head", bullets(sentences)]
        if report["calibration"][head]:
            parts += [table(tables.calibration(report, head)), table(tables.bins(report, head))]
    parts += ["## Latent state", table(tables.latents(report)), bullets(texts.latent_sentences(report))]
    parts += ["## Data and runs", table(tables.data(report)), table(tables.runs(report))]
    parts += ["## Left out", table(shared_tables.left_out(report))] if report["left_out"] else []
    parts += ["## Config differences", table(shared_tables.config(report))] if report["config"] else []
    definitions = [f"{term}: {text}" for term, text in texts.definitions(report)]
    parts += ["## How the numbers are computed", bullets(definitions)]
    return "\n\n".join(filter(None, parts)) + "\n"
