"""Reports on sets of runs: report.html, report.md with its figures, tables, and report.json with all numbers."""

import json
from collections.abc import Sequence
from pathlib import Path

from common.analysis.report import figure_style, films, gallery, html, markdown
from common.analysis.report.analysis import analyse
from common.analysis.report.next_steps import next_steps
from common.analysis.report.run_collection import Runs, load_runs
from common.analysis.report.score_tables import plain_text, read_score_tables, score_report
from common.analysis.report.table_files import csv_text, latex, render_table_files
from common.files import make_output_folder, slug, write_text
from common.safe_io import expand_path

FIGURES_FOLDER, TABLES_FOLDER = "report_figures", "report_tables"


def write_report(
    paths: Sequence[str | Path], out: str | Path, *, unfinished: bool = False, levels: Sequence[float] = ()
) -> Runs:
    """Write the report on all runs in `paths` (grids, logdirs, folders of them) into `out`; return the runs.

    unfinished: include the running jobs of a grid. levels: scores for the table of frames to a score. Raises UserError,
    and writes nothing, if there is no run or `out` cannot be written.
    """
    runs = load_runs(paths, unfinished)
    report = analyse(runs, levels)
    pictures = gallery.draw_gallery(report)
    shown = [
        *pictures.effects,
        *pictures.curves[report["axis"]],
        *[picture for part in pictures.aggregates for picture in part],
    ]
    files = {
        f"{FIGURES_FOLDER}/{picture.name}.svg": figure_style.standalone_svg(picture.wide or picture.svg)
        for picture in shown
    }
    files |= {f"{TABLES_FOLDER}/{name}": text for name, text in render_table_files(report).items()}
    files["report.json"] = json.dumps(report, indent=1, allow_nan=False) + "\n"
    files["report.md"] = markdown.render(report, pictures, FIGURES_FOLDER)
    kept, dropped = films.collect_films(runs)
    files["report.html"] = html.render(report, pictures, kept, dropped, films.acting_films(runs), next_steps(runs))
    folder = expand_path(out)
    for name in (FIGURES_FOLDER, TABLES_FOLDER):
        make_output_folder(folder / name)
    for name, text in files.items():
        write_text(folder / name, text)
    return runs


def write_score_tables(path: str | Path, out: str | Path = "") -> str:
    """Return the tables of a file with scores alone as text, and write them into `out` if it is given.

    The files are CSV, Markdown and LaTeX. Raises UserError, and writes nothing, if the file has another format or `out`
    cannot be written.
    """
    methods = read_score_tables(expand_path(path))
    found = score_report(methods)
    if out:
        folder = expand_path(out)
        make_output_folder(folder)
        rows = [
            {"group": one.group, "method": one.method, "task": task, "score": value}
            for one in methods
            for task, value in one.scores.items()
        ]
        write_text(folder / "scores.csv", csv_text(rows))
        for title, table in found.items():
            write_text(folder / f"{slug(title.lower())}.tex", latex(table))
            write_text(folder / f"{slug(title.lower())}.md", f"# {markdown.escape(title)}\n\n{markdown.table(table)}\n")
    return "\n\n".join(f"{title}\n{plain_text(table)}" for title, table in found.items())
