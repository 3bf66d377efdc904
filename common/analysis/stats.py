"""Statistics over seeds and tasks.

The scores of one variant are a list with one array (seeds,) for each task; seeds may differ in number between tasks.
Statistics take such lists, with any axes in front of the last: (..., seeds). Intervals are percentile bootstraps at
95 % that draw seeds within each task; they are nan where a task has one seed. Everything is seeded.

Sources: Agarwal et al. 2021 for aggregates, stratified bootstrap, profiles and probability of improvement; Colas et al.
2019 for Welch's test beside bootstrap intervals, which are too narrow for a few seeds.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 2000
MIN_SEEDS = 3  # seeds on each side, without which nothing is said about a difference

Scores = Sequence[np.ndarray]


class Interval(NamedTuple):
    """A statistic and the bounds of its interval: numbers, or arrays of one shape."""

    value: np.ndarray | float
    low: np.ndarray | float
    high: np.ndarray | float


class Effect(NamedTuple):
    """A difference with its interval, Welch's p, the smallest number of seeds on a side, and what that amounts to."""

    value: float
    low: float
    high: float
    p: float
    seeds: int
    verdict: str  # better, worse, open, or few: too few seeds for a verdict


def mean(scores: Scores) -> np.ndarray:
    """Mean over tasks of the mean over seeds (...)."""
    return np.mean([task.mean(-1) for task in scores], 0)


def median(scores: Scores) -> np.ndarray:
    """Median over tasks of the mean over seeds (...)."""
    return np.median([task.mean(-1) for task in scores], 0)


def iqm(scores: Scores) -> np.ndarray:
    """Interquartile mean (...): mean of the middle half of all runs of all tasks; a quarter of n is rounded down."""
    from scipy import stats  # a second, which evaluations and help need not wait for

    return stats.trim_mean(np.concatenate(list(scores), -1), 0.25, -1)


def profile(scores: Scores, levels: np.ndarray) -> np.ndarray:
    """Share of runs above each of `levels` (L,), averaged over tasks: (..., L)."""
    return np.mean([(task[..., None] > levels).mean(-2) for task in scores], 0)


def mean_difference(one: Scores, two: Scores) -> np.ndarray:
    """Mean over tasks of the difference of means over seeds (...)."""
    return mean(one) - mean(two)


def improvement(one: Scores, two: Scores) -> np.ndarray:
    """Chance (...) that a run of `one` beats one of `two`, averaged over tasks; a tie counts half."""
    return np.mean([_wins(a, b) for a, b in zip(one, two, strict=True)], 0)


def _wins(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    difference = one[..., :, None] - two[..., None, :]
    return ((np.sign(difference) + 1) / 2).mean((-2, -1))


def resample(scores: Scores, rng: np.random.Generator, times: int = RESAMPLES) -> list[np.ndarray]:
    """Draws the seeds of every task afresh, with replacement: one array (times, seeds) for each task."""
    return [task[rng.integers(len(task), size=(times, len(task)))] for task in scores]


def bootstrap(statistic: Callable[..., np.ndarray], *samples: Scores, seed: int = 0) -> Interval:
    """A statistic of one or more lists of scores, with its interval."""
    samples = tuple([np.asarray(task, float) for task in scores] for scores in samples)
    value = statistic(*samples)
    if min(len(task) for scores in samples for task in scores) < 2:
        return Interval(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    rng = np.random.default_rng(seed)
    return Interval(value, *_bounds(statistic(*(resample(scores, rng) for scores in samples))))


def curve_band(curves: np.ndarray, seed: int = 0) -> Interval:
    """Mean over seeds of curves (seeds, points), with an interval at each point."""
    value, seeds = curves.mean(0), len(curves)
    if seeds < 2:
        return Interval(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    rows = np.random.default_rng(seed).integers(seeds, size=(RESAMPLES, seeds))
    weights = np.stack([(rows == row).mean(1) for row in range(seeds)], 1)
    return Interval(value, *_bounds(weights @ curves))


def _bounds(draws: np.ndarray) -> np.ndarray:
    return np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)


def difference(one: Scores, two: Scores, seed: int = 0) -> Effect:
    """How much `one` scores above `two`, averaged over tasks.

    "better" or "worse" needs `ENOUGH` seeds, an interval without 0, and p < 0.05.
    """
    value, low, high = (float(number) for number in bootstrap(mean_difference, one, two, seed=seed))
    seeds, p = min(len(task) for scores in (one, two) for task in scores), welch(one, two)
    clear = (low > 0 or high < 0) and p < 1 - CONFIDENCE
    verdict = "few" if seeds < MIN_SEEDS else "open" if not clear else "better" if value > 0 else "worse"
    return Effect(value, low, high, p, seeds, verdict)


def welch(one: Scores, two: Scores) -> float:
    """Two-sided p of Welch's t-test that `gap` is 0; nan where a task has one seed.

    With several tasks the variances of all means add up, each with its own degrees of freedom.
    """
    groups = [np.asarray(task, float) for scores in (one, two) for task in scores]
    if min(map(len, groups)) < 2:
        return float("nan")
    beside = [task - task[0] for task in groups]  # equal scores have a mean and a variance without rounding
    means = [task[0] + rest.mean() for task, rest in zip(groups, beside, strict=True)]
    total = sum(means[: len(one)]) - sum(means[len(one) :])
    parts = np.array([rest.var(ddof=1) / len(rest) for rest in beside])
    if not parts.any():
        return float(total == 0)
    from scipy import stats  # see iqm

    freedom = parts.sum() ** 2 / sum(part**2 / (len(task) - 1) for part, task in zip(parts, groups, strict=True))
    return float(2 * stats.t.sf(abs(total) / np.sqrt(parts.sum()), freedom))


def first_reached(x: np.ndarray, y: np.ndarray, level: float) -> float:
    """First `x` at which `y` is at least `level`; infinite if it never is."""
    hits = np.flatnonzero(y >= level)
    return float(x[hits[0]]) if len(hits) else float("inf")
