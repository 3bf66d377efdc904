"""Reports on searches for config values: the trials, the best values, what each key matters."""

import json
from pathlib import Path
from typing import Any

from common.analysis.report import FIGURES_FOLDER, TABLES_FOLDER, figure_style
from common.analysis.report.table_files import csv_text
from common.analysis.search import drawings, pages
from common.files import make_output_folder, write_text


def write_search_report(report: dict[str, Any], folder: Path) -> None:
    """Write report.html, report.md, report.json, figures and a table of all trials into `folder`.

    report: title, metric, direction, seeds, steps; space: key -> values as text; logarithmic: keys; trials, each with
    number, state, value, params, rungs (tenth of a run -> value) and error; importances: key -> share; best: the best
    trial, with its command. Raises UserError if the folder cannot be written.
    """
    pictures = drawings.draw(report)
    files = {f"{FIGURES_FOLDER}/{one.name}.svg": figure_style.standalone_svg(one.svg) for one in pictures}
    rows = [{key: trial[key] for key in ("number", "state", "value")} | trial["params"] for trial in report["trials"]]
    files[f"{TABLES_FOLDER}/trials.csv"] = csv_text(rows)
    files["report.json"] = json.dumps(report, indent=1, allow_nan=False) + "\n"
    files["report.md"] = pages.markdown(report, pictures)
    files["report.html"] = pages.html(report, pictures)
    for name in (FIGURES_FOLDER, TABLES_FOLDER):
        make_output_folder(folder / name)
    for name, text in files.items():
        write_text(folder / name, text)
