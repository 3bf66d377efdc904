"""One run, read from its logdir."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common import safe_io
from common.analysis.reference.score_files import read_episode_scores
from common.errors import UserError
from common.safe_io import is_finite_number, parse_json
from common.storage.logdir import CONFIG_FILE, stored_config

#: Config keys that a report needs, with their types.
REQUIRED_KEYS = {"task": str, "seed": int, "algo": str, "batch_size": int, "batch_length": int}
COUNTERS = ("frames", "updates", "wall")


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
        """Variant and seed, unique among the runs of a task."""
        return f"{self.variant}, seed {self.seed}"


def read_run(logdir: Path, variant: str | None = None) -> Run:
    """Read a logdir. Raises UserError if it is not a logdir, or a file in it is broken.

    Values of unexpected types in run.json and eval.json are ignored.
    """
    config = stored_config(logdir)
    wrong = [key for key, kind in REQUIRED_KEYS.items() if not isinstance(config.get(key), kind)]
    if wrong:
        raise UserError(f"{logdir / CONFIG_FILE} lacks {', '.join(wrong)}: it is not the config of a run.")
    metrics, scores = _read_metrics(logdir / "metrics.jsonl"), read_episode_scores(logdir / "scores.jsonl")
    stored = _read_object(logdir / "run.json")
    sessions = stored["sessions"] if isinstance(stored.get("sessions"), list) else []
    info: dict[str, Any] = {key: value for key, value in stored.items() if is_finite_number(value)}
    info["sessions"] = [session for session in sessions if isinstance(session, dict)]
    counts = _counts(metrics, info, config["batch_size"] * config["batch_length"])
    if not (scores["train"][0] <= counts["frames"][-1]).any():
        raise UserError(f"{logdir} has no finished training episode yet.")
    evaluation = _evaluation(_read_object(logdir / "eval.json"))
    name = variant or config["algo"]
    return Run(name, config["task"], config["seed"], logdir, config, scores, metrics, counts, info, evaluation)


def _evaluation(stored: dict) -> dict | None:
    """Return the numbers and texts of eval.json, with the smallest and the largest score; None without a mean."""
    result = {key: value for key, value in stored.items() if is_finite_number(value) or isinstance(value, str)}
    returns = stored.get("scores")
    if isinstance(returns, list) and returns and all(map(is_finite_number, returns)):
        result |= {"min": min(returns), "max": max(returns)}
    return result if all(is_finite_number(result.get(key)) for key in ("mean", "std")) else None


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises UserError if it cannot be read."""
    try:
        return safe_io.read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _read_object(path: Path) -> dict:
    """Return the JSON object in a file, {} if there is no file. Raises UserError if it is another value."""
    found = read_json(path) if path.exists() else {}
    if not isinstance(found, dict):
        raise UserError(f"{path} does not hold a JSON object. Restore it, or remove it.")
    return found


def _read_metrics(path: Path) -> list[dict]:
    """Return the rows of metrics.jsonl, without an incomplete last line, which a running process may be writing."""
    try:
        rows = [parse_json(line) for line in path.read_text().split("\n")[:-1]]
    except FileNotFoundError:
        raise UserError(f"{path.parent} has no {path.name}: its training has not begun.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} has lines that are not JSON objects.")
    if not all(is_finite_number(row.get(key)) for row in rows for key in COUNTERS):
        raise UserError(f"{path} has lines without frames, updates or wall.")
    return rows


def _counts(metrics: list[dict], info: dict, batch_steps: int) -> dict[str, np.ndarray]:
    """Return the counters along a run, extended to its last save if that is later than its last metrics."""
    rows = [[row[key] for key in COUNTERS] for row in metrics]
    if all(key in info for key in COUNTERS) and (not rows or info["frames"] > rows[-1][0]):
        rows.append([info[key] for key in COUNTERS])
    frames, updates, wall = np.maximum.accumulate(np.array([[0, 0, 0], *rows], float), 0).T
    return {"frames": frames, "updates": updates, "replayed": updates * batch_steps, "wall": wall}
