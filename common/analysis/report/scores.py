"""Results of the runs as plain dicts for JSON: final scores, comparisons, aggregates over tasks, frames to a score."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from common.analysis import stats
from common.analysis.report import curves
from common.analysis.report.run_collection import Runs
from common.analysis.report.run_data import Run
from common.analysis.report.score_normalization import Scale, accepted_scale

FINAL_SHARE = 0.1  # share of the training episodes whose mean is the final score
REACH_SHARES = (0.5, 0.75, 0.9)  # of the way from the lowest start to the best score, for the frames to a score
PROFILE_LEVELS = 41  # points of a performance profile
OWN_SCALE = "0: lowest start; 1: best mean of this report"
AGGREGATES = {"mean": stats.mean, "median": stats.median, "iqm": stats.iqm}

Finals = dict[str, dict[str, np.ndarray]]  # task -> variant -> final scores (seeds,)
CurvesByTask = dict[str, dict[str, curves.MeanCurve]]  # task -> variant -> learning curve over frames


def final_score(run: Run, axis: str, limit: float) -> float:
    """Return the mean return of the last tenth of the training episodes that end before `limit`; nan without any."""
    returns = curves.points_until(run, "score", axis, limit)[1]
    return float(returns[-math.ceil(FINAL_SHARE * len(returns)) :].mean()) if len(returns) else math.nan


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
        {"task": task, "one": one, "two": two} | _compare([variants[one]], [variants[two]])
        for task, variants in scores.items()
        for one, two in pairs
        if one in variants and two in variants
    ]


def _compare(one: stats.Scores, two: stats.Scores) -> dict:
    improvement = interval_row(stats.chance_to_beat(one, two))
    return {**stats.difference(one, two)._asdict(), "improvement": improvement}


def best_mean(variants: dict[str, np.ndarray]) -> float:
    """Return the best mean over seeds of the variants of a task; nan without variants."""
    return max((float(seeds.mean()) for seeds in variants.values()), default=math.nan)


def task_scales(scores: Finals, starts: dict[str, float]) -> dict[str, dict]:
    """Return task -> its accepted scale, else 0 for the lowest start and 1 for the best final mean of these runs."""
    result = {}
    for task, variants in scores.items():
        scale = accepted_scale(task) or Scale(starts[task], best_mean(variants), OWN_SCALE)
        if scale.one > scale.zero:
            result[task] = scale._asdict()
    return result


def aggregates(scores: Finals, scales: dict[str, dict], variants: list[str], pairs: list[tuple[str, str]]) -> dict:
    """Return aggregates over the tasks that have a scale and runs of every variant; {} with fewer than two tasks."""
    tasks = [task for task in scores if task in scales and set(variants) <= set(scores[task])]
    if len(tasks) < 2:
        return {}
    values = {v: [Scale(**scales[task])(scores[task][v]) for task in tasks] for v in variants}
    return {
        "tasks": tasks,
        "values": [
            interval_row(stats.bootstrap(statistic, values[v]), statistic=name, variant=v)
            for name, statistic in AGGREGATES.items()
            for v in variants
        ],
        **_profiles(values),
        "comparisons": [{"one": one, "two": two} | _compare(values[one], values[two]) for one, two in pairs],
    }


def _profiles(values: dict[str, list[np.ndarray]]) -> dict:
    """Return the share of runs above each of several levels, with a band."""
    every = np.concatenate([task for tasks in values.values() for task in tasks])
    levels = np.linspace(min(0.0, every.min()), max(1.0, every.max()), PROFILE_LEVELS)
    bands = {v: stats.bootstrap(lambda sample: stats.profile(sample, levels), tasks) for v, tasks in values.items()}
    lists = {v: {key: np.asarray(part).tolist() for key, part in band._asdict().items()} for v, band in bands.items()}
    return {"levels": levels.tolist(), "profiles": lists}


def starting_scores(curves_by_task: CurvesByTask) -> dict[str, float]:
    """Return task -> the lowest starting score of a variant: mean over seeds in the first bin of its curve."""
    return {task: min(float(line.mean[0]) for line in lines.values()) for task, lines in curves_by_task.items()}


def frames_to_scores(
    curves_by_task: CurvesByTask, scores: Finals, starts: dict[str, float], levels: Sequence[float]
) -> list[dict]:
    """Return the median frames over seeds until each variant reaches `levels`.

    Without `levels`, these are shares of the way from the lowest start to the best final mean.
    """
    result = []
    for task, lines in curves_by_task.items():
        gap = best_mean(scores[task]) - starts[task]
        for level in levels or [starts[task] + share * gap for share in REACH_SHARES]:
            for variant, line in lines.items():
                frames = [stats.first_reached(line.x, seed, level) for seed in line.single]
                reached = sum(map(math.isfinite, frames))
                median = float(np.median(frames)) if reached > len(frames) / 2 else math.inf
                row = {"task": task, "level": level, "variant": variant, "frames": median}
                result.append(row | {"reached": reached, "seeds": len(frames)})
    return result
