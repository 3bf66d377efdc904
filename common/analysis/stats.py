"""Statistics over seeds and tasks, with bootstrap intervals.

The scores of a variant are a list with one array (seeds,) per task; tasks may differ in their numbers of seeds.
Statistics accept extra leading axes (..., seeds). Intervals are 95 % percentile bootstraps that resample the seeds of
each task. Every random draw is seeded. With fewer than MIN_SEEDS seeds on a task, intervals, p, chances to beat and
verdicts do not exist (nan, None): the spread of one or two runs is not an estimate of the spread of all.

Sources: Agarwal et al. 2021 for aggregates, stratified bootstrap, profiles and probability of improvement; Colas et al.
2019 for adding Welch's test, because bootstrap intervals are too narrow with few seeds.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 2000
MIN_SEEDS = 3  # runs of each variant on each task that intervals, tests and verdicts need

Scores = Sequence[np.ndarray]


class Interval(NamedTuple):
    """A statistic and the bounds of its interval: numbers, or arrays of one shape."""

    value: np.ndarray | float
    low: np.ndarray | float
    high: np.ndarray | float


class Effect(NamedTuple):
    """A difference with its interval, Welch's p, the smaller number of seeds, and the verdict.

    verdict: better, worse, open (not significant), or None with fewer than MIN_SEEDS seeds.
    """

    value: float
    low: float
    high: float
    p: float
    seeds: int
    verdict: str | None


def mean(scores: Scores) -> np.ndarray:
    """Return the mean over tasks of the mean over seeds (...)."""
    return np.mean([task.mean(-1) for task in scores], 0)


def median(scores: Scores) -> np.ndarray:
    """Return the median over tasks of the mean over seeds (...)."""
    return np.median([task.mean(-1) for task in scores], 0)


def iqm(scores: Scores) -> np.ndarray:
    """Return the interquartile mean (...): the mean of the middle half of all runs of all tasks.

    Cuts off a quarter of the runs at either end, rounded down.
    """
    from scipy import stats  # takes a second to import, which most commands can save

    return stats.trim_mean(np.concatenate(list(scores), -1), 0.25, -1)


def profile(scores: Scores, levels: np.ndarray) -> np.ndarray:
    """Return the share of runs above each of `levels` (L,), averaged over tasks: (..., L)."""
    return np.mean([(task[..., None] > levels).mean(-2) for task in scores], 0)


def mean_difference(one: Scores, two: Scores) -> np.ndarray:
    """Return the mean over tasks of the difference of the means over seeds (...)."""
    return mean(one) - mean(two)


def improvement(one: Scores, two: Scores) -> np.ndarray:
    """Return the probability (...) that a run of `one` beats one of `two`, averaged over tasks; ties count half."""
    gaps = [a[..., :, None] - b[..., None, :] for a, b in zip(one, two, strict=True)]
    return np.mean([((np.sign(gap) + 1) / 2).mean((-2, -1)) for gap in gaps], 0)


def bootstrap(statistic: Callable[..., np.ndarray], *samples: Scores, seed: int = 0) -> Interval:
    """Return a statistic of one or more lists of scores, with its interval; bounds are nan with too few seeds."""
    samples = tuple([np.asarray(task, float) for task in scores] for scores in samples)
    value = statistic(*samples)
    if _fewest_seeds(*samples) < MIN_SEEDS:
        return _without_bounds(value)
    rng = np.random.default_rng(seed)
    draws = [[task[rng.integers(len(task), size=(RESAMPLES, len(task)))] for task in scores] for scores in samples]
    return Interval(value, *_bounds(statistic(*draws)))


def curve_band(curves: np.ndarray, seed: int = 0) -> Interval:
    """Return the mean over seeds of curves (seeds, points), with an interval at each point.

    The bounds are nan with too few seeds.
    """
    value, seeds = curves.mean(0), len(curves)
    if seeds < MIN_SEEDS:
        return _without_bounds(value)
    rows = np.random.default_rng(seed).integers(seeds, size=(RESAMPLES, seeds))
    weights = np.stack([(rows == row).mean(1) for row in range(seeds)], 1)
    return Interval(value, *_bounds(weights @ curves))


def _fewest_seeds(*samples: Scores) -> int:
    return min(len(task) for scores in samples for task in scores)


def _without_bounds(value: np.ndarray) -> Interval:
    return Interval(value, np.full_like(value, np.nan), np.full_like(value, np.nan))


def _bounds(draws: np.ndarray) -> np.ndarray:
    return np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)


def difference(one: Scores, two: Scores, seed: int = 0) -> Effect:
    """Return how much higher `one` scores than `two`, averaged over tasks.

    The verdicts "better" and "worse" need MIN_SEEDS seeds, an interval without 0, and p < 0.05.
    """
    value, low, high = (float(number) for number in bootstrap(mean_difference, one, two, seed=seed))
    if (seeds := _fewest_seeds(one, two)) < MIN_SEEDS:
        return Effect(value, low, high, float("nan"), seeds, None)
    p = welch(one, two)
    significant = (low > 0 or high < 0) and p < 1 - CONFIDENCE
    return Effect(value, low, high, p, seeds, "open" if not significant else "better" if value > 0 else "worse")


def chance_to_beat(one: Scores, two: Scores, seed: int = 0) -> Interval:
    """Return the probability of improvement with its interval; nan with fewer than MIN_SEEDS seeds."""
    if _fewest_seeds(one, two) < MIN_SEEDS:
        return _without_bounds(np.asarray(np.nan))
    return bootstrap(improvement, one, two, seed=seed)


def welch(one: Scores, two: Scores) -> float:
    """Return the two-sided p of Welch's t-test that `mean_difference` is 0; nan if a task has one seed.

    With several tasks, the variances of all means add up, each with its own degrees of freedom.
    """
    groups = [np.asarray(task, float) for scores in (one, two) for task in scores]
    if min(map(len, groups)) < 2:
        return float("nan")
    offsets = [task - task[0] for task in groups]  # equal scores get a mean and a variance without rounding errors
    means = [task[0] + rest.mean() for task, rest in zip(groups, offsets, strict=True)]
    total = sum(means[: len(one)]) - sum(means[len(one) :])
    parts = np.array([rest.var(ddof=1) / len(rest) for rest in offsets])
    if not parts.any():
        return float(total == 0)
    from scipy import stats  # see iqm

    freedom = parts.sum() ** 2 / sum(part**2 / (len(task) - 1) for part, task in zip(parts, groups, strict=True))
    return float(2 * stats.t.sf(abs(total) / np.sqrt(parts.sum()), freedom))


def first_reached(x: np.ndarray, y: np.ndarray, level: float) -> float:
    """Return the first `x` at which `y` is at least `level`; infinity if there is none."""
    hits = np.flatnonzero(y >= level)
    return float(x[hits[0]]) if len(hits) else float("inf")
