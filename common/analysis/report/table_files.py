"""Tables of a report as files: CSV with the numbers of report.json, LaTeX with the texts of the page."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from common.analysis.report import run_tables, tables
from common.analysis.report.tables import ReportTable

#: Characters of LaTeX, and those of the texts of a report, as LaTeX.
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "|": r"\textbar{}",
    "−": "$-$", "±": r"$\pm$", "×": r"$\times$", "–": "--", "…": r"\ldots{}",
}  # fmt: skip
SPECIAL = re.compile("|".join(map(re.escape, LATEX)))
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")  # a text that begins with one is a formula to a spreadsheet


def render_table_files(report: dict) -> dict[str, str]:
    """Return file name -> content of all tables with numbers; empty tables have no file."""
    amounts = {(row["task"], row["variant"]): row for row in report["training"]}
    numbers = {
        "scores": [
            row | amounts[row["task"], row["variant"]] | report["levels"][row["task"]] for row in report["scores"]
        ],
        "comparisons": report["comparisons"],
        "aggregates": [{"scale": part["scale"]} | row for part in report["aggregates"] for row in part["values"]],
        "aggregate_comparisons": [
            {"scale": part["scale"]} | row for part in report["aggregates"] for row in part["comparisons"]
        ],
        "reach": report["reach"],
        "crafter": report.get("crafter", []),
        "runs": report["runs"],
    }
    texts = {"scores": tables.scores(report), "comparisons": tables.comparisons(report["comparisons"])}
    for place, part in enumerate(report["aggregates"]):
        texts[f"aggregates_{place}"] = tables.aggregates(part, report["variants"])
        texts[f"aggregate_comparisons_{place}"] = tables.comparisons(part["comparisons"])
    texts["reach"] = tables.reach(report)
    texts |= {"crafter": tables.crafter(report)} if "crafter" in report else {}
    texts["runs"] = run_tables.costs(report)
    files = {f"{name}.csv": csv_text(map(flat_row, rows)) for name, rows in numbers.items() if rows}
    return files | {f"{name}.tex": latex(table) for name, table in texts.items() if table.rows}


def flat_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return the texts and numbers of a record; those of a record in it get its name in front. Lists are left out."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict):
            found |= {f"{key}_{name}": inner for name, inner in flat_row(value).items()}
        elif not isinstance(value, list):
            found[key] = value
    return found


def csv_text(rows: Iterable[dict[str, Any]]) -> str:
    """Return rows as CSV with a header; missing values are empty."""
    rows = list(rows)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _harmless(value) for key, value in row.items()} for row in rows)
    return buffer.getvalue()


def _harmless(value: Any) -> Any:
    """Return a text that no spreadsheet evaluates; numbers stay as they are."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_SIGNS) else value


def latex(table: ReportTable) -> str:
    r"""Return a tabular with the rules of the package booktabs, to be read with \input."""
    head, *rows = (_latex_row(row) for row in (table.head, *table.rows))
    columns = "l" * table.labels + "r" * (len(table.head) - table.labels)
    note = f"% {' '.join(table.note.split())}\n" if table.note else ""
    body = "\n".join([r"\toprule", head, r"\midrule", *rows, r"\bottomrule"])
    return f"% \\usepackage{{booktabs}}\n{note}\\begin{{tabular}}{{{columns}}}\n{body}\n\\end{{tabular}}\n"


def _latex_row(cells: Sequence[str]) -> str:
    """Return a row; braces in front keep a bracket from being an option of the end of the row before."""
    row = " & ".join(SPECIAL.sub(lambda match: LATEX[match[0]], " ".join(cell.split())) for cell in cells)
    return rf"{'{}' * row.startswith('[')}{row} \\"
