"""Reports on sets of runs: report.html, report.md with its figures, and report.json with all numbers."""

import json
from collections.abc import Sequence
from pathlib import Path

from common.analysis.report import figure_style, films, gallery, html, markdown
from common.analysis.report.analysis import analyse
from common.analysis.report.run_collection import Runs, load_runs
from common.files import make_output_folder, write_text
from common.safe_io import expand_path

FIGURES = "report_figures"


def write_report(
    paths: Sequence[str | Path], out: str | Path, *, unfinished: bool = False, levels: Sequence[float] = ()
) -> Runs:
    """Writes the report on all runs in `paths` (grids, logdirs, folders of them) into `out`; returns the runs.

    unfinished: runs that a grid has at work count, too. levels: scores for which frames are counted. Raises UserError,
    with nothing written, if there is no run or `out` cannot be written.
    """
    runs = load_runs(paths, unfinished)
    report = analyse(runs, levels)
    pictures = gallery.draw_gallery(report)
    shown = [*pictures.effects, *pictures.curves[report["axis"]], *pictures.aggregates]
    files = {f"{FIGURES}/{picture.name}.svg": figure_style.standalone_svg(picture.svg) for picture in shown}
    files["report.json"] = json.dumps(report, indent=1, allow_nan=False) + "\n"
    files["report.md"] = markdown.render(report, pictures, FIGURES)
    files["report.html"] = html.render(report, pictures, *films.collect_films(runs))
    _write(expand_path(out), files)
    return runs


def _write(folder: Path, files: dict[str, str]) -> None:
    make_output_folder(folder / FIGURES)
    for name, text in files.items():
        write_text(folder / name, text)
