"""Curves of several runs on one horizontal axis: the same bins for all, up to the end of the shortest run."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from common.analysis import stats
from common.analysis.reference.binning import bin_means
from common.analysis.report.run_data import Run
from common.config.config import unknown_name
from common.errors import UserError

#: Axis -> its label.
AXES = {
    "frames": "environment frames",
    "updates": "updates",
    "replayed": "replayed steps",
    "wall": "seconds of training",
}
#: What the budgets of a grid are equal in -> axis.
AXIS_OF_BUDGET = {"frames": "frames", "updates": "updates", "replayed": "replayed", "time": "wall"}
MAX_BINS = 40
EQUAL_LENGTH_RATIO = 0.99  # lengths that differ less count as equal
STATISTIC, FORMER_STATISTIC = re.compile(r"/(mean|max|sum)$"), re.compile(r"_(mean|max|sum)$")


class CutOff(NamedTuple):
    """End of the curves of a task: the end of the shortest run, its name, and the end of the longest run."""

    at: float
    by: str
    longest: float

    @property
    def uneven(self) -> bool:
        """Whether the cut-off part is large enough to mention."""
        return self.at < EQUAL_LENGTH_RATIO * self.longest


class MeanCurve(NamedTuple):
    """Mean over seeds with its interval at the right edges `x` of bins, each (bins,); single: (seeds, bins)."""

    x: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    single: np.ndarray


def quantity_points(run: Run, y: str) -> tuple[np.ndarray, np.ndarray]:
    """Return frames and values of 'score' (training episodes), 'eval' (evaluations) or a metric.

    Raises UserError for a metric that the run does not have.
    """
    if y in ("score", "eval"):
        return run.scores["train" if y == "score" else "eval"]
    found = [(row["frames"], metric_value(row, y)) for row in run.metrics]
    rows = [(frames, value) for frames, value in found if isinstance(value, int | float)]
    if not rows:
        known = ["score", "eval", *dict.fromkeys(key for row in run.metrics for key in row)]
        raise UserError(f"{run.logdir}: {unknown_name('quantity', y, known)}")
    frames, values = np.array(rows, float).T
    return frames, values


def metric_value(row: dict, name: str) -> Any:
    """Return the value of a metric in a line of metrics, None without one.

    Older runs have the numbers of their environment as `episode/NAME` and `episode/NAME_max`, newer ones as `env/NAME`
    and `env/NAME/max`. Either spelling finds both.
    """
    if name in row:
        return row[name]
    group, _, rest = name.partition("/")
    if rest in ("score", "length"):  # of the episode: no number of the environment passes for them
        return None
    if group == "env":
        return row.get("episode/" + STATISTIC.sub(r"_\1", rest))
    if group == "episode":
        return row.get("env/" + rest, row.get("env/" + FORMER_STATISTIC.sub(r"/\1", rest)))
    return None


def axis_positions(run: Run, axis: str, frames: np.ndarray) -> np.ndarray:
    """Return the positions on an axis at `frames`, interpolated between the run's lines of metrics."""
    return frames if axis == "frames" else np.interp(frames, run.counts["frames"], run.counts[axis])


def cut_off(runs: Sequence[Run], axis: str) -> CutOff:
    """Return where the curves of some runs end on an axis."""
    end = lambda run: float(run.counts[axis][-1])
    shortest = min(runs, key=end)
    return CutOff(end(shortest), shortest.name, max(map(end, runs)))


def points_until(run: Run, y: str, axis: str, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return positions on an axis, up to `limit`, and values of a quantity."""
    frames, values = quantity_points(run, y)
    x = axis_positions(run, axis, frames)
    within = x <= limit * (1 + 1e-9)
    return x[within], values[within]


def mean_curves(runs: Sequence[Run], y: str, axis: str) -> tuple[dict[str, MeanCurve], CutOff]:
    """Return variant -> curve for the runs of one task, and their common end. Variants without values are absent.

    An empty bin repeats the bin before. In the sparsest run, a bin holds at least a point, or two training episodes,
    which are noisy.
    """
    end = cut_off(runs, axis)
    values = {run.name: points_until(run, y, axis, end.at) for run in runs}
    fewest = min((len(x) for x, _ in values.values() if len(x)), default=1)
    bins = int(np.clip(fewest // (2 if y == "score" else 1), 2, MAX_BINS))
    edges = np.linspace(0, end.at, 1 + bins)[1:]
    result = {}
    for variant in dict.fromkeys(run.variant for run in runs):
        single = np.array([bin_means(*values[run.name], edges, extend=True) for run in runs if run.variant == variant])
        seen = np.isfinite(single).all(0)
        if seen.any():
            mean, low, high = map(np.asarray, stats.curve_band(single[:, seen]))
            result[variant] = MeanCurve(edges[seen], mean, low, high, single[:, seen])
    return result, end
