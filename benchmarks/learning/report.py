"""Write the report of the study from its score files: verdicts, curves of both sides, raw numbers.

    python -m benchmarks.learning.report results/official

Writes `report.md`, `report.json` and `curves.png` into the folder. It needs neither the official code nor its packages.
"""

import json
import sys
from pathlib import Path

from benchmarks.figures import make_parser
from benchmarks.learning import study
from benchmarks.learning.analysis import Row, make_cells, make_rows
from benchmarks.learning.figure import draw_curves
from benchmarks.learning.page import page
from benchmarks.learning.score_files import find_runs
from common.errors import UserError
from common.files import write_text


def main(argv=None) -> int:
    parser = make_parser(__doc__, json=False)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(argv)
    try:
        found = find_runs(options.folder)
    except UserError as error:
        parser.error(str(error))
    if not found:
        parser.error(f"{options.folder} has no score file. `python -m benchmarks.learning` makes them.")
    cells = make_cells(found)
    rows = make_rows(cells)
    draw_curves(cells, options.folder / "curves.png", study.FRAMES)
    write_text(options.folder / "report.json", json.dumps([describe_row(row) for row in rows], indent=1) + "\n")
    write_text(options.folder / "report.md", page(cells, rows, found))
    print(f"Wrote report.md, report.json and curves.png into {options.folder}.")
    return 0


def describe_row(row: Row) -> dict:
    """Return a row for the JSON file; numbers that do not exist are null."""
    about = row._asdict() | {"found": row.found._asdict()}
    return json.loads(json.dumps(about), parse_constant=lambda _: None)


if __name__ == "__main__":
    sys.exit(main())
