"""report.html: a single self-contained file."""

import base64
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from common.analysis.report import figure_style, methods_text, run_tables, summary, tables
from common.analysis.report.curves import AXES
from common.analysis.report.films import ReportFilm
from common.analysis.report.gallery import MAX_CURVES_PER_FIGURE, Gallery, line_styles

FOLDER = Path(__file__).parent


def render(report: dict, gallery: Gallery, films: list[ReportFilm], dropped: list[str]) -> str:
    """Return the page. Texts of the report are escaped; figures are SVG drawn here."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "inline": lambda svg: Markup(svg),
        "gif": lambda film: f"data:image/gif;base64,{base64.b64encode(film.data).decode()}",
        "breakable": lambda text: Markup(re.sub(r"(?<=[_/])", "<wbr>", escape(text))),  # long names break at _ and /
    }
    environment.globals |= {
        "tables": tables,
        "run_tables": run_tables,
        "summary": summary,
        "methods": methods_text,
        "AXES": AXES,
    }
    return environment.get_template("report.html.jinja").render(
        report=report,
        gallery=gallery,
        legend_entries=legend_entries(report),
        films=films,
        dropped=dropped,
        many=len(report["variants"]) > MAX_CURVES_PER_FIGURE,
        css=Markup(figure_style.css() + (FOLDER / "report.css").read_text()),
    )


def legend_entries(report: dict) -> list[dict]:
    """Return name, colour variable and dashes of every variant and published method."""
    styles = line_styles(report)
    variables = {light: f"var(--{name})" for name, (light, _) in figure_style.COLORS.items()}
    text = lambda dashes: " ".join(f"{3 * part:g}" for part in dashes if part)
    entries = [(variant, variables[color], text(dashes), False) for variant, (color, dashes) in styles.items()]
    published = styles.published.items()
    entries += [(f"published {method}", "var(--muted)", text(dashes), True) for method, dashes in published]
    return [dict(zip(("name", "color", "dashes", "published"), entry, strict=True)) for entry in entries]
