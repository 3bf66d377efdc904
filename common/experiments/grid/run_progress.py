"""How far a run has come, from the files in its logdir."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from common.safe_io import is_finite_number, parse_json, read_json
from common.storage.runinfo import frames_trained, is_finished, seconds_trained

METRICS_TAIL_BYTES = 1 << 16  # bytes read from the end of a metrics file: some dozens of lines
SCORE_METRICS = ("episode/score", "eval/score")


class RunProgress(NamedTuple):
    """Frames, seconds of training, newest mean training score, frames per second; and the share of the budget."""

    frames: int = 0
    wall: float = 0.0
    score: float | None = None
    speed: float | None = None
    share: float = 0.0

    @property
    def total(self) -> float | None:
        """Seconds that the whole run will have taken, as far as one can tell."""
        return self.wall / self.share if self.share > 0 and self.wall > 0 else None


def read_progress(logdir: Path, config: dict) -> RunProgress:
    """Reads the end of `metrics.jsonl`, and `run.json`, which knows of the last save."""
    last = latest_values(logdir / "metrics.jsonl")
    frames = max(int(last.get("frames", 0)), frames_trained(logdir))
    wall = max(last.get("wall", 0.0), seconds_trained(logdir))
    score = next((last[name] for name in SCORE_METRICS if name in last), None)
    limit = config["run"]["max_seconds"]
    share = min(1.0, max(frames / config["steps"], wall / limit if limit else 0.0))
    return RunProgress(frames, wall, score, last.get("fps/env"), share)


def latest_values(path: Path) -> dict[str, float]:
    """The last value of every name in the end of a file of JSON lines; empty without a file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - METRICS_TAIL_BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return {}
    values: dict[str, float] = {}
    for line in lines:
        try:
            values |= finite_numbers(parse_json(line))
        except ValueError:  # the first line may be cut off, the last one half written
            continue
    return values


def finite_numbers(row: Any) -> dict[str, float]:
    """Those values of a line that are numbers."""
    return {key: value for key, value in row.items() if is_finite_number(value)} if isinstance(row, dict) else {}


def is_trained(logdir: Path, config: dict) -> bool:
    """Whether the run is finished, as training itself would find."""
    return is_finished(config, frames_trained(logdir), seconds_trained(logdir))


def is_evaluated(logdir: Path, episodes: int) -> bool:
    """Whether the newest evaluation is of the run as it stands, over so many episodes."""
    try:
        found = read_json(logdir / "eval.json")
        return (found["frames"], found["n"]) == (frames_trained(logdir), episodes)
    except (OSError, ValueError, TypeError, LookupError):
        return False
