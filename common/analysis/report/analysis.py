"""All numbers of a report, as plain dicts and lists: what report.json holds and what tables and figures show."""

import math
from collections.abc import Sequence
from typing import Any

from common.analysis import stats
from common.analysis.report import config_differences, crafter, curves, published_curves, scores
from common.analysis.report.run_collection import Runs
from common.analysis.report.run_data import Run
from common.config.render_mode import nonstandard_render_mode
from common.training import health

DIGITS = 6  # significant ones of numbers in report.json
TITLES = {"compare": "Comparison", "ablate": "Ablation", "ladder": "Ladder", "bench": "Benchmark", "runs": "Runs"}


def analyse(runs: Runs, levels: Sequence[float] = ()) -> dict:
    """Numbers of all sections. levels: scores for which frames are counted, instead of shares of the way."""
    kind = runs.grid.get("kind", "runs")
    axis = curves.AXIS_OF_BUDGET.get(runs.grid.get("match", "frames"), "frames")
    baseline = runs.grid.get("baseline")
    variants = runs.variants
    reached, first = scores.final_scores(runs, axis), scores.starting_scores(runs)
    couples = scores.compared_pairs(kind, variants, baseline)
    scales = scores.scales(reached, first)
    report = {
        "title": runs.grid.get("title") or f"{TITLES.get(kind, kind)} of {len(runs.runs)} runs",
        "kind": kind,
        "match": runs.grid.get("match"),
        "axis": axis,
        "baseline": baseline if baseline in variants else None,
        "variants": variants,
        "without": [name for name in runs.grid.get("variants", []) if name not in variants],
        "tasks": runs.tasks,
        "seeds": seeds(runs),
        "pairs": [list(couple) for couple in couples],
        "cuts": {task: cut(runs, task, axis) for task in runs.tasks},
        "scores": scores.summary(reached),
        "comparisons": scores.comparisons(reached, couples),
        "scales": scales,
        "aggregates": scores.aggregates(reached, scales, variants, couples),
        "reach": scores.reach(runs, reached, first, levels),
        "curves": {name: lines(runs, name) for name in curves.AXES},
        "published": published_curves.scores(runs),
        "drawn": sorted({nonstandard_render_mode(run.config) for run in runs.runs} - {""}),
        "runs": records(runs, axis),
        "health": flags(runs),
        "left_out": [missing._asdict() for missing in runs.left_out],
        "config": config_differences.differences(runs),
        "method": {
            "level": stats.CONFIDENCE,
            "resamples": stats.RESAMPLES,
            "last": scores.FINAL_SHARE,
            "enough": stats.MIN_SEEDS,
        },
    }
    if rows := crafter.summary(runs, axis):
        report["crafter"] = rows
    return plain(report)


def _of(runs: Runs, task: str) -> list[Run]:
    return [run for run in runs.runs if run.task == task]


def seeds(runs: Runs) -> dict[str, dict[str, int]]:
    """Task -> variant -> number of runs."""
    return {
        task: {v: number for v in runs.variants if (number := sum(run.variant == v for run in _of(runs, task)))}
        for task in runs.tasks
    }


def cut(runs: Runs, task: str, axis: str) -> dict:
    """Where the curves of a task end, for JSON."""
    border = curves.cut(_of(runs, task), axis)
    return border._asdict() | {"uneven": border.uneven}


def lines(runs: Runs, axis: str) -> dict[str, dict]:
    """Task -> curves of training episodes on an axis, and where they end."""
    result = {}
    for task in runs.tasks:
        drawn, border = curves.mean_curves(_of(runs, task), "score", axis)
        table = {v: {key: part.tolist() for key, part in line._asdict().items()} for v, line in drawn.items()}
        result[task] = {"cut": border._asdict() | {"uneven": border.uneven}, "curves": table}
    return result


def records(runs: Runs, axis: str) -> list[dict]:
    """The table of runs, by task, variant and seed."""
    return [record(run, curves.cut(_of(runs, run.task), axis).at, axis) for run in _sorted(runs)]


def _sorted(runs: Runs) -> list[Run]:
    return sorted(runs.runs, key=lambda run: (runs.tasks.index(run.task), runs.variants.index(run.variant), run.seed))


def flags(runs: Runs) -> list[dict]:
    """What health says of each run, a row for each flag."""
    return [
        {"variant": run.variant, "task": run.task, "seed": run.seed, **finding._asdict()}
        for run in _sorted(runs)
        for finding in health.findings(run.metrics, run.config)
    ]


def record(run: Run, limit: float, axis: str) -> dict:
    """What the table of runs says of one."""
    frames, updates, replayed, wall = (float(run.counts[key][-1]) for key in curves.AXES)
    info = run.info
    session = (info.get("sessions") or [{}])[-1]
    return {
        "variant": run.variant,
        "task": run.task,
        "seed": run.seed,
        "algo": run.config["algo"],
        "logdir": run.logdir.name,
        "score": scores.final_score(run, axis, limit),
        "evaluation": {key: run.evaluation.get(key) for key in ("mean", "std", "n", "mode", "frames")}
        if run.evaluation
        else None,
        "frames": round(frames),
        "updates": round(updates),
        "replayed_per_frame": replayed / frames if frames else math.nan,
        "wall": wall,
        "parameters": info.get("parameters"),
        "peak_memory": info.get("peak_memory"),
        "resumes": info.get("resumes"),
        **{key: session.get(key) for key in ("git", "python", "packages", "hardware", "threads", "command")},
    }


def plain(value: Any) -> Any:
    """The same with rounded numbers and None for what is not finite, as strict JSON wants it."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
