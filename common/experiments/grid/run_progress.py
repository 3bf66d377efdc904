"""Progress of a run, read from the files in its run directory."""

import os
from pathlib import Path
from typing import NamedTuple

from common.safe_io import is_finite_number, parse_json, read_json
from common.storage.runinfo import frames_trained, is_finished, seconds_trained, updates_made

METRICS_TAIL_BYTES = 1 << 16  # read from the end of a metrics file: some dozens of lines
SCORE_METRICS = ("episode/score", "eval/score")


class RunProgress(NamedTuple):
    """Frames, seconds of training, latest mean training score, frames per second, and the share of the budget.

    left: seconds until the end of the run, by its own estimate; None before it has one. updates: made so far.
    """

    frames: int = 0
    wall: float = 0.0
    score: float | None = None
    speed: float | None = None
    share: float = 0.0
    left: float | None = None
    updates: int = 0

    @property
    def total(self) -> float | None:
        """Seconds of the whole run, estimated until it is over; None if unknown."""
        if self.share >= 1:
            return self.wall or None
        return None if self.left is None else self.wall + self.left


def read_progress(logdir: Path, config: dict) -> RunProgress:
    """Read the end of `metrics.jsonl`, and `run.json` with the state of the last save."""
    last = latest_values(logdir / "metrics.jsonl")
    frames = max(int(last.get("frames", 0)), frames_trained(logdir))
    wall = max(last.get("wall", 0.0), seconds_trained(logdir))
    score = next((last[name] for name in SCORE_METRICS if name in last), None)
    limit = config["run"]["max_seconds"]
    share = min(1.0, max(frames / config["steps"], wall / limit if limit else 0.0))
    left = last.get("time/left")
    if left is not None:
        left = max(0.0, left - (wall - last.get("wall", wall)))
    if share < 1 and not left:  # of the end of a run that was made longer since
        left = None
    updates = max(int(last.get("updates", 0)), updates_made(logdir))
    return RunProgress(frames, wall, score, last.get("fps/env"), share, left, updates)


def latest_values(path: Path) -> dict[str, float]:
    """Return the last number of each name at the end of a JSON lines file; empty if the file does not exist."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - METRICS_TAIL_BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return {}
    values: dict[str, float] = {}
    for line in lines:
        try:
            row = parse_json(line)
        except ValueError:  # the first line may be cut off, the last one half written
            continue
        if isinstance(row, dict):
            if "fps/env" in row:  # this line has the newest estimate, if there is one
                values.pop("time/left", None)
            values |= {key: value for key, value in row.items() if is_finite_number(value)}
    return values


def is_trained(logdir: Path, config: dict) -> bool:
    """Whether the run has used up its budget, by the rule of training itself."""
    return is_finished(config, frames_trained(logdir), seconds_trained(logdir))


def is_evaluated(logdir: Path, episodes: int) -> bool:
    """Whether the latest evaluation was of the latest checkpoint and asked for this number of episodes."""
    try:
        found = read_json(logdir / "eval.json")
        requested = found.get("requested", found["n"])  # failures may have left fewer whole episodes
        return (found["frames"], requested) == (frames_trained(logdir), episodes)
    except (OSError, ValueError, TypeError, LookupError):
        return False
