"""Raw scores of runs -> one curve: means inside equal bins of frames, then mean and deviation over the runs.

A point at `edges[i]` stands for the interval (edges[i - 1], edges[i]]. An empty bin inside a run's range repeats the
one before; outside of its range a run does not contribute.
"""

import math
import warnings

import numpy as np


def bin_edges(limit: float, bins: int = 50) -> np.ndarray:
    """Right edges (bins,) of equal bins on (0, limit]; the limit is first rounded up to two digits."""
    step = 10.0 ** (math.floor(math.log10(limit)) - 1)
    return np.arange(1, bins + 1) * (math.ceil(round(limit / step, 6)) * step / bins)


def bin_means(xs, ys, edges: np.ndarray) -> np.ndarray:
    """Means (bins,) of a run's scores ys (points,) at frames xs (points,); NaN in bins outside of its range.

    Scores that are None or NaN, and those beyond the last edge, are left out; one at frame 0 counts to the first bin.
    """
    xs, ys = np.asarray(xs, float), np.asarray(ys, float)
    kept = np.isfinite(ys) & (xs <= edges[-1])
    index = np.searchsorted(edges, xs[kept])
    counts = np.bincount(index, minlength=len(edges))
    sums = np.bincount(index, ys[kept], minlength=len(edges))
    means = np.divide(sums, counts, out=np.full(len(edges), np.nan), where=counts > 0)
    filled = np.flatnonzero(counts)
    for i in range(filled[0], filled[-1]) if len(filled) else ():
        means[i + 1] = means[i] if np.isnan(means[i + 1]) else means[i + 1]
    return means


def pool_runs(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Binned runs (runs, bins) -> mean, population standard deviation and number of runs (bins,)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a bin without runs is NaN, which is what we want
        return np.nanmean(runs, 0), np.nanstd(runs, 0), np.isfinite(runs).sum(0)


def average_of_ends(
    runs: list[tuple[np.ndarray, np.ndarray]], limit: float, reach: float = 0.9
) -> tuple[float, float, int]:
    """Runs (frames, scores) -> mean, population standard deviation and number of the averages of their ends.

    An end is the last 5 % of `limit` frames. Runs shorter than `reach` of the longest one are left out.
    """
    longest = max(xs[-1] for xs, _ in runs)
    ends = [ys[xs >= xs[-1] - 0.05 * limit].mean() for xs, ys in runs if xs[-1] >= reach * longest]
    return float(np.mean(ends)), float(np.std(ends)), len(ends)
