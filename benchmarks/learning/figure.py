"""The figure of the study: curves of both sides on one axis, one panel for each version and task."""

from pathlib import Path

import numpy as np

from benchmarks.learning.score_files import SIDES
from common.analysis import stats
from common.analysis.figure_files import save_figure
from common.analysis.report.figure_style import COLORS, PAGE, figure_settings

COLUMNS = 2
LINE_COLORS = dict(zip(SIDES, (COLORS["hue1"][0], COLORS["hue0"][0]), strict=True))


@figure_settings()
def draw_curves(cells: list, path: Path, frames: int) -> None:
    """Write the figure. cells: of `analysis.Cell`."""
    from matplotlib.figure import Figure

    rows = -(-len(cells) // COLUMNS)
    figure = Figure(figsize=(4.6 * COLUMNS, 2.8 * rows), layout="constrained", facecolor=PAGE)
    for axes, cell in zip(figure.subplots(rows, COLUMNS, squeeze=False).flat, cells, strict=False):
        for side in SIDES:
            draw_side(axes, side, list(cell.curves[side].values()), frames)
        axes.set_title(f"{cell.version.upper()}, {cell.task.name}")
        axes.set_xlabel("frames")
        axes.set_ylabel("score")
        if axes.get_lines():
            axes.legend(frameon=False)
    save_figure(figure, path)


def draw_side(axes, side: str, curves: list[np.ndarray], frames: int) -> None:
    """Draw single runs thin, their mean thick, and the interval of the mean if there is one."""
    if not curves:
        return
    color, tenths = LINE_COLORS[side], len(curves[0])
    middles = (np.arange(tenths) + 0.5) * frames / tenths
    for curve in curves:
        axes.plot(middles, curve, color=color, linewidth=0.6, alpha=0.5)
    band = stats.curve_band(np.array(curves))
    axes.plot(middles, band.value, color=color, linewidth=2, label=f"{side} ({len(curves)})")
    axes.fill_between(middles, band.low, band.high, color=color, alpha=0.18, linewidth=0)
