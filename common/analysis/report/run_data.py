"""One run, read from its logdir."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common import safe_io
from common.analysis.reference import score_files
from common.errors import UserError
from common.safe_io import is_finite_number, parse_json
from common.storage.logdir import CONFIG_FILE, stored_config

#: Keys without which a config is not one of a run.
NEEDED = {"task": str, "seed": int, "algo": str, "batch_size": int, "batch_length": int}
COUNTED = ("frames", "updates", "wall")


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
    wrong = [key for key, kind in NEEDED.items() if not isinstance(config.get(key), kind)]
    if wrong:
        raise UserError(f"{logdir / CONFIG_FILE} lacks {', '.join(wrong)}: it is not the config of a run here.")
    metrics, scores = _metrics(logdir / "metrics.jsonl"), score_files.read_episode_scores(logdir / "scores.jsonl")
    info, evaluation = _known(_object(logdir / "run.json") or {}), _evaluation(logdir / "eval.json")
    counts = _counts(metrics, info, config["batch_size"] * config["batch_length"])
    if not (scores["train"][0] <= counts["frames"][-1]).any():
        raise UserError(f"{logdir} has no finished training episode yet.")
    name = variant or config["algo"]
    return Run(name, config["task"], config["seed"], logdir, config, scores, metrics, counts, info, evaluation)


def read_json(path: Path) -> Any:
    """Content of a JSON file. Raises UserError if it has none."""
    try:
        return safe_io.read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _object(path: Path) -> dict | None:
    """Content of a JSON file, None where there is none. Raises UserError if it is no object."""
    found = read_json(path) if path.exists() else None
    if found is not None and not isinstance(found, dict):
        raise UserError(f"{path} holds no JSON object. Restore it, or remove it.")
    return found


def _evaluation(path: Path) -> dict | None:
    """What eval.json tells, without values that it never has; None where there is none, or it lacks the mean."""
    found = {
        key: value for key, value in (_object(path) or {}).items() if is_finite_number(value) or isinstance(value, str)
    }
    return found if is_finite_number(found.get("mean")) and is_finite_number(found.get("std")) else None


def _known(info: dict) -> dict:
    """What run.json tells, without values of kinds that it never has: odd ones are as good as none."""
    sessions = info.get("sessions")
    rows = [row for row in sessions if isinstance(row, dict)] if isinstance(sessions, list) else []
    return {key: value for key, value in info.items() if is_finite_number(value)} | {"sessions": rows}


def _lines(path: Path) -> list[dict]:
    """JSON objects of a file of lines; what a running process has half written at the end does not count."""
    try:
        lines = path.read_text().split("\n")
        rows = [parse_json(line) for line in lines[:-1]]
    except FileNotFoundError:
        raise UserError(f"{path.parent} has no {path.name}: its training has not begun.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} has lines that are not JSON objects.")
    return rows


def _metrics(path: Path) -> list[dict]:
    rows = _lines(path)
    if all(is_finite_number(row.get(key)) for row in rows for key in COUNTED):
        return rows
    raise UserError(f"{path} has lines without frames, updates or wall.")


def _counts(metrics: list[dict], info: dict, batch: int) -> dict[str, np.ndarray]:
    """Counters along a run; its last save counts where it is beyond the last line of metrics."""
    rows = [[row[key] for key in COUNTED] for row in metrics]
    end = [info.get(key) for key in COUNTED]
    if all(map(is_finite_number, end)) and (not rows or end[0] > rows[-1][0]):
        rows.append(end)
    table = np.array([[0, 0, 0], *rows], float)
    frames, updates, wall = np.maximum.accumulate(table, 0).T
    return {"frames": frames, "updates": updates, "replayed": updates * batch, "wall": wall}
