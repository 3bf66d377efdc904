"""Aggregates over tasks with the same published scale.

A task without a scale of its own is left out: its scores cannot be put next to those of other tasks. Tasks of two
scales are aggregated apart, because 0.5 of the largest return is not 0.5 of a human's score.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from common.analysis import stats
from common.analysis.report import curves
from common.analysis.report.score_normalization import Scale, accepted_scale
from common.analysis.report.scores import CurvesByTask, Finals, compare, interval_row

AGGREGATES: dict[str, Callable[[stats.Scores], np.ndarray]] = {
    "mean": stats.mean,
    "median": stats.median,
    "iqm": stats.iqm,
}
PROFILE_LEVELS = 41  # points of a performance profile
MIN_TASKS = 2

TaskScores = list[np.ndarray]  # normalised scores (seeds,) of each task


class TaskGroup(NamedTuple):
    """Tasks of one scale."""

    scale: str
    tasks: list[str]


def task_scales(tasks: Sequence[str]) -> dict[str, dict]:
    """Return task -> its published scale. Tasks without one are absent."""
    return {task: scale._asdict() for task in tasks if (scale := accepted_scale(task))}


def grouped_tasks(scores: Finals, scales: dict[str, dict], variants: list[str]) -> tuple[list[TaskGroup], list[dict]]:
    """Return the tasks to aggregate by their scale, and rows of `task` and `reason` for the others."""
    reasons: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    for task in scores:
        missing = [variant for variant in variants if variant not in scores[task]]
        if task not in scales:
            reasons[task] = "no published scores of a random policy and of a human, and no fixed largest return"
        elif missing:
            reasons[task] = f"no runs of {', '.join(missing)}"
        else:
            groups.setdefault(scales[task]["name"], []).append(task)
    for name, tasks in groups.items():
        if len(tasks) < MIN_TASKS:
            reasons[tasks[0]] = f"no second task with its scale, {name}"
    kept = [TaskGroup(name, tasks) for name, tasks in groups.items() if len(tasks) >= MIN_TASKS]
    return kept, [{"task": task, "reason": reasons[task]} for task in scores if task in reasons]


def aggregates(
    scores: Finals,
    lines: CurvesByTask,
    scales: dict[str, dict],
    groups: Sequence[TaskGroup],
    variants: list[str],
    pairs: list[tuple[str, str]],
) -> list[dict]:
    """Return the aggregates of each group of tasks. lines: learning curves of every task over frames."""
    return [_aggregate(scores, lines, scales, group, variants, pairs) for group in groups]


def _aggregate(scores, lines, scales, group: TaskGroup, variants, pairs) -> dict:
    values = {v: [Scale(**scales[task])(scores[task][v]) for task in group.tasks] for v in variants}
    return {
        **group._asdict(),
        "values": [
            interval_row(
                stats.bootstrap(statistic, values[v]),
                statistic=name,
                variant=v,
                seeds=min(map(len, values[v])),
            )
            for name, statistic in AGGREGATES.items()
            for v in variants
        ],
        **_profiles(values),
        "curves": _curves(lines, scales, group.tasks, variants),
        "comparisons": [{"one": one, "two": two} | compare(values[one], values[two]) for one, two in pairs],
    }


def _profiles(values: dict[str, TaskScores]) -> dict:
    """Return the share of runs above each of several levels, with a band."""
    every = np.concatenate([task for tasks in values.values() for task in tasks])
    levels = np.linspace(min(0.0, every.min()), max(1.0, every.max()), PROFILE_LEVELS)
    bands = {v: stats.bootstrap(lambda sample: stats.profile(sample, levels), tasks) for v, tasks in values.items()}
    return {"levels": levels.tolist(), "profiles": {v: _lists(band) for v, band in bands.items()}}


def _lists(band: stats.Interval) -> dict[str, list[float]]:
    return {key: np.asarray(part).tolist() for key, part in band._asdict().items()}


def _curves(lines: CurvesByTask, scales: dict[str, dict], tasks: list[str], variants: list[str]) -> dict[str, dict]:
    """Return mean and median -> variant -> curve over frames, from the last first point of a task to the first end.

    Empty if a variant lacks a curve, or the curves of the tasks have no frames in common.
    """
    own = [lines[task] for task in tasks]
    if not all(variant in task for task in own for variant in variants):
        return {}
    shown = [task[variant].x for task in own for variant in variants]
    begin, end = max(x[0] for x in shown), min(x[-1] for x in shown)
    if begin >= end:
        return {}
    x = np.linspace(begin, end, curves.MAX_BINS)
    found: dict[str, dict] = {"mean": {}, "median": {}}
    for variant in variants:
        seeds = [
            Scale(**scales[task])(np.array([np.interp(x, line[variant].x, seed) for seed in line[variant].single]))
            for task, line in zip(tasks, own, strict=True)
        ]
        for name, part in found.items():
            band = stats.bootstrap(lambda sample, f=AGGREGATES[name]: f([t.swapaxes(-1, -2) for t in sample]), seeds)
            mean, low, high = _lists(band).values()
            part[variant] = {"x": x.tolist(), "mean": mean, "low": low, "high": high}
    return found
