"""Curves of several runs on one horizontal axis: the same bins for all, up to where the shortest run ends."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from common.analysis import stats
from common.analysis.report.run_data import Run
from common.config.config import unknown_name
from common.errors import UserError

#: Axis -> what it counts.
AXES = {
    "frames": "environment frames",
    "updates": "updates",
    "replayed": "replayed steps",
    "wall": "seconds of training",
}
#: What a grid was matched by -> axis on which its budgets are equal.
AXIS_OF_BUDGET = {"frames": "frames", "updates": "updates", "replayed": "replayed", "time": "wall"}
MAX_BINS = 40
EQUAL_LENGTH_RATIO = 0.99  # lengths that differ less count as equal


class CutOff(NamedTuple):
    """Where curves end: at the end of the shortest run, whose name is `by`; `longest` is the end of the longest."""

    at: float
    by: str
    longest: float

    @property
    def uneven(self) -> bool:
        """Whether something was cut off that is worth a word."""
        return self.at < EQUAL_LENGTH_RATIO * self.longest


class MeanCurve(NamedTuple):
    """Mean over seeds with its interval at the right edges `x` of bins, each (bins,); single: (seeds, bins)."""

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    single: np.ndarray


def quantity_points(run: Run, y: str) -> tuple[np.ndarray, np.ndarray]:
    """Frames and values of 'score' (training episodes), 'eval' (evaluations) or a metric.

    Raises UserError for a metric that the run does not have.
    """
    if y in ("score", "eval"):
        return run.scores["train" if y == "score" else "eval"]
    rows = [(row["frames"], row[y]) for row in run.metrics if isinstance(row.get(y), int | float)]
    if not rows:
        known = ["score", "eval", *dict.fromkeys(key for row in run.metrics for key in row)]
        raise UserError(f"{run.logdir}: {unknown_name('quantity', y, known)}")
    return tuple(np.array(rows, float).T)


def axis_positions(run: Run, axis: str, frames: np.ndarray) -> np.ndarray:
    """Where on an axis a run was at `frames`, interpolated between the lines of its metrics."""
    return frames if axis == "frames" else np.interp(frames, run.counts["frames"], run.counts[axis])


def end(run: Run, axis: str) -> float:
    """Where on an axis a run ended."""
    return float(run.counts[axis][-1])


def cut(runs: Sequence[Run], axis: str) -> CutOff:
    """Where the curves of some runs end on an axis."""
    shortest = min(runs, key=lambda run: end(run, axis))
    return CutOff(end(shortest, axis), shortest.name, max(end(run, axis) for run in runs))


def points_until(run: Run, y: str, axis: str, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions on an axis and values of a quantity, as far as `limit`."""
    frames, values = quantity_points(run, y)
    x = axis_positions(run, axis, frames)
    within = x <= limit * (1 + 1e-9)
    return x[within], values[within]


def binned(x: np.ndarray, y: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean of `y` (n,) in each of the bins that end at `edges` (bins,).

    An empty bin takes the value before it; before the first point it is nan.
    """
    place = np.searchsorted(edges * (1 + 1e-9), x)
    number = np.bincount(place, minlength=len(edges) + 1)[:-1]
    total = np.bincount(place, y, minlength=len(edges) + 1)[:-1]
    means = total / np.maximum(number, 1)
    source = np.maximum.accumulate(np.where(number > 0, np.arange(len(edges)), -1))
    return np.where(source >= 0, means[source], np.nan)


def mean_curves(runs: Sequence[Run], y: str, axis: str) -> tuple[dict[str, MeanCurve], CutOff]:
    """Variant -> curve for the runs of one task, and where all of them end. Variants without a value have none."""
    border = cut(runs, axis)
    values = {run.name: points_until(run, y, axis, border.at) for run in runs}
    edges = np.linspace(0, border.at, 1 + _bins([len(x) for x, _ in values.values()], y))[1:]
    result = {}
    for variant in dict.fromkeys(run.variant for run in runs):
        lines = [binned(*values[run.name], edges) for run in runs if run.variant == variant]
        single = np.array(lines)
        seen = np.isfinite(single).all(0)
        if seen.any():
            mean, low, high = map(np.asarray, stats.curve_band(single[:, seen]))
            result[variant] = MeanCurve(edges[seen], mean, low, high, single[:, seen])
    return result, border


def _bins(numbers: list[int], y: str) -> int:
    """So many that a bin of the sparsest run holds a point, or two training episodes, which are noisy."""
    fewest = min((number for number in numbers if number), default=1)
    return int(np.clip(fewest // (2 if y == "score" else 1), 2, MAX_BINS))
