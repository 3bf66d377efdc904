"""Final scores of the runs and their comparisons, as plain dicts for JSON."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from common.analysis import stats
from common.analysis.report import curves
from common.analysis.report.run_collection import Runs
from common.analysis.report.run_data import Run

FINAL_SHARE = 0.1  # share of the training episodes whose mean is the final score

Finals = dict[str, dict[str, np.ndarray]]  # task -> variant -> final scores (seeds,)
CurvesByTask = dict[str, dict[str, curves.MeanCurve]]  # task -> variant -> learning curve over frames


def final_returns(run: Run, axis: str, limit: float) -> np.ndarray:
    """Return the returns (n,) of the last tenth of the training episodes that end before `limit`."""
    returns = curves.points_until(run, "score", axis, limit)[1]
    return returns[len(returns) - math.ceil(FINAL_SHARE * len(returns)) :]


def final_score(run: Run, axis: str, limit: float) -> float:
    """Return the mean return of the last tenth of the training episodes that end before `limit`; nan without any."""
    returns = final_returns(run, axis, limit)
    return float(returns.mean()) if len(returns) else math.nan


def final_scores(runs: Runs, axis: str) -> Finals:
    """Return the final scores of every task and variant at the end of the task's shortest run."""
    result: Finals = {}
    for task in runs.tasks:
        limit = curves.cut_off(runs.on(task), axis).at
        values = [(run.variant, final_score(run, axis, limit)) for run in runs.on(task)]
        kept = [(variant, value) for variant, value in values if not math.isnan(value)]
        seeds = {name: np.array([value for variant, value in kept if variant == name]) for name in runs.variants}
        result[task] = {name: scores for name, scores in seeds.items() if len(scores)}
    return result


def interval_row(interval: stats.Interval, **more: Any) -> dict:
    """Return a statistic with its bounds as a dict of floats, after `more`."""
    return {**more, **{key: float(value) for key, value in interval._asdict().items()}}


def score_rows(scores: Finals) -> list[dict]:
    """Return the mean over seeds of every task and variant."""
    return [
        interval_row(
            stats.bootstrap(stats.mean, [seeds]), task=task, variant=variant, seeds=len(seeds), scores=seeds.tolist()
        )
        for task, variants in scores.items()
        for variant, seeds in variants.items()
    ]


def compared_pairs(kind: str, variants: Sequence[str], baseline: str | None) -> list[tuple[str, str]]:
    """Return the pairs to compare.

    A rung of a ladder with the rung before; any variant with the baseline; without a baseline, up to four variants with
    each other, more with the first.
    """
    if kind == "ladder":
        steps = list(zip(variants[1:], variants, strict=False))
        return steps + [(variants[-1], variants[0])] * (len(variants) > 2)
    if baseline not in variants and len(variants) <= 4:
        return [(two, one) for one, two in combinations(variants, 2)]
    base = baseline if baseline is not None and baseline in variants else variants[0]
    return [(variant, base) for variant in variants if variant != base]


def comparisons(scores: Finals, pairs: list[tuple[str, str]]) -> list[dict]:
    """Return difference, verdict and probability of improvement of every pair on every task."""
    return [
        {"task": task, "one": one, "two": two} | compare([variants[one]], [variants[two]])
        for task, variants in scores.items()
        for one, two in pairs
        if one in variants and two in variants
    ]


def compare(one: stats.Scores, two: stats.Scores) -> dict:
    """Return difference, verdict and chance to beat of two lists of scores."""
    improvement = interval_row(stats.chance_to_beat(one, two))
    return {**stats.difference(one, two)._asdict(), "improvement": improvement}


def best_mean(variants: dict[str, np.ndarray]) -> float:
    """Return the best mean over seeds of the variants of a task; nan without variants."""
    return max((float(seeds.mean()) for seeds in variants.values()), default=math.nan)
