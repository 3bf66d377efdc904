"""Figures of published curves, own runs on top."""

from pathlib import Path

import numpy as np

from common.analysis.reference.binning import bin_edges
from common.analysis.reference.own_runs import RunSet
from common.analysis.reference.published import PublishedCurve
from common.errors import UserError
from common.files import atomic_write, make_output_folder
from common.safe_io import expand_path

FORMATS = (".png", ".svg", ".pdf")
OWN_CURVE_BINS = 40  # of a curve of our own
OWN_COLORS = ("black", "crimson", "navy", "darkgreen", "purple")


def figure_path(out: str) -> Path:
    """Path of a figure, whose folder is made. Raises UserError for an ending that is no format of it."""
    path = expand_path(out)
    if path.suffix not in FORMATS:
        raise UserError(f"--out must end in {', '.join(FORMATS)}, got {out!r}.")
    make_output_folder(path.parent)
    return path


def draw(panels: dict[str, tuple[list[PublishedCurve], list[RunSet]]], path: Path, frames: float = 0) -> None:
    """Writes a figure with one panel per title; frames: where the axes end, 0 for the end of all curves.

    Raises UserError where the file cannot be written.
    """
    from matplotlib.figure import Figure

    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    fig = Figure(figsize=(1 + 5.5 * columns, 4.2 * rows), layout="constrained")
    cells = fig.subplots(rows, columns, squeeze=False)
    for axes in cells.flat[len(panels) :]:
        axes.remove()
    for axes, (title, (curves, runs)) in zip(cells.flat, panels.items(), strict=False):
        panel(axes, curves, runs, frames)
        axes.set_title(title, fontsize=10)
    fig.supxlabel("environment frames", fontsize=9)
    fig.supylabel("score (mean ± standard deviation over runs)", fontsize=9)
    with atomic_write(path) as file:
        fig.savefig(file, format=path.suffix[1:], dpi=150)


def panel(axes, curves: list[PublishedCurve], runs: list[RunSet], frames: float) -> None:
    """One task: published curves in colours, own runs thicker, with bands; beside own runs, not for baselines."""
    from matplotlib.ticker import EngFormatter

    for number, curve in enumerate(curves):
        if frames and curve.x[0] >= frames:
            continue
        shown = slice(int(np.searchsorted(curve.x, frames)) + 1 if frames else None)  # up to the first point outside
        label = f"{curve.method} (n = {span(curve.n)})"
        std = curve.std if curve.algo or not runs else 0 * curve.std
        line(axes, curve.x[shown], curve.mean[shown], std[shown], label, color=f"C{number}", linewidth=1.2)
    for one, color in zip(runs, np.resize(OWN_COLORS, len(runs)), strict=True):
        kind = one.kind(next((curve.episodes for curve in curves if curve.algo == one.algo), "train"))
        if not (last := max(run.points[kind][0].max(initial=0) for run in one.runs)):
            continue
        x = bin_edges(last, OWN_CURVE_BINS)
        mean, std, n = one.binned(kind, x)
        label = f"own {one.name} (n = {span(n[n > 0])}, {kind})"
        line(axes, x, mean, std, label, color=color, linewidth=2.2, zorder=3)
    axes.set_xlim(0, frames or None)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.legend(frameon=False, fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def line(axes, x, mean, std, label, *, color, **style) -> None:
    """A curve and its band."""
    axes.plot(x, mean, label=label, color=color, **style)
    axes.fill_between(x, mean - std, mean + std, color=color, alpha=0.15, linewidth=0)


def span(numbers: np.ndarray) -> str:
    """5, or 3-5 where the number of runs changes."""
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if low == high else f"{low}-{high}"
