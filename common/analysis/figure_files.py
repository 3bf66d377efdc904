"""Figures with one panel per task, written to .png, .svg or .pdf files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError
from common.files import atomic_write, make_output_folder
from common.safe_io import expand_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
MAX_COLUMNS = 3


def figure_path(out: str) -> Path:
    """Return the path of a figure. Raises UserError if its suffix is not one of FORMATS."""
    path = expand_path(out)
    if path.suffix not in FORMATS:
        raise UserError(f"--out must end in {', '.join(FORMATS)}, got {out!r}.")
    return path


def panels(number: int, width: float, height: float, margin: float = 0) -> tuple["Figure", list[Any]]:
    """Return a figure and the axes of its panels, row by row. width, height: inches of a panel."""
    from matplotlib.figure import Figure

    columns = min(MAX_COLUMNS, number)
    rows = -(-number // columns)
    figure = Figure(figsize=(margin + width * columns, height * rows), layout="constrained")
    cells = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in cells[number:]:
        axes.remove()
    return figure, cells[:number]


def save_figure(figure: "Figure", path: Path, **options: Any) -> None:
    """Write a figure, all or nothing. Raises UserError if the file cannot be written.

    Fonts in PDF files are TrueType, which journals ask for.
    """
    import matplotlib as mpl

    make_output_folder(path.parent)
    with atomic_write(path) as file, mpl.rc_context({"pdf.fonttype": 42, "ps.fonttype": 42}):
        figure.savefig(file, format=path.suffix[1:], dpi=150, **options)
