"""What the runs reached: final scores, differences, aggregates over tasks, frames to a score. Plain dicts for JSON."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from common.analysis import stats
from common.analysis.report import curves, score_normalization
from common.analysis.report.run_collection import Runs
from common.analysis.report.run_data import Run

FINAL_SHARE = 0.1  # share of the training episodes whose mean is the final score
REACH_SHARES = (0.5, 0.75, 0.9)  # of the way from the start to the best, for which frames are counted
PROFILE_LEVELS = 41  # points of a performance profile
AGGREGATES = {"mean": stats.mean, "median": stats.median, "iqm": stats.iqm}

Finals = dict[str, dict[str, np.ndarray]]  # task -> variant -> final scores (seeds,)


def final_score(run: Run, axis: str, limit: float) -> float:
    """Mean return of the last tenth of the training episodes that end before `limit`; nan without any."""
    returns = curves.points_until(run, "score", axis, limit)[1]
    return float(returns[-math.ceil(FINAL_SHARE * len(returns)) :].mean()) if len(returns) else math.nan


def final_scores(runs: Runs, axis: str) -> Finals:
    """Final scores at the end of the shortest run of each task."""
    result: Finals = {}
    for task in runs.tasks:
        own = [run for run in runs.runs if run.task == task]
        limit = curves.cut(own, axis).at
        values = {v: [final_score(run, axis, limit) for run in own if run.variant == v] for v in runs.variants}
        kept = {v: np.array([value for value in seeds if not math.isnan(value)]) for v, seeds in values.items()}
        result[task] = {v: seeds for v, seeds in kept.items() if len(seeds)}
    return result


def row(interval: stats.Interval, **more: Any) -> dict:
    """A statistic with its bounds, for JSON."""
    return {**more, **{key: float(value) for key, value in interval._asdict().items()}}


def summary(scores: Finals) -> list[dict]:
    """Mean over seeds of every task and variant."""
    return [
        row(stats.bootstrap(stats.mean, [seeds]), task=task, variant=variant, seeds=len(seeds), scores=seeds.tolist())
        for task, variants in scores.items()
        for variant, seeds in variants.items()
    ]


def compared_pairs(kind: str, variants: Sequence[str], baseline: str | None) -> list[tuple[str, str]]:
    """Which variant is compared with which: a rung with the one before, any with the baseline, a few all with all."""
    if kind == "ladder":
        steps = list(zip(variants[1:], variants, strict=False))
        return steps + [(variants[-1], variants[0])] * (len(variants) > 2)
    if baseline not in variants and len(variants) <= 4:
        return [(two, one) for one, two in combinations(variants, 2)]
    base = baseline if baseline is not None and baseline in variants else variants[0]
    return [(variant, base) for variant in variants if variant != base]


def comparisons(scores: Finals, couples: list[tuple[str, str]]) -> list[dict]:
    """Difference, verdict and probability of improvement of every pair on every task."""
    found = []
    for task, variants in scores.items():
        for one, two in couples:
            if one in variants and two in variants:
                found.append({"task": task, "one": one, "two": two} | compare([variants[one]], [variants[two]]))
    return found


def compare(one: stats.Scores, two: stats.Scores) -> dict:
    """Difference of two variants on some tasks, and how likely a run of the first beats one of the second."""
    return {**stats.difference(one, two)._asdict(), "improvement": row(stats.bootstrap(stats.improvement, one, two))}


def scales(scores: Finals, first: dict[str, float]) -> dict[str, dict]:
    """Task -> what counts as 0 and 1: published constants, else the lowest start and the best final mean here."""
    result = {}
    for task, variants in scores.items():
        best = max((float(seeds.mean()) for seeds in variants.values()), default=math.nan)
        known = score_normalization.scale(task) or score_normalization.Scale(
            first[task], best, "0 lowest start, 1 best mean here"
        )
        if known.one > known.zero:
            result[task] = known._asdict()
    return result


def aggregates(scores: Finals, scales: dict[str, dict], variants: list[str], couples: list[tuple[str, str]]) -> dict:
    """Everything over several tasks: those that have a scale and a run of every variant; {} with fewer than two."""
    tasks = [task for task in scores if task in scales and set(variants) <= set(scores[task])]
    if len(tasks) < 2:
        return {}
    values = {v: [score_normalization.Scale(**scales[task])(scores[task][v]) for task in tasks] for v in variants}
    return {
        "tasks": tasks,
        "values": [
            row(stats.bootstrap(statistic, values[v]), statistic=name, variant=v)
            for name, statistic in AGGREGATES.items()
            for v in variants
        ],
        **profiles(values),
        "comparisons": [{"one": one, "two": two} | compare(values[one], values[two]) for one, two in couples],
    }


def profiles(values: dict[str, list[np.ndarray]]) -> dict:
    """Share of runs above each of some levels, with a band."""
    every = np.concatenate([task for tasks in values.values() for task in tasks])
    levels = np.linspace(min(0.0, every.min()), max(1.0, every.max()), PROFILE_LEVELS)
    bands = {v: stats.bootstrap(lambda sample: stats.profile(sample, levels), tasks) for v, tasks in values.items()}
    lists = {v: {key: part.tolist() for key, part in band._asdict().items()} for v, band in bands.items()}
    return {"levels": levels.tolist(), "profiles": lists}


def starting_scores(runs: Runs) -> dict[str, float]:
    """Task -> the lowest score with which a variant begins: mean over seeds in the first bin of its curve."""
    result = {}
    for task in runs.tasks:
        lines = curves.mean_curves([run for run in runs.runs if run.task == task], "score", "frames")[0]
        result[task] = min(float(line.mean[0]) for line in lines.values())
    return result


def reach(runs: Runs, scores: Finals, first: dict[str, float], levels: Sequence[float]) -> list[dict]:
    """Frames after which each run first reaches `levels`, or shares of the way from the lowest start to the best."""
    result = []
    for task in runs.tasks:
        lines = curves.mean_curves([run for run in runs.runs if run.task == task], "score", "frames")[0]
        best = max((float(seeds.mean()) for seeds in scores[task].values()), default=math.nan)
        for level in levels or [first[task] + share * (best - first[task]) for share in REACH_SHARES]:
            for variant, line in lines.items():
                frames = [stats.first_reached(line.x, seed, level) for seed in line.single]
                hits = [number for number in frames if math.isfinite(number)]
                middle = float(np.median(frames)) if len(hits) > len(frames) / 2 else math.inf
                result.append({"task": task, "level": level, "variant": variant, "frames": middle})
                result[-1] |= {"reached": len(hits), "seeds": len(frames)}
    return result
