"""One run, read from its logdir."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.errors import UserError
from common.logdir import CONFIG, stored_config
from common.reference import scorefile

NEEDED = ("task", "seed", "algo", "batch_size", "batch_length")  # keys without which a config is not one of a run


class Run(NamedTuple):
    """One training run.

    scores: 'train' or 'eval' -> frames and returns, each (n,). metrics: rows of metrics.jsonl. counts: frames, updates,
    replayed (steps), wall (seconds) along the run, each (m,), from 0 to its end. info: run.json. evaluation: eval.json.
    """

    variant: str
    task: str
    seed: int
    logdir: Path
    config: dict
    scores: dict[str, tuple[np.ndarray, np.ndarray]]
    metrics: list[dict[str, Any]]
    counts: dict[str, np.ndarray]
    info: dict
    evaluation: dict | None

    @property
    def name(self) -> str:
        """What tells it from the other runs of its task."""
        return f"{self.variant}, seed {self.seed}"


def read_run(logdir: Path, variant: str | None = None) -> Run:
    """Reads a logdir. Raises UserError, saying what is wrong, where it is not one or a file in it is broken."""
    config = stored_config(logdir)
    missing = [key for key in NEEDED if key not in config]
    if missing:
        raise UserError(f"{logdir / CONFIG} lacks {', '.join(missing)}: it is not the config of a run here.")
    metrics, scores = _metrics(logdir / "metrics.jsonl"), scorefile.episodes(logdir / "scores.jsonl")
    if not len(scores["train"][0]):
        raise UserError(f"{logdir} has no finished training episode yet.")
    info = read_json(logdir / "run.json") if (logdir / "run.json").exists() else {}
    evaluation = read_json(logdir / "eval.json") if (logdir / "eval.json").exists() else None
    counts = _counts(metrics, info, config["batch_size"] * config["batch_length"])
    name = variant or config["algo"]
    return Run(name, config["task"], config["seed"], logdir, config, scores, metrics, counts, info, evaluation)


def read_json(path: Path) -> Any:
    """Content of a JSON file. Raises UserError if it has none."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _lines(path: Path) -> list[dict]:
    """JSON objects of a file of lines; what a running process has half written at the end does not count."""
    try:
        lines = path.read_text().split("\n")
        rows = [json.loads(line) for line in lines[:-1]]
    except FileNotFoundError:
        raise UserError(f"{path.parent} has no {path.name}: its training has not begun.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} has lines that are not JSON objects.")
    return rows


def _metrics(path: Path) -> list[dict]:
    rows = _lines(path)
    if all(isinstance(row.get(key), int | float) for row in rows for key in ("frames", "updates", "wall")):
        return rows
    raise UserError(f"{path} has lines without frames, updates or wall.")


def _counts(metrics: list[dict], info: dict, batch: int) -> dict[str, np.ndarray]:
    """Counters along a run; its last save counts where it is beyond the last line of metrics."""
    keys = ("frames", "updates", "wall")
    rows = [[row[key] for key in keys] for row in metrics]
    end = [info.get(key) for key in keys]
    if all(isinstance(value, int | float) for value in end) and (not rows or end[0] > rows[-1][0]):
        rows.append(end)
    table = np.array([[0, 0, 0], *rows], float)
    frames, updates, wall = np.maximum.accumulate(table, 0).T
    return {"frames": frames, "updates": updates, "replayed": updates * batch, "wall": wall}
