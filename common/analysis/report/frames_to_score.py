"""Frames until a run reaches a score, for scores that a random policy does not reach."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from common.analysis import stats
from common.analysis.report import curves
from common.analysis.report.formatting import score
from common.analysis.report.run_collection import Runs
from common.analysis.report.score_levels import ScoreLevels
from common.analysis.report.scores import CurvesByTask, best_mean, final_returns, final_scores

REACH_SHARES = (0.5, 0.75, 0.9)  # of the way from the random policy's score to the best one
ERRORS = 2.0  # standard errors by which a score must be above the score of a random policy


class BaseLevel(NamedTuple):
    """The score without learning, its name, and the difference that chance may make."""

    value: float
    name: str
    noise: float


class Reached(NamedTuple):
    """Rows of the table of frames to a score, and rows of `task` and `reason` for scores that are not in it."""

    rows: list[dict]
    left_out: list[dict]


def frames_to_scores(
    runs: Runs, lines: CurvesByTask, known: dict[str, ScoreLevels], levels: Sequence[float] = ()
) -> Reached:
    """Return the median frames over seeds until each variant reaches `levels`.

    Without `levels`, these are shares of the way from the score without learning to the best final mean. Scores that
    are not above the score without learning by more than chance are left out, because they say nothing of learning.
    """
    finals, rows, left_out = final_scores(runs, "frames"), [], []
    for task, curves_of_task in lines.items():
        best = max(finals[task], key=lambda variant: float(finals[task][variant].mean()), default="")
        base = _base_level(runs, task, best, curves_of_task, known[task])
        limit, highest = base.value + base.noise, best_mean(finals[task])
        if not levels and not highest > limit:
            reason = f"no final score is above {base.name} ({score(base.value)}) by more than chance"
            left_out.append({"task": task, "reason": f"{reason}; the best is {score(highest)}"})
            continue
        limit = base.value if math.isinf(limit) else limit  # a score that the user asks for, with too few episodes
        wanted = levels or [base.value + share * (highest - base.value) for share in REACH_SHARES]
        for level in wanted:
            if level > limit:
                rows += _rows(runs, task, level, curves_of_task)
            else:
                reason = f"{score(level)} is not above {base.name} ({score(base.value)}) by more than chance"
                left_out.append({"task": task, "reason": reason})
    return Reached(rows, left_out)


def _rows(runs: Runs, task: str, level: float, lines: dict[str, curves.MeanCurve]) -> list[dict]:
    """Return a row for each variant. A run whose final score is high enough has reached it at its last bin."""
    end, found = curves.cut_off(runs.on(task), "frames").at, []
    for variant, line in lines.items():
        own = [run for run in runs.on(task) if run.variant == variant]
        frames = [stats.first_reached(line.x, seed, level) for seed in line.single]
        for i, run in enumerate(own):
            returns = final_returns(run, "frames", end)
            if math.isinf(frames[i]) and len(returns) and returns.mean() >= level:
                frames[i] = float(line.x[-1])
        reached = sum(map(math.isfinite, frames))
        median = float(np.median(frames)) if reached > len(frames) / 2 else math.inf
        row = {"task": task, "level": level, "variant": variant, "frames": median}
        found.append(row | {"reached": reached, "seeds": len(frames)})
    return found


def _base_level(runs: Runs, task: str, best: str, lines: dict[str, curves.MeanCurve], known: ScoreLevels) -> BaseLevel:
    """Return the score of a random policy, else the lowest start of a variant.

    The noise is ERRORS standard errors of the difference between the first and the last episodes of the best variant.
    It is infinite with too few episodes to show a spread.
    """
    start = min((float(line.mean[0]) for line in lines.values()), default=math.nan)
    value, name = (start, "the lowest start") if known.random is None else (known.random, "that of a random policy")
    end, own = curves.cut_off(runs.on(task), "frames").at, [run for run in runs.on(task) if run.variant == best]
    if best not in lines:
        return BaseLevel(value, name, math.inf)
    first = np.concatenate([curves.points_until(run, "score", "frames", lines[best].x[0])[1] for run in own])
    last = np.concatenate([final_returns(run, "frames", end) for run in own])
    freedom = len(first) + len(last) - 2
    if not len(first) or not len(last) or freedom < 1:
        return BaseLevel(value, name, math.inf)
    variance = (np.square(first - first.mean()).sum() + np.square(last - last.mean()).sum()) / freedom
    return BaseLevel(value, name, ERRORS * math.sqrt(variance * (1 / len(first) + 1 / len(last))))
