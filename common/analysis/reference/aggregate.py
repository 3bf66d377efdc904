"""Scores of many tasks in a few numbers, as the papers give them."""

from typing import NamedTuple

import numpy as np

from common.analysis.reference.published import constants, curves, finals, normalise


class AggregateScores(NamedTuple):
    """Mean and median of normalised scores over tasks; the mean against the human world record, and the same with
    every task cut at 1, both None without records."""

    tasks: int
    mean: float
    median: float
    record: float | None
    clipped: float | None


def summarise(scores: dict[str, float]) -> AggregateScores | None:
    """Task -> score, over the tasks that have constants to normalise by; None where none has."""
    scores = {task: score for task, score in scores.items() if normalise(task, score) is not None}
    values = [normalise(task, score) for task, score in scores.items()]
    if not values:
        return None
    found = AggregateScores(len(values), float(np.mean(values)), float(np.median(values)), None, None)
    if any(constants(task).record is None for task in scores):
        return found
    records = [normalise(task, score, "record") for task, score in scores.items()]
    return found._replace(record=float(np.mean(records)), clipped=float(np.mean(np.minimum(records, 1))))


def scoreboard(benchmark: str, tasks: list[str]) -> dict[str, dict[str, float]]:
    """Method -> task -> score on a benchmark: the last 5 % of curves, and final scores at their frames."""
    board: dict[str, dict[str, float]] = {}
    for task in tasks:
        for curve in curves(task, benchmark):
            board.setdefault(curve.method, {})[task] = curve.final[0]
        for final in finals(task, benchmark):
            budget = f" at {final.frames:.0e}".replace("e+0", "e") if final.frames else ""
            board.setdefault(f"{final.method}{budget}", {})[task] = final.score
    return board
