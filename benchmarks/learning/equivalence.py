"""Are two groups of runs equal within a margin? Two one-sided tests, Welch's test, and the seeds that a verdict needs.

Source: Schuirmann 1987 for the two one-sided tests, Holm 1979 for the correction, Welch 1947 for degrees of freedom.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from common.analysis import stats

LEVEL = 0.05
POWER = 0.8  # chance of a verdict with the seeds that `seeds_needed` returns
MOST_SEEDS = 1000

EQUAL, DIFFERENT, UNDECIDED = "equal", "different", "undecided"


class Comparison(NamedTuple):
    """Official minus ours: the difference of the means with its bootstrap interval, and the p of both tests.

    p_equal: of the two one-sided tests, the larger one; small if the difference is inside the margin. p_zero: of
    Welch's test that the difference is 0. Both are nan, as the spread and the smallest margin, with fewer than two
    seeds on a side.
    """

    difference: float
    low: float
    high: float
    spread: float  # standard error of the difference
    p_equal: float
    p_zero: float
    smallest_margin: float  # at which the difference would be inside, at LEVEL without correction
    seeds: int  # the smaller number of both sides


def compare(official: Sequence[float], ours: Sequence[float], margin: float) -> Comparison:
    """Compare two groups of numbers, one for each seed."""
    one, two = np.asarray(official, float), np.asarray(ours, float)
    interval = stats.bootstrap(stats.mean_difference, [one], [two])
    difference, seeds = float(interval.value), min(len(one), len(two))
    if seeds < 2:
        return Comparison(difference, *[math.nan] * 6, seeds)
    variances = np.array([one.var(ddof=1) / len(one), two.var(ddof=1) / len(two)])
    spread = float(np.sqrt(variances.sum()))
    degrees = freedom(variances, (len(one), len(two)))
    from scipy import stats as scipy_stats  # takes a second to import

    tests = larger_p(difference, margin, spread, degrees), stats.welch([one], [two])
    smallest = abs(difference) + float(scipy_stats.t.isf(LEVEL, degrees)) * spread
    return Comparison(difference, float(interval.low), float(interval.high), spread, *tests, smallest, seeds)


def freedom(variances: np.ndarray, sizes: tuple[int, int]) -> float:
    """Return Welch's degrees of freedom. variances: of the means (2,)."""
    parts = variances**2 / (np.array(sizes) - 1)
    return float(variances.sum() ** 2 / parts.sum()) if parts.any() else math.inf


def larger_p(difference: float, margin: float, spread: float, degrees: float) -> float:
    """Return the larger p of the two one-sided tests that a difference is outside (-margin, margin)."""
    inside = margin - abs(difference)
    if spread == 0:
        return 0.0 if inside > 0 else 1.0
    from scipy import stats as scipy_stats

    return float(scipy_stats.t.sf(inside / spread, degrees))


def holm(values: Sequence[float]) -> list[float]:
    """Return p values with Holm's correction for their number; a nan counts as 1."""
    known = [1.0 if math.isnan(p) else p for p in values]
    corrected, largest = [0.0] * len(known), 0.0
    for rank, index in enumerate(sorted(range(len(known)), key=known.__getitem__)):
        largest = max(largest, min(1.0, (len(known) - rank) * known[index]))
        corrected[index] = largest
    return corrected


def verdict(p_equal: float, p_zero: float, level: float) -> str:
    """Return the verdict about one quantity from its corrected p values."""
    if p_equal < level:
        return EQUAL
    return DIFFERENT if p_zero < level else UNDECIDED


def join_verdicts(verdicts: Sequence[str]) -> str:
    """Return the verdict about several quantities of a task: equal only if all are."""
    if DIFFERENT in verdicts:
        return DIFFERENT
    return EQUAL if set(verdicts) == {EQUAL} else UNDECIDED


def seeds_needed(found: Comparison, margin: float, level: float) -> int | None:
    """Return how many seeds per side would give a verdict with a chance of POWER, if what was seen is true.

    The true difference is taken to be the one seen, and the spread of each side as well. level: of one test, after
    correction. Returns None with fewer than two seeds, and MOST_SEEDS if more would be needed.
    """
    if math.isnan(found.spread):
        return None
    seeds = np.arange(2, MOST_SEEDS)
    spread = found.spread * np.sqrt(found.seeds / seeds)
    enough = chance_of_verdict(found.difference, margin, spread, 2 * (seeds - 1), level) >= POWER
    return int(seeds[enough][0]) if enough.any() else MOST_SEEDS


def chance_of_verdict(
    difference: float, margin: float, spread: np.ndarray, degrees: np.ndarray, level: float
) -> np.ndarray:
    """Return the chance (n,) that one of the tests rejects; the difference that is seen is taken to be normal.

    spread, degrees: standard error of the difference, and degrees of freedom, with each number of seeds (n,).
    """
    if not spread.any():
        return np.ones_like(spread)
    from scipy import stats as scipy_stats

    inside = margin - scipy_stats.t.isf(level, degrees) * spread
    away = scipy_stats.t.isf(level / 2, degrees) * spread
    cdf = lambda value: scipy_stats.norm.cdf((value - difference) / spread)
    equal = np.where(inside > 0, cdf(inside) - cdf(-inside), 0.0)
    return np.maximum(equal, 1 - cdf(away) + cdf(-away))
