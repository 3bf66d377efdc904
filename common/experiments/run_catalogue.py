"""A catalogue of the runs below a folder: number, progress and state of each. A run is running if its lock is held."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from common.analysis.world_models.collection import PROTOCOL_FILE
from common.errors import UserError
from common.experiments.grid.run_progress import RunProgress, read_progress
from common.safe_io import expand_path, read_json
from common.storage.logdir import CONFIG_FILE, in_use, stored_config
from common.storage.runinfo import is_finished

RUN_FILE = "run.json"
STATES = ("running", "stopped", "finished", "broken")
KEYS = {"algo": str, "task": str, "seed": int, "steps": int}  # of a config that the catalogue shows


class CatalogueEntry(NamedTuple):
    """A run with its number from 1 and its state, one of STATES. config, progress: {} and zeros for a broken run.

    problem: what is wrong with a broken run.
    """

    number: int
    logdir: Path
    state: str
    config: dict[str, Any]
    progress: RunProgress
    problem: str = ""


def read_catalogue(folder: str | Path) -> list[CatalogueEntry]:
    """Return the runs in or below a folder, ordered by their first start, so that new runs come last.

    Runs without a start come after the others. Raises UserError if the folder does not exist or has no run.
    """
    place = expand_path(folder)
    if not place.is_dir():
        raise UserError(f"There is no folder {place}. Name the folder of your runs: python dreamer.py runs FOLDER.")
    logdirs = sorted(find_logdirs(place), key=lambda path: (first_start(path), str(path)))
    if not logdirs:
        raise UserError(f"{place} has no runs: no {CONFIG_FILE} is in it or below. Name another folder.")
    return [read_entry(number, logdir) for number, logdir in enumerate(logdirs, 1)]


def find_logdirs(folder: Path) -> Iterator[Path]:
    """Yield the run directories in or below a folder, except those of `wm-eval`, which only its command continues."""
    for place, inner, files in os.walk(folder):
        if PROTOCOL_FILE in files:
            inner.clear()
        elif CONFIG_FILE in files:
            inner.clear()
            yield Path(place)


def first_start(logdir: Path) -> str:
    """Return the time of the first session of a run; a text after all times if it is unknown."""
    try:
        started = read_json(logdir / RUN_FILE)["sessions"][0]["started"]
    except (OSError, ValueError, LookupError, TypeError):
        return "~"
    return started if isinstance(started, str) else "~"


def read_entry(number: int, logdir: Path) -> CatalogueEntry:
    """Return a run with its state. The lock alone decides whether it is running."""
    running = in_use(logdir)
    try:
        config = stored_config(logdir)
        check_readable(logdir, config)
        progress = read_progress(logdir, config)
        finished = is_finished(config, progress.frames, progress.wall)
        if progress.frames and not (finished or running or has_checkpoint(logdir)):
            raise UserError(f"{logdir} has no checkpoint.")
    except (UserError, OSError) as error:
        return CatalogueEntry(number, logdir, "broken", {}, RunProgress(), str(error).partition("\n")[0])
    if running:
        return CatalogueEntry(number, logdir, "running", config, progress)
    state = "finished" if finished else "stopped"
    return CatalogueEntry(number, logdir, state, config, progress._replace(left=None, speed=None))


def has_checkpoint(logdir: Path) -> bool:
    """Whether a run has a checkpoint. Finished runs are often published without."""
    return any((logdir / "checkpoints").glob("checkpoint-*.pt"))


def check_readable(logdir: Path, config: dict[str, Any]) -> None:
    """Raise UserError if the config or `run.json` is damaged."""
    if wrong := [key for key, kind in KEYS.items() if not isinstance(config.get(key), kind)]:
        raise UserError(f"{logdir / CONFIG_FILE} lacks {', '.join(wrong)}.")
    if "max_seconds" not in config["run"]:
        raise UserError(f"{logdir / CONFIG_FILE} lacks run.max_seconds.")
    path = logdir / RUN_FILE
    try:
        if path.exists() and not isinstance(read_json(path), dict):
            raise UserError(f"{path} does not hold a JSON object.")
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}") from error
