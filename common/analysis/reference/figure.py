"""Figures of published curves, with own runs on top."""

from pathlib import Path

import numpy as np

from common.analysis.figure_files import panels, save_figure
from common.analysis.reference.binning import bin_edges
from common.analysis.reference.own_runs import RunSet
from common.analysis.reference.published import PublishedCurve

OWN_CURVE_BINS = 40
OWN_COLORS = ("black", "crimson", "navy", "darkgreen", "purple")


def draw(content: dict[str, tuple[list[PublishedCurve], list[RunSet]]], path: Path, frames: float = 0) -> None:
    """Write a figure with one panel per title. frames: end of the axes; 0 for the end of the curves.

    Raises UserError if the file cannot be written.
    """
    figure, cells = panels(len(content), 5.5, 4.2, margin=1)
    for axes, (title, (curves, runs)) in zip(cells, content.items(), strict=True):
        panel(axes, curves, runs, frames)
        axes.set_title(title, fontsize=10)
    figure.supxlabel("environment frames", fontsize=9)
    figure.supylabel("score (mean ± standard deviation over runs)", fontsize=9)
    save_figure(figure, path)


def panel(axes, curves: list[PublishedCurve], runs: list[RunSet], frames: float) -> None:
    """Draw one task: published curves, and own runs thicker. With own runs, baselines have no bands."""
    from matplotlib.ticker import EngFormatter

    for number, curve in enumerate(curves):
        if frames and curve.x[0] >= frames:
            continue
        shown = slice(int(np.searchsorted(curve.x, frames)) + 1 if frames else None)  # up to the first point outside
        std = curve.std if curve.algo or not runs else 0 * curve.std
        label = f"{curve.method} (n = {_range(curve.n)})"
        _line(axes, curve.x[shown], curve.mean[shown], std[shown], label, color=f"C{number}", linewidth=1.2)
    for one, color in zip(runs, np.resize(OWN_COLORS, len(runs)), strict=True):
        kind = one.kind(next((curve.episodes for curve in curves if curve.algo == one.algo), "train"))
        if not (last := max(run.points[kind][0].max(initial=0) for run in one.runs)):
            continue
        x = bin_edges(last, OWN_CURVE_BINS)
        mean, std, n = one.binned(kind, x)
        label = f"own {one.name} (n = {_range(n[n > 0])}, {kind})"
        _line(axes, x, mean, std, label, color=color, linewidth=2.2, zorder=3)
    axes.set_xlim(0, frames or None)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.legend(frameon=False, fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _line(axes, x, mean, std, label, *, color, **style) -> None:
    axes.plot(x, mean, label=label, color=color, **style)
    axes.fill_between(x, mean - std, mean + std, color=color, alpha=0.15, linewidth=0)


def _range(numbers: np.ndarray) -> str:
    """Return 5, or 3-5 if the number of runs changes."""
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if low == high else f"{low}-{high}"
