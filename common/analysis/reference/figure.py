"""Figures of published curves, with own runs on top."""

import functools
from collections import Counter
from pathlib import Path

import numpy as np

from common.analysis.figure_files import panels, save_figure
from common.analysis.reference import data
from common.analysis.reference.binning import bin_edges
from common.analysis.reference.own_runs import RunSet
from common.analysis.reference.published import PublishedCurve, possible_scores

OWN_CURVE_BINS = 40
MAX_STRETCH = 10  # axes of an overlay end at most at this multiple of the runs' frames
Panels = dict[str, tuple[list[PublishedCurve], list[RunSet]]]
Styles = dict[str, tuple[str, tuple]]  # method, or name of own runs -> colour and dashes


def draw(content: Panels, path: Path, frames: float = 0) -> None:
    """Write a figure with one panel per title. frames: end of the axes; 0 for the end of the curves.

    Raises UserError if the file cannot be written.
    """
    figure, cells = panels(len(content), 5.5, 4.2, margin=1)
    styles = line_styles(content)
    for axes, (title, (curves, runs)) in zip(cells, content.items(), strict=True):
        panel(axes, curves, runs, frames, styles)
        axes.set_title(title, fontsize=10)
    figure.supxlabel("environment frames", fontsize=9)
    figure.supylabel("score (mean ± standard deviation over runs)", fontsize=9)
    save_figure(figure, path)


def line_styles(content: Panels) -> Styles:
    """Return the style of each method and set of own runs, the same in all panels.

    The colours are those of reports. A version and the published runs of its agent share one; its variants have
    dashes. Baselines share the other colours.
    """
    from common.analysis.report.figure_style import COLORS, DASHES, INK, VARIANTS

    hues = [COLORS[name][0] for name in VARIANTS]
    families = published_agents()
    agents = dict(zip(families.values(), hues, strict=False))
    others = hues[len(agents) :]
    styles: Styles = {}
    counts: Counter[str] = Counter()  # lines per agent; "" for the baselines
    for method in dict.fromkeys(curve.method for curves, _ in content.values() for curve in curves):
        family = _family(method, families)
        if family in agents:
            counts[family] += method != family
            styles[method] = agents[family], DASHES[0 if method == family else counts[family] % len(DASHES)]
        else:
            styles[method] = others[counts[""] % len(others)], DASHES[counts[""] // len(others) % len(DASHES)]
            counts[""] += 1
    for algo, name in dict.fromkeys((one.algo, one.name) for _, runs in content.values() for one in runs):
        styles[f"own {name}"] = agents.get(families.get(algo, ""), INK), DASHES[counts[f"own {algo}"] % len(DASHES)]
        counts[f"own {algo}"] += 1
    return styles


@functools.cache
def published_agents() -> dict[str, str]:
    """Return version -> the method that is this version's agent, by the published data; it has the shortest name."""
    entries = [entry for benchmark in data.benchmarks() for entry in data.entries(benchmark) if entry["algo"]]
    methods = {
        algo: [e["method"] for e in entries if e["algo"] == algo] for algo in sorted({e["algo"] for e in entries})
    }
    return {algo: min(names, key=len) for algo, names in methods.items()}


def _family(method: str, families: dict[str, str]) -> str:
    """Return the agent of which a published method is a variant, or the method: dreamerv2_schedules is dreamerv2."""
    known = [family for family in families.values() if method == family or method.startswith(f"{family}_")]
    return max(known, key=len, default=method)


def axis_end(content: Panels) -> float:
    """Return where the axes of an overlay end: at twice the frames of the runs.

    If no published curve of a panel would be visible there, the axes extend to the earliest one, unless that makes the
    runs too small to see.
    """
    reached = max(runs.reached() for _, sets in content.values() for runs in sets)
    end = 2 * reached
    for curves, _ in content.values():
        if len(curves_beyond(curves, 2 * reached)) == len(curves):
            second = min(float(curve.x[min(1, len(curve.x) - 1)]) for curve in curves)
            end = max(end, second) if second <= MAX_STRETCH * reached else end
    return end


def curves_beyond(curves: list[PublishedCurve], frames: float) -> list[PublishedCurve]:
    """Return the curves that axes up to `frames` do not show, because they start there or later."""
    return [curve for curve in curves if frames and curve.x[0] >= frames]


def panel(axes, curves: list[PublishedCurve], runs: list[RunSet], frames: float, styles: Styles) -> None:
    """Draw one task: published curves, and own runs thicker. With own runs, baselines have no bands."""
    from matplotlib.ticker import EngFormatter

    beyond = curves_beyond(curves, frames)
    for curve in (curve for curve in curves if curve not in beyond):
        shown = slice(int(np.searchsorted(curve.x, frames)) + 1 if frames else None)  # up to the first point outside
        std = curve.std if curve.algo or not runs else 0 * curve.std
        limits = possible_scores(curve.benchmark, curve.task)
        label = f"{curve.method} (n = {_range(curve.n)})"
        _line(axes, curve.x[shown], curve.mean[shown], std[shown], limits, styles[curve.method], label, linewidth=1.2)
    for one in runs:
        kind = one.kind(next((curve.episodes for curve in curves if curve.algo == one.algo), "train"))
        if not (last := max(run.points[kind][0].max(initial=0) for run in one.runs)):
            continue
        x = bin_edges(last, OWN_CURVE_BINS)
        mean, std, n = one.binned(kind, x)
        limits = possible_scores(one.benchmark, one.task)
        label = f"own {one.name} (n = {_range(n[n > 0])}, {kind})"
        _line(axes, x, mean, std, limits, styles[f"own {one.name}"], label, linewidth=2.6, zorder=3)
    axes.set_xlim(0, frames or None)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.legend(frameon=False, fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _line(axes, x, mean, std, limits: tuple[float, float], style: tuple[str, tuple], label: str, **options) -> None:
    """Draw a mean and its band of one deviation, which ends at the lowest and highest possible score."""
    color, dashes = style
    axes.plot(x, mean, label=label, color=color, dashes=dashes, **options)
    axes.fill_between(x, *np.clip((mean - std, mean + std), *limits), color=color, alpha=0.15, linewidth=0)


def _range(numbers: np.ndarray) -> str:
    """Return 5, or 3-5 if the number of runs changes; "not stated" for 0."""
    low, high = int(numbers.min()), int(numbers.max())
    return (str(low) if low == high else f"{low}-{high}") if high else "not stated"
