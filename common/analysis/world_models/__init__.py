"""Reports on comparisons of world models: the numbers, tables, figures, films and pages of `wm-eval`."""

import json
from pathlib import Path

from common.analysis.report import FIGURES_FOLDER, TABLES_FOLDER, figure_style
from common.analysis.world_models import drawings, films, numbers, pages, tables
from common.analysis.world_models.collection import KIND, PROTOCOL_FILE, collect, is_comparison
from common.files import make_output_folder, write_bytes, write_text
from common.safe_io import expand_path

__all__ = ["KIND", "PROTOCOL_FILE", "is_comparison", "write_world_model_report"]


def write_world_model_report(folder: str | Path, out: str | Path) -> dict:
    """Write the report on a comparison in `folder` into `out`: HTML, Markdown, JSON, CSV, LaTeX, SVG and GIF files.

    Returns its numbers. Raises UserError, and writes nothing, if no run is measured or `out` cannot be written.
    """
    found, target = collect(expand_path(folder)), expand_path(out)
    report = numbers.analyse(found)
    moving = films.moving_pictures(found)
    pictures = drawings.draw(report, films.vector_clips(found))
    files = {f"{FIGURES_FOLDER}/{one.name}.svg": figure_style.standalone_svg(one.svg) for one in pictures.all()}
    files |= {f"{TABLES_FOLDER}/{name}": text for name, text in tables.table_files(report).items()}
    files["report.json"] = json.dumps(report, indent=1, allow_nan=False) + "\n"
    files["report.md"] = pages.markdown(report, pictures, moving)
    files["report.html"] = pages.html(report, pictures, moving)
    for name in (FIGURES_FOLDER, TABLES_FOLDER, *[films.FOLDER] * bool(moving)):
        make_output_folder(target / name)
    for name, text in files.items():
        write_text(target / name, text)
    for key, data in moving.items():
        write_bytes(target / films.FOLDER / films.file_name(key), data)
    return report
