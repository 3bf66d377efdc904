"""All numbers of a report as plain dicts and lists: the content of report.json."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from common.analysis import stats
from common.analysis.report import aggregates, crafter, curves, scores
from common.analysis.report.config_differences import config_differences
from common.analysis.report.formatting import plural
from common.analysis.report.frames_to_score import frames_to_scores
from common.analysis.report.published_curves import published_curves
from common.analysis.report.run_collection import Runs
from common.analysis.report.run_data import Run
from common.analysis.report.score_levels import score_levels
from common.analysis.training_amounts import TrainingAmount, mean_amounts
from common.config.render_mode import nonstandard_render_mode
from common.storage.grid_file import lost_workers
from common.training import health

JSON_DIGITS = 6
EVALUATION_KEYS = ("mean", "std", "min", "max", "n", "mode", "frames")
TITLES = {"compare": "Comparison of", "ablate": "Ablation with", "ladder": "Ladder of", "bench": "Benchmark with"}
#: Constants of the statistics: confidence, bootstrap samples, share of a run that gives its final score, fewest seeds.
METHOD = {
    "level": stats.CONFIDENCE,
    "resamples": stats.RESAMPLES,
    "last": scores.FINAL_SHARE,
    "enough": stats.MIN_SEEDS,
}


def analyse(runs: Runs, levels: Sequence[float] = ()) -> dict:
    """Return the numbers of all sections.

    levels: scores for the frames to a score, instead of shares of the way from a random policy to the best.
    """
    kind = runs.grid.get("kind", "runs")
    axis = curves.AXIS_OF_BUDGET.get(runs.grid.get("match", "frames"), "frames")
    baseline, variants = runs.grid.get("baseline"), runs.variants
    found = {
        name: {task: curves.mean_curves(runs.on(task), "score", name) for task in runs.tasks} for name in curves.AXES
    }
    over_frames = {task: lines for task, (lines, _) in found["frames"].items()}
    finals, known = scores.final_scores(runs, axis), {task: score_levels(runs, task) for task in runs.tasks}
    pairs, scales = scores.compared_pairs(kind, variants, baseline), aggregates.task_scales(runs.tasks)
    groups, alone = aggregates.grouped_tasks(finals, scales, variants)
    reached = frames_to_scores(runs, over_frames, known, levels)
    lines = {name: {task: _curve_records(*part) for task, part in parts.items()} for name, parts in found.items()}
    ordered = sorted(runs.runs, key=lambda run: (runs.tasks.index(run.task), variants.index(run.variant), run.seed))
    ends = {task: line["cut"] for task, line in lines[axis].items()}
    report = _description(runs, axis) | {
        "pairs": [list(pair) for pair in pairs],
        "cuts": ends,
        "scores": scores.score_rows(finals),
        "training": [row._asdict() for row in _training_amounts(ordered, axis, ends)],
        "comparisons": scores.comparisons(finals, pairs),
        "levels": {task: row._asdict() for task, row in known.items()},
        "scales": scales,
        "aggregates": aggregates.aggregates(finals, over_frames, scales, groups, variants, pairs),
        "not_aggregated": alone if len(runs.tasks) > 1 else [],
        "reach": reached.rows,
        "reach_left_out": reached.left_out,
        "curves": lines,
        "published": published_curves(runs),
        "drawn": sorted({nonstandard_render_mode(run.config) for run in runs.runs} - {""}),
        "runs": [_run_record(run, ends[run.task]["at"], axis) for run in ordered],
        "health": _health_findings(ordered),
        "left_out": [run._asdict() for run in runs.left_out],
        "config": config_differences(runs),
        "method": METHOD,
    }
    if rows := crafter.crafter_rows(runs, axis):
        report["crafter"] = rows
    if lost := _lost_workers(ordered):
        report["lost_workers"] = lost
    return to_strict_json(report)


def _description(runs: Runs, axis: str) -> dict:
    """Return what was run: kind of comparison, variants, tasks, seeds."""
    kind, baseline, variants = runs.grid.get("kind", "runs"), runs.grid.get("baseline"), runs.variants
    return {
        "title": runs.grid.get("title") or f"{TITLES.get(kind, 'Report on')} {plural(len(runs.runs), 'run')}",
        "kind": kind,
        "match": runs.grid.get("match"),
        "axis": axis,
        "baseline": baseline if baseline in variants else None,
        "variants": variants,
        "own": runs.grid.get("own", {}),
        "without": [name for name in runs.named_in_grid if name not in variants],
        "tasks": runs.tasks,
        "seeds": {task: _seed_counts(runs, task) for task in runs.tasks},
    }


def _lost_workers(runs: Sequence[Run]) -> list[dict]:
    """Return the runs that were started again, with the machines whose workers were lost."""
    return [
        {"variant": run.variant, "task": run.task, "seed": run.seed, "machines": machines}
        for run in runs
        if (machines := lost_workers(run.logdir))
    ]


def _health_findings(runs: Sequence[Run]) -> list[dict]:
    """Return the findings of all runs on their metrics."""
    return [
        {"variant": run.variant, "task": run.task, "seed": run.seed, **finding._asdict()}
        for run in runs
        for finding in health.findings(run.metrics, run.config)
    ]


def _training_amounts(runs: Sequence[Run], axis: str, ends: dict[str, Any]) -> list[TrainingAmount]:
    """Return the amounts of training of each variant on each task, where its final score is taken."""
    at_end = lambda run, field: float(np.interp(ends[run.task]["at"], run.counts[axis], run.counts[field]))
    return mean_amounts(
        TrainingAmount(run.variant, run.task, at_end(run, "updates"), at_end(run, "replayed")) for run in runs
    )


def _seed_counts(runs: Runs, task: str) -> dict[str, int]:
    """Return variant -> number of runs on a task."""
    names = [run.variant for run in runs.on(task)]
    return {variant: names.count(variant) for variant in runs.variants if variant in names}


def _curve_records(lines: dict[str, curves.MeanCurve], end: curves.CutOff) -> dict:
    """Return the curves of a task as lists, and their end."""
    table = {variant: {key: part.tolist() for key, part in line._asdict().items()} for variant, line in lines.items()}
    return {"cut": end._asdict() | {"uneven": end.uneven}, "curves": table}


def _run_record(run: Run, limit: float, axis: str) -> dict:
    """Return a row of the table of runs."""
    frames, updates, replayed, wall = (float(run.counts[key][-1]) for key in curves.AXES)
    session = (run.info.get("sessions") or [{}])[-1]
    result = run.evaluation
    return {
        "variant": run.variant,
        "task": run.task,
        "seed": run.seed,
        "algo": run.config["algo"],
        "logdir": run.logdir.name,
        "score": scores.final_score(run, axis, limit),
        "episodes": _spread(scores.final_returns(run, axis, limit)),
        "evaluation": result and {key: result.get(key) for key in EVALUATION_KEYS},
        "frames": round(frames),
        "updates": round(updates),
        "replayed_per_frame": replayed / frames if frames else math.nan,
        "wall": wall,
        **{key: run.info.get(key) for key in ("parameters", "peak_memory", "resumes")},
        **{key: session.get(key) for key in ("git", "python", "packages", "hardware", "threads", "command")},
    }


def _spread(returns: np.ndarray) -> dict | None:
    """Return number, deviation, smallest and largest of episode returns (n,); None without episodes."""
    if not len(returns):
        return None
    return {"n": len(returns), "std": float(returns.std()), "min": float(returns.min()), "max": float(returns.max())}


def to_strict_json(value: Any) -> Any:
    """Return the value with rounded numbers, and None for numbers that are not finite."""
    if isinstance(value, dict):
        return {str(key): to_strict_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_strict_json(entry) for entry in value]
    if isinstance(value, float):
        return float(f"{value:.{JSON_DIGITS}g}") if math.isfinite(value) else None
    return value
