"""Crafter's score: how many of its achievements training episodes unlock, however seldom.

Hafner 2021, Benchmarking the Spectrum of Agent Capabilities: the geometric mean of the success rates in percent, with
one added to each before and taken away after.
"""

from collections.abc import Sequence

import numpy as np

from common.analysis import stats
from common.analysis.report import curves
from common.analysis.report.run_collection import Runs
from common.analysis.report.run_data import Run
from common.analysis.report.scores import row
from common.safe_io import is_finite_number

ACHIEVEMENTS = (
    "collect_coal", "collect_diamond", "collect_drink", "collect_iron", "collect_sapling", "collect_stone",
    "collect_wood", "defeat_skeleton", "defeat_zombie", "eat_cow", "eat_plant", "make_iron_pickaxe", "make_iron_sword",
    "make_stone_pickaxe", "make_stone_sword", "make_wood_pickaxe", "make_wood_sword", "place_furnace", "place_plant",
    "place_stone", "place_table", "wake_up",
)  # fmt: skip


def score(percents: Sequence[float]) -> float:
    """Success rates in percent -> exp(mean(ln(1 + rate))) - 1, from 0 to 100."""
    return float(np.expm1(np.log1p(percents).mean()))


def rates(run: Run, axis: str, limit: float) -> dict[str, float] | None:
    """Achievement -> percent of the training episodes that unlocked it, in the lines up to `limit` on an axis.

    None where nothing was written of them, as in runs of other tasks.
    """
    lines = [
        line
        for line in run.metrics
        if is_finite_number(line.get("episode/score")) and is_finite_number(line.get("episodes"))
    ]
    episodes = np.diff([0, *(line["episodes"] for line in lines)])  # each line has the means since the one before
    place = curves.axis_positions(run, axis, np.array([line["frames"] for line in lines], float))
    shares = np.array([[_share(line, name) for name in ACHIEVEMENTS] for line in lines]).reshape(-1, len(ACHIEVEMENTS))
    told = np.isfinite(shares).all(1) & (place <= limit) & (episodes > 0)
    if not told.any():
        return None
    percents = 100 * np.average(shares[told], axis=0, weights=episodes[told])
    return dict(zip(ACHIEVEMENTS, percents.tolist(), strict=True))


def _share(line: dict, name: str) -> float:
    value = line.get(f"episode/achievement_{name}", np.nan)
    return float(value) if is_finite_number(value) and 0 <= value <= 1 else np.nan


def summary(runs: Runs, axis: str) -> list[dict]:
    """Score, and mean success rates over seeds, of every variant on every task, to the end of its shortest run."""
    found = []
    for task in runs.tasks:
        own = [run for run in runs.runs if run.task == task]
        limit = curves.cut(own, axis).at
        for variant in runs.variants:
            seeds = [r for run in own if run.variant == variant and (r := rates(run, axis, limit)) is not None]
            if seeds:
                interval = stats.bootstrap(stats.mean, [np.array([score(list(seed.values())) for seed in seeds])])
                means = {name: float(np.mean([seed[name] for seed in seeds])) for name in ACHIEVEMENTS}
                found.append(row(interval, task=task, variant=variant, seeds=len(seeds), rates=means))
    return found
