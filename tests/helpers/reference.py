"""Fake logdirs with given scores, and score files."""

import gzip
import json

import dreamer
from common.config import config as configs


def logdir(folder, algo="v3", task="dmc_walker_walk", seed=0, blocks=("dmc_proprio",), train=None, evals=None, **flags):
    """Write a run's config and scores, {frame: score} for both kinds of episodes."""
    folder.mkdir(parents=True)
    flags = {key.replace("__", "."): value for key, value in flags.items()}
    config = dreamer.resolve(algo, blocks, {"task": task, "seed": seed, "logdir": str(folder), **flags})
    configs.write(folder / "config.yaml", config)
    rows = [
        {"task": task, "method": algo, "seed": seed, "kind": kind, "xs": list(points), "ys": list(points.values())}
        for kind, points in (("train", train or {}), ("eval", evals or {}))
    ]
    (folder / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def seeds(folder, scores, **settings):
    """Write a run of 500,000 frames for each of the constant scores."""
    points = range(10_000, 510_000, 10_000)
    for seed, score in enumerate(scores):
        logdir(folder / str(seed), seed=seed, train=dict.fromkeys(points, score), **settings)
    return folder


def score_file(path, rows):
    """Write a score file of (task, method, seed, xs, ys); its name selects JSON or JSON lines, gzipped or not."""
    items = [dict(zip(("task", "method", "seed", "xs", "ys"), row, strict=True)) for row in rows]
    lines = "jsonl" in path.name
    text = "\n".join(map(json.dumps, items)) if lines else json.dumps(items)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path
