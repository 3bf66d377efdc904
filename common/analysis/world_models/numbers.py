"""All numbers of a report on world models as plain dicts and lists: the content of report.json."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from common.analysis import stats
from common.analysis.report.analysis import METHOD, to_strict_json
from common.analysis.report.config_differences import config_differences
from common.analysis.report.run_collection import Runs
from common.analysis.report.run_data import Run
from common.analysis.world_models.collection import KIND, WorldModelRun, WorldModels

SHOWN_STEPS = (1, 15)  # and the last one
BASELINES = {"mean": "mean of the training data", "last": "last observation, repeated"}
CALIBRATED = ("continue", "reward")
CONTINUE_SCORES = ("brier", "base_brier", "log_loss")


def analyse(found: WorldModels) -> dict[str, Any]:
    """Return the numbers of all sections."""
    first = found.runs[0].result
    variants, horizon = found.variants, sum(number > 0 for number in first["clips_by_step"])
    keys = list(dict.fromkeys(key for run in found.runs for key in run.result["open_loop"]))
    pairs = [(two, one) for one, two in itertools.combinations(variants, 2)]
    report = {
        "title": found.grid["title"],
        "kind": KIND,
        "variants": variants,
        "seeds": {variant: len(found.of(variant)) for variant in variants},
        "about": found.about,
        "tasks": [found.about["task"]],
        "pairs": [list(pair) for pair in pairs],
        "keys": keys,
        "images": first["images"],
        "horizon": horizon,
        "samples": first["samples"],
        "bins": first["bins"],
        "clips": first["clips"],
        "clips_by_step": first["clips_by_step"],
        "measured_episodes": first["measured_episodes"],
        "measured_records": first["measured_records"],
        "updates": sorted({run.result["updates"] for run in found.runs}),
        "batches": sorted({run.result["batches"] for run in found.runs}),
        "curves": {key: _curves(found, key) for key in keys},
        "errors": [row for key in keys for row in _errors(found, key, horizon)],
        "comparisons": [row for key in keys for row in _comparisons(found, key, pairs)],
        "one_step": [row for key in keys for row in _rows(found, "one_step", key)] + _rows(found, "kl"),
        "own_loss": _own_losses(found),
        "calibration": {head: _calibration(found, head) for head in CALIBRATED},
        "latents": [_latent_row(found, variant) for variant in variants],
        "runs": [_run_record(run) for variant in variants for run in found.of(variant)],
        "left_out": [run._asdict() for run in found.left_out],
        "config": config_differences(_as_runs(found)),
        "method": METHOD,
    }
    return to_strict_json(report)


def _curves(found: WorldModels, key: str) -> dict[str, Any]:
    """Return the error over the steps: of variants with bands over seeds, and of the predictions without a model."""
    lines = {}
    for variant in found.variants:
        steps = [run.result["open_loop"][key]["steps"] for run in found.of(variant) if key in run.result["open_loop"]]
        if steps:
            values = np.array(steps, float)
            band = stats.curve_band(values[:, np.isfinite(values).all(0)])
            x = np.flatnonzero(np.isfinite(values).all(0)) + 1
            lines[variant] = {"x": x.tolist(), "mean": band.value.tolist()} | {  # type: ignore[union-attr]
                name: np.asarray(bound).tolist() for name, bound in (("low", band.low), ("high", band.high))
            }
    return {"variants": lines, "baselines": found.runs[0].result["baselines"][key]}


def _interval(values: Sequence[float]) -> dict[str, Any]:
    """Return mean and interval of one number for each seed, and how many there are."""
    if not values:
        return {"value": None, "low": None, "high": None, "seeds": 0}
    low_high = stats.bootstrap(stats.mean, [np.array(values, float)])
    return {name: float(number) for name, number in low_high._asdict().items()} | {"seeds": len(values)}


def _errors(found: WorldModels, key: str, horizon: int) -> list[dict[str, Any]]:
    """Return the mean error over all steps, and at some steps, of each variant and each baseline."""
    places: dict[Any, Callable[[list], float | None]] = {"all": _mean_of_known}
    shown = sorted({*(step for step in SHOWN_STEPS if step < horizon), horizon})
    places |= {step: (lambda steps, step=step: steps[step - 1]) for step in shown}  # type: ignore[misc]
    rows: list[dict[str, Any]] = []
    for steps, take in places.items():
        own = lambda variant, take=take: [  # type: ignore[misc]
            take(run.result["open_loop"][key]["steps"]) for run in found.of(variant) if key in run.result["open_loop"]
        ]
        for variant in found.variants:
            values = [value for value in own(variant) if value is not None]
            rows.append({"key": key, "steps": steps, "variant": variant, **_interval(values)})
        for name, curve in found.runs[0].result["baselines"][key].items():
            level = {"value": take(curve), "low": None, "high": None, "seeds": 0}
            rows.append({"key": key, "steps": steps, "variant": BASELINES[name], "baseline": True, **level})
    return rows


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _comparisons(found: WorldModels, key: str, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return the differences of the mean open-loop error, with intervals over seeds and over held-out episodes."""
    rows = []
    for one, two in pairs:
        own = [[run.result["open_loop"].get(key) for run in found.of(variant)] for variant in (one, two)]
        if not all(part and all(part) for part in own):
            continue
        scores = [[np.array([_mean_of_known(run["steps"]) for run in part], float)] for part in own]
        effect = stats.difference(scores[0], scores[1])._asdict()
        episodes = [np.array([run["episodes"] for run in part], float).mean(0) for part in own]
        gaps = (episodes[0] - episodes[1])[np.isfinite(episodes[0] - episodes[1])]
        over = stats.bootstrap(stats.mean, [gaps])._asdict() if len(gaps) else dict.fromkeys(("value", "low", "high"))
        over = {name: number if number is None else float(number) for name, number in over.items()}
        rows.append({"key": key, "one": one, "two": two, **effect, "over_episodes": over | {"episodes": len(gaps)}})
    return rows


