"""Aggregates of scores over many tasks, as the papers report them."""

from typing import NamedTuple

import numpy as np

from common.analysis.reference.published import constants, curves, finals, normalise


class AggregateScores(NamedTuple):
    """Mean and median over tasks of normalised scores.

    record: mean relative to the human world record; clipped: the same with every task clipped at 1. Both are None if a
    task has no record.
    """

    tasks: int
    mean: float
    median: float
    record: float | None
    clipped: float | None


def summarise(scores: dict[str, float]) -> AggregateScores | None:
    """Aggregate task -> score over the tasks that have normalisation constants; return None if none has."""
    scores = {task: score for task, score in scores.items() if normalise(task, score) is not None}
    values = [normalise(task, score) for task, score in scores.items()]
    if not values:
        return None
    record = clipped = None
    if all(constants(task).record is not None for task in scores):
        records = [normalise(task, score, "record") for task, score in scores.items()]
        record, clipped = float(np.mean(records)), float(np.mean(np.minimum(records, 1)))
    return AggregateScores(len(values), float(np.mean(values)), float(np.median(values)), record, clipped)


def scoreboard(benchmark: str, tasks: list[str]) -> dict[str, dict[str, float]]:
    """Return method -> task -> score on a benchmark: the last 5 % of curves, and final scores with their frames.

    Of several final scores of a method on a task, the one over the most runs is taken. Quantities other than the score
    of the benchmark are left out.
    """
    board: dict[str, dict[str, float]] = {}
    for task in tasks:
        for curve in curves(task, benchmark):
            board.setdefault(curve.method, {})[task] = curve.final[0]
        for final in sorted(finals(task, benchmark), key=lambda final: final.seeds):
            if final.metric:
                continue
            budget = f" at {final.frames:.2g}".replace("e+0", "e") if final.frames else ""
            board.setdefault(f"{final.method}{budget}", {})[task] = final.score
    return board
