"""report.html: a single self-contained file."""

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from common.analysis.report import figure_style, methods_text, run_tables, summary, tables
from common.analysis.report.curves import AXES
from common.analysis.report.films import ReportFilm
from common.analysis.report.gallery import MAX_CURVES_PER_FIGURE, Gallery, line_styles

FOLDER = Path(__file__).parent


def page_template(name: str, folder: Path = FOLDER) -> Template:
    """Return a template of a page in a folder. It may import the macros of this folder, and texts are escaped."""
    environment = Environment(
        loader=FileSystemLoader([folder, FOLDER]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "inline": lambda svg: Markup(svg),
        "gif": lambda film: gif_address(film.data),
        "gif_address": gif_address,
        "breakable": lambda text: Markup(re.sub(r"(?<=[_/])", "<wbr>", escape(text))),  # long names break at _ and /
    }
    environment.globals["css"] = Markup(figure_style.css() + (FOLDER / "report.css").read_text())
    return environment.get_template(name)


def gif_address(data: bytes) -> str:
    """Return a GIF as an address that a page can show."""
    return f"data:image/gif;base64,{base64.b64encode(data).decode()}"


def render(
    report: dict,
    gallery: Gallery,
    films: list[ReportFilm],
    dropped: list[str],
    acting: Mapping[str, bytes] = MappingProxyType({}),
    next_steps: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the page. Texts of the report are escaped; figures are SVG drawn here.

    acting: task -> GIF of all agents that act on it. next_steps: purpose -> command; if given, the page opens with the
    GIFs, the learning curves and these commands.
    """
    return page_template("report.html.jinja").render(
        tables=tables,
        run_tables=run_tables,
        summary=summary,
        methods=methods_text,
        AXES=AXES,
        report=report,
        gallery=gallery,
        legend_entries=legend_entries(report),
        films=films,
        dropped=dropped,
        acting=acting,
        next_steps=next_steps,
        many=len(report["variants"]) > MAX_CURVES_PER_FIGURE,
    )


def legend_entries(report: dict) -> list[dict]:
    """Return name, colour variable and dashes of every variant and published method."""
    styles = line_styles(report)
    entries = [legend_entry(variant, *style) for variant, style in styles.items()]
    muted = figure_style.MUTED
    return entries + [
        legend_entry(f"published {name}", muted, dashes, True) for name, dashes in styles.published.items()
    ]


def legend_entry(name: str, color: str, dashes: tuple, published: bool = False) -> dict:
    """Return name, colour variable and dashes of a line. published: it is not of a variant."""
    variables = {light: f"var(--{title})" for title, (light, _) in figure_style.COLORS.items()}
    text = " ".join(f"{3 * part:g}" for part in dashes if part)
    return {"name": name, "color": variables[color], "dashes": text, "published": published}