def _rows(found: WorldModels, name: str, key: str = "") -> list[dict[str, Any]]:
    """Return a row for each variant of a number of its runs."""
    value = lambda run: run.result[name].get(key) if key else run.result[name]
    rows = []
    for variant in found.variants:
        values = [value(run) for run in found.of(variant) if value(run) is not None]
        rows.append({"key": key or name, "variant": variant, **_interval(values)})
    return rows


def _own_losses(found: WorldModels) -> list[dict[str, Any]]:
    """Return the loss of each variant's own likelihood of each key, with the name of the likelihood."""
    rows = []
    for key in dict.fromkeys(key for run in found.runs for key in run.result["own_loss"]):
        for variant in found.variants:
            own = [run.result["own_loss"][key] for run in found.of(variant) if key in run.result["own_loss"]]
            if own:
                values = _interval([row["value"] for row in own])
                rows.append({"key": key, "variant": variant, "name": own[0]["name"], **values})
    return rows


def _calibration(found: WorldModels, head: str) -> dict[str, dict[str, Any]]:
    """Return, for each variant with the head, its bins added over seeds, and its scores with intervals."""
    table = {}
    for variant in found.variants:
        own = [run.result["calibration"][head] for run in found.of(variant) if head in run.result["calibration"]]
        if not own:
            continue
        counts, predicted, truth = (
            np.sum([run[name] for run in own], 0, dtype=float) for name in ("counts", "predicted", "truth")
        )
        known = counts > 0
        shown = lambda sums, counts=counts, known=known: [  # type: ignore[misc]
            float(total / count) if full else None for total, count, full in zip(sums, counts, known, strict=True)
        ]
        scores = ("error", "mse", *[name for name in CONTINUE_SCORES if name in own[0]])
        table[variant] = {
            "low": own[0]["low"],
            "high": own[0]["high"],
            "counts": [int(count) for count in counts],
            "predicted": shown(predicted),
            "truth": shown(truth),
            "ends": own[0].get("ends"),
            **{name: _interval([run[name] for run in own]) for name in scores},
        }
    return table


def _latent_row(found: WorldModels, variant: str) -> dict[str, Any]:
    own = [run.result["latents"] for run in found.of(variant)]
    numbers = {name: _interval([run[name] for run in own if name in run]) for name in ("information", "active")}
    classes = {name: _interval([run[name] for run in own if name in run]) for name in ("perplexity", "dead")}
    facts = {"variables": own[0]["variables"], "classes": own[0].get("classes")}
    return {"variant": variant, **facts, **numbers, **classes}


def _run_record(run: WorldModelRun) -> dict[str, Any]:
    session = run.info["sessions"][-1]
    return {
        "variant": run.variant,
        "seed": run.seed,
        "algo": run.config["algo"],
        "updates": run.result["updates"],
        "batches": run.result["batches"],
        **{key: run.info.get(key) for key in ("wall", "parameters", "peak_memory", "resumes")},
        **{key: session.get(key) for key in ("git", "python", "packages", "hardware", "threads", "command")},
    }


def _as_runs(found: WorldModels) -> Runs:
    """Return the runs in the form that the comparison of configs takes."""
    empty: dict[str, Any] = {"scores": {}, "metrics": [], "counts": {}, "info": {}, "evaluation": None}
    make = lambda run: Run(run.variant, found.about["task"], run.seed, run.logdir, run.config, **empty)
    return Runs([make(run) for variant in found.variants for run in found.of(variant)], found.grid, found.left_out)
