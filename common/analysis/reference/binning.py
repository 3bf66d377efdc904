"""Raw scores of runs -> one curve: means in equal bins of frames, then mean and deviation over the runs.

The point at `edges[i]` covers the interval (edges[i - 1], edges[i]]. An empty bin inside a run's range repeats the bin
before; outside its range a run does not contribute.
"""

import math
import warnings

import numpy as np


def bin_edges(limit: float, bins: int = 50) -> np.ndarray:
    """Return right edges (bins,) of equal bins on (0, limit]; the limit is first rounded up to two digits."""
    step = 10.0 ** (math.floor(math.log10(limit)) - 1)
    return np.arange(1, bins + 1) * (math.ceil(round(limit / step, 6)) * step / bins)


def bin_means(xs, ys, edges: np.ndarray, extend: bool = False) -> np.ndarray:
    """Return the means (bins,) of scores ys (points,) at frames xs (points,); NaN in bins outside the run's range.

    Drops scores that are None or NaN, and scores beyond the last edge. A score at frame 0 is in the first bin.
    extend: the last score also fills the bins after it.
    """
    xs, ys = np.asarray(xs, float), np.asarray(ys, float)
    kept = np.isfinite(ys)
    index = np.searchsorted(edges * (1 + 1e-9), xs[kept])  # edges may be rounded down
    counts = np.bincount(index, minlength=len(edges) + 1)[:-1]
    sums = np.bincount(index, ys[kept], minlength=len(edges) + 1)[:-1]
    source = np.maximum.accumulate(np.where(counts > 0, np.arange(len(edges)), -1))
    last = len(edges) if extend else source[-1]
    known = (source >= 0) & (np.arange(len(edges)) <= last)
    return np.where(known, (sums / np.maximum(counts, 1))[source], np.nan)


def pool_runs(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, population standard deviation and number of runs (bins,) of binned runs (runs, bins)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a bin without runs becomes NaN, as intended
        return np.nanmean(runs, 0), np.nanstd(runs, 0), np.isfinite(runs).sum(0)


def average_of_ends(
    runs: list[tuple[np.ndarray, np.ndarray]], limit: float, reach: float = 0.9
) -> tuple[float, float, int]:
    """Average each run (frames, scores) over its last 5 % of `limit` frames; return mean, deviation and number.

    Runs shorter than `reach` of the longest run are left out. The deviation has the divisor n.
    """
    longest = max(xs[-1] for xs, _ in runs)
    ends = [ys[xs >= xs[-1] - 0.05 * limit].mean() for xs, ys in runs if xs[-1] >= reach * longest]
    return float(np.mean(ends)), float(np.std(ends)), len(ends)
