"""Reader of score files, as Dreamer's official repositories publish them and as runs of this repository write them.

A score file is a JSON list, or JSON lines, of {task, method, seed, xs, ys} with the frames and scores of one run each,
gzipped or not. Runs of this repository add `kind`: train or eval episodes.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.analysis.reference import data
from common.analysis.reference.binning import average_of_ends, bin_edges, bin_means, pool_runs
from common.analysis.reference.published import EPISODES, PublishedCurve, describe_protocol
from common.analysis.reference.task_names import find
from common.errors import UserError
from common.safe_io import decompress_gzip, parse_json, read_bytes

EPISODE_KINDS = ("train", "eval")
EXPECTED_FORMAT = "Expected a JSON list or JSON lines of {task, method, seed, xs, ys}, with or without gzip."


class RawScores(NamedTuple):
    """Scores ys (points,) of one run at frames xs (points,); kind: "train", "eval", or "" if the file has none."""

    task: str
    method: str
    seed: str
    kind: str
    xs: np.ndarray
    ys: np.ndarray


def read_score_file(path: Path) -> list[RawScores]:
    """Read the runs of a score file. Raises UserError if it is damaged or not a score file."""
    try:
        return [_parse_run(row) for row in _decode(decompress_gzip(read_bytes(path)))]
    except ValueError as error:
        raise UserError(f"{path} is not a score file: {error}. {EXPECTED_FORMAT}") from error
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}. Check the path.") from error


def read_episode_scores(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return "train" and "eval" -> frames and scores, each (points,), from the score file of one run.

    Raises UserError if the file is damaged or not a score file.
    """
    points = {raw.kind: (raw.xs, raw.ys) for raw in read_score_file(path)}
    return {kind: points.get(kind, (np.zeros(0), np.zeros(0))) for kind in EPISODE_KINDS}


def curves(path: Path, benchmark: str = "") -> list[PublishedCurve]:
    """Return the curves of a score file, one for each task, method and kind of episode.

    benchmark: needed if the task names fit several. The official files of the V3 of 2023 are recognised by their names,
    since their labels are those of the Nature paper. Raises UserError if the file is not a score file, or if the
    benchmark is ambiguous.
    """
    groups: dict[tuple[str, str, str], list[RawScores]] = {}
    for run in read_score_file(path):
        if len(run.xs) > 1 and run.xs.any():
            groups.setdefault((run.task, run.method, run.kind), []).append(run)
    if not groups:
        raise UserError(f"{path} has no run with more than one score. {EXPECTED_FORMAT}")
    limits: dict[str, float] = {}
    for (_, method, _), runs in groups.items():
        limits[method] = max(limits.get(method, 0.0), *(run.xs.max() for run in runs))
    return [_curve(path, runs, bin_edges(limits[key[1]]), benchmark) for key, runs in groups.items()]


def _decode(content: bytes) -> list:
    text = content.decode()
    try:
        rows = parse_json(text)
    except json.JSONDecodeError:
        rows = [parse_json(line) for line in text.splitlines() if line.strip()]
    rows = [rows] if isinstance(rows, dict) else rows
    if not isinstance(rows, list) or not rows:
        raise ValueError("it does not hold a list of runs")
    return rows


def _parse_run(row: Any) -> RawScores:
    if not isinstance(row, dict) or not {"task", "method", "xs", "ys"} <= set(row):
        raise ValueError("a run lacks task, method, xs or ys")
    xs, ys = row["xs"], row["ys"]
    if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
        raise ValueError("xs and ys of a run are not lists of the same length")
    number = lambda value: isinstance(value, int | float) and not isinstance(value, bool)
    if not all(number(x) and 0 <= x < math.inf for x in xs) or not all(y is None or number(y) for y in ys):
        raise ValueError("xs and ys of a run are not all numbers")
    names = (str(row["task"]), str(row["method"]), str(row.get("seed", "")), str(row.get("kind", "")))
    kept = [i for i, y in enumerate(ys) if y is not None and math.isfinite(y)]
    return RawScores(*names, np.array(xs, float)[kept], np.array(ys, float)[kept])


def _curve(path: Path, runs: list[RawScores], edges: np.ndarray, benchmark: str) -> PublishedCurve:
    catalogue, label, kind = data.load("catalogue"), runs[0].method, runs[0].kind
    official = _official_entry(path) or {"method": catalogue["labels"].get(label, label), "benchmark": ""}
    method = official["method"]
    place, task = _benchmark_and_task(path, runs[0].task, benchmark or official["benchmark"])
    mean, std, n = pool_runs(np.array([bin_means(run.xs, run.ys, edges) for run in runs]))
    known = n > 0
    entry = next((entry for entry in data.entries(place) if entry["method"] == method), None)
    algo = next((one["algo"] for one in catalogue["methods"] if one["method"] == method), method)
    blocks = [one["blocks"] for one in (entry, *data.entries(place)) if algo and one and one["blocks"]]
    protocol = describe_protocol(entry["protocol"]) if entry and not kind else EPISODES.get(kind, EPISODES[""])
    return PublishedCurve(
        method=method,
        benchmark=place,
        budget=edges[-1],
        x=edges[known],
        mean=mean[known],
        std=std[known],
        n=n[known],
        seeds=len(runs),
        source=str(path),
        protocol=f"{protocol}; {len(runs)} runs",
        task=task,
        final=average_of_ends([(run.xs, run.ys) for run in runs], edges[-1]),
        algo=algo,
        blocks=tuple(blocks[0]) if blocks else (),
        episodes=kind or (entry["protocol"]["episodes"] if entry else ""),
    )


def _official_entry(path: Path) -> dict | None:
    """Return the entry of a version of Dreamer whose score file has this name in a repository's earlier revision."""
    for entry in data.load("catalogue")["methods"]:
        names = [entry["scores"].rpartition("/")[2], *entry.get("aliases", ())]
        if entry["algo"] and "commit" in entry and path.name in names:
            return entry
    return None


def _benchmark_and_task(path: Path, task: str, benchmark: str) -> tuple[str, str]:
    """Return benchmark and name of a task in a file; a task that is not in the tables keeps its name.

    Without `benchmark`, the file name may give it, as in the official dmc_vision-drqv2.json.gz.
    """
    name = path.name.replace("-", "_")
    hint = benchmark or max((b for b in data.benchmarks() if name.startswith(b)), key=len, default="")
    found = find(task, hint) or ([] if benchmark else find(task))
    if len(found) > 1:
        choices = " or ".join(place for place, _ in found)
        raise UserError(f"{path}: the benchmark of {task} is ambiguous. Add --benchmark {choices}.")
    return found[0] if found else (benchmark or task.partition("_")[0], task)
