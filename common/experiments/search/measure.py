"""The value of a run after each tenth of its frames, read from its metrics."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.safe_io import is_finite_number, parse_json

RUNGS = 10  # parts of a run, after each of which a trial can be pruned
SCORE = "score"
LESS_IS_BETTER = ("loss/", "openloop/", "grad/")  # groups of metrics


def metric_name(metric: str, config: dict[str, Any]) -> str:
    """Return the name in metrics.jsonl: `score` is that of evaluations if there are any, else that of training."""
    run = config["run"]
    evaluated = run["eval_every"] and run["eval_episodes"] and run["eval_every"] * RUNGS <= config["steps"]
    return metric if metric != SCORE else "eval/score" if evaluated else "episode/score"


def find_direction(direction: str, metric: str) -> str:
    """Return 'maximize' or 'minimize' for --direction."""
    if direction != "auto":
        return direction
    return "minimize" if metric.startswith(LESS_IS_BETTER) else "maximize"


def rung_values(logdir: Path, metric: str, steps: int) -> dict[int, float]:
    """Return rung -> mean of the metric over that tenth of a run of `steps` frames, for the tenths that are complete.

    A tenth is complete once a line with its last frame or a later one is written. One without the metric is left out.
    """
    points, reached = read_points(logdir / "metrics.jsonl", metric)
    found: dict[int, list[float]] = {}
    for frames, value in points:
        found.setdefault(min(RUNGS, max(1, math.ceil(frames * RUNGS / steps))), []).append(value)
    complete = reached * RUNGS // steps
    return {rung: sum(values) / len(values) for rung, values in sorted(found.items()) if rung <= complete}


def final_value(logdir: Path, metric: str, steps: int) -> float:
    """Return the value of a finished run: the mean over its last tenth, or over the last tenth with the metric.

    Raises UserError if the run never logged the metric.
    """
    points, reached = read_points(logdir / "metrics.jsonl", metric)
    values = rung_values(logdir, metric, max(1, min(steps, reached)))
    if not points or not values:
        raise UserError(f"It has no {metric} in metrics.jsonl. Train longer, or choose another --metric.")
    return values[max(values)]


def read_points(path: Path, metric: str) -> tuple[list[tuple[int, float]], int]:
    """Return (frames, value) of each line with the metric, and the frames of the last line."""
    points, reached = [], 0
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return [], 0
    for line in lines:
        try:
            row = parse_json(line)
        except ValueError:  # half written
            continue
        reached = max(reached, int(row["frames"]))
        if is_finite_number(value := row.get(metric)):
            points.append((int(row["frames"]), float(value)))
    return points, reached


def common_rungs(runs: Sequence[dict[int, float]]) -> dict[int, float]:
    """Return rung -> mean over runs, for the rungs that all of them have."""
    shared = set.intersection(*map(set, runs)) if runs else set()
    return {rung: sum(run[rung] for run in runs) / len(runs) for rung in sorted(shared)}
