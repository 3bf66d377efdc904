"""`grid.json`: the runs of a grid, with their status."""

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from common.config.config import flatten
from common.errors import UserError
from common.files import slug, write_text
from common.safe_io import read_json
from common.storage.logdir import config_changes, join_lines, refused_changes, stored_config
from common.storage.runinfo import has_started

GRID_FILE = "grid.json"
GRID_FIELDS = {"kind": str, "title": str, "match": str, "variants": list, "baseline": str | None, "own": dict}
JOB_FIELDS = {"name": str, "variant": str, "task": str, "seed": int, "logdir": str, "status": str}
BUDGET_FLAGS = {"wm-eval": "--updates"}  # of the kinds of grids without --steps
BUDGET_KEYS = ("steps", "run.max_seconds")  # may grow, not shrink


def lost_file(logdir: Path) -> Path:
    """Return the file with the names of the machines whose workers lost a run, one in each line."""
    return logdir.with_name(f"{logdir.name}.lost")


def lost_workers(logdir: Path) -> list[str]:
    """Return the names of the machines whose workers lost a run; each time, the run was started again."""
    path = lost_file(logdir)
    return path.read_text().splitlines() if path.exists() else []


class Grid(NamedTuple):
    """A comparison of `variants`, in order. match: the quantity that is equal. baseline: a variant, or None.

    own: version -> config keys and blocks that were set for that version alone.
    """

    kind: str
    title: str
    match: str
    variants: list[str]
    baseline: str | None = None
    own: dict[str, dict[str, Any]] = {}  # noqa: RUF012 (read only)


class Job(NamedTuple):
    """One run. words: arguments of `dreamer.py train`, without --logdir. config: the config that they resolve to."""

    variant: str
    task: str
    seed: int
    words: list[str]
    config: dict

    @property
    def name(self) -> str:
        """Return a name that is unique within a grid."""
        return f"{self.variant}/{self.task}/{self.seed}"

    @property
    def logdir(self) -> str:
        """Return the run directory, relative to the folder of the grid."""
        return f"runs/{slug(self.variant)}/{slug(self.task)}/{self.seed}"


@dataclasses.dataclass
class JobState:
    """Status of a job (waiting, running, done or failed), and the error of a failed one."""

    status: str = "waiting"
    error: str | None = None


def write_grid(folder: Path, grid: Grid, jobs: list[Job], states: list[JobState]) -> None:
    """Replace `grid.json` atomically."""
    rows = [
        {"name": job.name, "variant": job.variant, "task": job.task, "seed": job.seed, "logdir": job.logdir}
        | {"status": state.status, "error": state.error, "words": job.words}
        for job, state in zip(jobs, states, strict=True)
    ]
    write_text(folder / GRID_FILE, json.dumps({**grid._asdict(), "jobs": rows}, indent=2) + "\n")


def read_grid(folder: Path) -> dict[str, Any] | None:
    """Return the content of `grid.json`; None if it does not exist. Raises UserError if it is malformed."""
    path = folder / GRID_FILE
    if not path.exists():
        return None
    try:
        stored = read_json(path)
        if is_grid(stored) and stored.keys() >= set(Grid._fields) - {"own"}:  # older grids lack it
            return stored
    except (OSError, ValueError):
        pass
    raise UserError(f"{path} is not a valid grid. Restore it, or choose another --logdir.")


def is_grid(stored: Any) -> bool:
    """Whether a value is the content of a grid file: it has jobs, and all fields have the right types."""
    jobs = stored.get("jobs") if isinstance(stored, dict) else None
    if not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
        return False
    needed = all(isinstance(job.get(key), kind) for job in jobs for key, kind in JOB_FIELDS.items())
    alike = all(isinstance(stored[key], kind) for key, kind in GRID_FIELDS.items() if key in stored)
    own = alike and all(isinstance(keys, dict) for keys in stored.get("own", {}).values())
    return needed and own and all(isinstance(name, str) for name in stored.get("variants", []))


def check_same_grid(folder: Path, grid: Grid, jobs: list[Job]) -> None:
    """Raise UserError with the differences if `folder` contains another grid.

    Variants, tasks and seeds may be added, budgets may grow, and runs without any training may change.
    """
    if (stored := read_grid(folder)) is None:
        return
    given = {"kind": grid.kind, "match": grid.match}
    differing = [f"{key}: {stored[key]} -> {new}" for key, new in given.items() if stored[key] != new]
    names = {job.name for job in jobs}
    differing += [f"{job['name']}: missing" for job in stored["jobs"] if job["name"] not in names]
    reasons = Counter(reason for job in jobs for reason in _refused_changes(folder / job.logdir, job.config))
    differing += [f"{reason} ({count} run(s))" for reason, count in reasons.items()]
    if differing:
        raise UserError(
            f"{folder} contains another grid (stored -> given):\n  {join_lines(differing)}\n"
            "Use the stored values to continue it; you may add versions, tasks and seeds, and raise "
            f"{BUDGET_FLAGS.get(grid.kind, '--steps')}. Or choose another --logdir."
        )


def _refused_changes(logdir: Path, config: dict) -> list[str]:
    """Return the changes of a started run that training refuses, and the budgets that shrink."""
    if not has_started(logdir):
        return []
    stored = stored_config(logdir)
    old, new = flatten(stored), flatten(config)
    shrunk = [f"{key}: {old[key]} -> {new[key]}" for key in BUDGET_KEYS if old.get(key, 0) > new[key]]
    return shrunk + [f"{key}: {text}" for key, text in refused_changes(config_changes(stored, config)).items()]
