"""Crafter's score, from how often training episodes unlock each of its achievements.

Hafner 2021, Benchmarking the Spectrum of Agent Capabilities: the geometric mean of the success rates in percent, with 1
added to each rate before and subtracted from the mean after.
"""

from collections.abc import Sequence

import numpy as np

from common.analysis import stats
from common.analysis.report import curves
from common.analysis.report.run_collection import Runs
from common.analysis.report.run_data import Run
from common.analysis.report.scores import interval_row
from common.safe_io import is_finite_number

ACHIEVEMENTS = (
    "collect_coal", "collect_diamond", "collect_drink", "collect_iron", "collect_sapling", "collect_stone",
    "collect_wood", "defeat_skeleton", "defeat_zombie", "eat_cow", "eat_plant", "make_iron_pickaxe", "make_iron_sword",
    "make_stone_pickaxe", "make_stone_sword", "make_wood_pickaxe", "make_wood_sword", "place_furnace", "place_plant",
    "place_stone", "place_table", "wake_up",
)  # fmt: skip


def crafter_score(percents: Sequence[float]) -> float:
    """Return exp(mean(ln(1 + rate))) - 1, from 0 to 100, of success rates in percent."""
    return float(np.expm1(np.log1p(percents).mean()))


def success_rates(run: Run, axis: str, limit: float) -> dict[str, float] | None:
    """Return achievement -> percent of the training episodes that unlocked it, in the metrics up to `limit` on an axis.

    None if the metrics do not have achievements, as in runs of other tasks.
    """
    lines = [row for row in run.metrics if all(is_finite_number(row.get(key)) for key in ("episode/score", "episodes"))]
    episodes = np.diff([0, *(line["episodes"] for line in lines)])  # each line has the means since the line before
    place = curves.axis_positions(run, axis, np.array([line["frames"] for line in lines], float))
    shares = np.array([[_share(line, name) for name in ACHIEVEMENTS] for line in lines]).reshape(-1, len(ACHIEVEMENTS))
    counted = np.isfinite(shares).all(1) & (place <= limit) & (episodes > 0)
    if not counted.any():
        return None
    percents = 100 * np.average(shares[counted], axis=0, weights=episodes[counted])
    return dict(zip(ACHIEVEMENTS, percents.tolist(), strict=True))


def _share(line: dict, name: str) -> float:
    value = curves.metric_value(line, f"env/achievement_{name}")
    return float(value) if is_finite_number(value) and 0 <= value <= 1 else np.nan


def crafter_rows(runs: Runs, axis: str) -> list[dict]:
    """Return score and mean success rates of every variant on every task, up to the end of its shortest run."""
    found = []
    for task in runs.tasks:
        limit = curves.cut_off(runs.on(task), axis).at
        for variant in runs.variants:
            rates = [success_rates(run, axis, limit) for run in runs.on(task) if run.variant == variant]
            seeds = [rate for rate in rates if rate is not None]
            if seeds:
                scores = np.array([crafter_score(list(rate.values())) for rate in seeds])
                means = {name: float(np.mean([rate[name] for rate in seeds])) for name in ACHIEVEMENTS}
                about = {"task": task, "variant": variant, "seeds": len(seeds), "rates": means}
                found.append(interval_row(stats.bootstrap(stats.mean, [scores]), **about))
    return found
