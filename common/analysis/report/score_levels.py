"""Levels that give scores their meaning: a random policy, a human, the human record, the largest return of a task."""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from common.analysis.reference import constants
from common.analysis.report.run_collection import Runs
from common.analysis.report.run_data import Run
from common.analysis.report.score_normalization import DMC_MAX_RETURN
from common.config.config import flatten

MIN_RANDOM_EPISODES = 5  # of all runs of a task, to measure the score of a random policy
DMC_STEPS = 1000  # time limit to which the largest return in DeepMind Control applies

#: Pattern of a task -> largest return, from the number of steps in its name. Time limits of a config change it.
LARGEST_RETURNS: dict[str, Callable[[int], float]] = {
    r"dummy_(?:bandit|cliff|onehot)\D*?(?P<steps>\d*)\D*": float,
    r"dummy_counter.*": lambda _: 1.0,
    r"gym_CartPole-v0": lambda _: 200.0,
    r"gym_CartPole-v1": lambda _: 500.0,
    r"gym_Pendulum-v1": lambda _: 0.0,
    r"minigrid_.*": lambda _: 1.0,
}
DEFAULT_STEPS = {"bandit": 10, "cliff": 20, "onehot": 20}  # length of an episode without a number in its name


class ScoreLevels(NamedTuple):
    """Known scores of a task, None if unknown.

    episodes: number of episodes that the random policy's score was measured in; 0 for a published score.
    """

    random: float | None = None
    human: float | None = None
    record: float | None = None
    maximum: float | None = None
    episodes: int = 0


def score_levels(runs: Runs, task: str) -> ScoreLevels:
    """Return the known levels of a task.

    The score of a random policy is the published one, else the mean of the episodes in the prefill of these runs,
    which act at random.
    """
    known, own = constants(task), runs.on(task)
    limits = {_time_limit(run) for run in own}
    maximum = largest_return(task, limits.pop()) if len(limits) == 1 else None
    returns = np.concatenate([random_returns(run) for run in own])
    if known.random is not None or len(returns) < MIN_RANDOM_EPISODES:
        return ScoreLevels(known.random, known.human, known.record, maximum)
    return ScoreLevels(float(returns.mean()), known.human, known.record, maximum, len(returns))


def largest_return(task: str, time_limit: int = 0) -> float | None:
    """Return the largest return of an episode, None if unknown. time_limit: of the config, 0 for the task's own."""
    if task.startswith("dmc_"):
        return DMC_MAX_RETURN if time_limit in (0, DMC_STEPS) else None
    for pattern, bound in LARGEST_RETURNS.items():
        if not time_limit and (match := re.fullmatch(pattern, task)):
            steps = match.groupdict().get("steps")
            return bound(int(steps) if steps else DEFAULT_STEPS.get(task.split("_")[1], 0))
    return None


def random_returns(run: Run) -> np.ndarray:
    """Return the returns (n,) of the training episodes that ended in the prefill."""
    steps = flatten(run.config).get("run.prefill", 0)
    rows = [row for row in run.metrics if isinstance(row.get("agent_steps"), int | float) and row["agent_steps"] > 0]
    repeat = rows[0]["frames"] / rows[0]["agent_steps"] if rows else 1.0
    frames, returns = run.scores["train"]
    return returns[frames <= (steps if isinstance(steps, int | float) else 0) * repeat]


def _time_limit(run: Run) -> int:
    limit = flatten(run.config).get("env.time_limit", 0)
    return limit if isinstance(limit, int) else 0
