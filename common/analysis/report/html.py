"""report.html: one file that needs nothing else."""

import base64
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from common.analysis.report import figure_style, methods_text, summary, tables
from common.analysis.report.curves import AXES
from common.analysis.report.films import ReportFilm
from common.analysis.report.gallery import MAX_CURVES_PER_FIGURE, Gallery, Picture, line_styles

FOLDER = Path(__file__).parent


def render(report: dict, gallery: Gallery, films: list[ReportFilm], dropped: list[str]) -> str:
    """The page. Everything from the report is escaped; figures are SVG made here."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"inline": inline, "gif": gif, "breakable": breakable}
    environment.globals |= {
        "tables": tables,
        "summary": summary,
        "method": methods_text,
        "AXES": AXES,
        "TOGETHER": MAX_CURVES_PER_FIGURE,
    }
    parts = {"report": report, "gallery": gallery, "look": legend_entries(report), "films": films, "dropped": dropped}
    css = Markup(figure_style.css() + (FOLDER / "report.css").read_text())
    return environment.get_template("report.html.jinja").render(**parts, css=css)


def inline(picture: Picture) -> Markup:
    """A figure as an element of the page; its words were escaped when it was drawn."""
    return Markup(picture.svg)


def breakable(text: str) -> Markup:
    """Text whose long names may be broken after an underscore or a slash."""
    return Markup(re.sub(r"(?<=[_/])", "<wbr>", escape(text)))


def gif(film: ReportFilm) -> str:
    """A film as the source of an image."""
    return f"data:image/gif;base64,{base64.b64encode(film.data).decode()}"


def legend_entries(report: dict) -> list[dict]:
    """Legend: name, colour variable and dashes of every variant and published method."""
    shown = line_styles(report)
    names = {light: f"var(--{name})" for name, (light, _) in figure_style.COLORS.items()}
    entries = [(variant, names[color], dashes, False) for variant, (color, dashes) in shown.items()]
    entries += [(f"published {method}", "var(--muted)", dashes, True) for method, dashes in shown.published.items()]
    return [
        {
            "name": name,
            "color": color,
            "dashes": " ".join(f"{3 * part:g}" for part in dashes if part),
            "published": told,
        }
        for name, color, dashes, told in entries
    ]
