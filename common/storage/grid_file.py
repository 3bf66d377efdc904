"""`grid.json`: which runs make up a grid, and how each of them stands."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from common.config.config import flatten
from common.errors import UserError
from common.files import slug, write_text
from common.safe_io import read_json
from common.storage.logdir import MAX_LISTED_KEYS, config_changes, refused_changes, stored_config
from common.storage.runinfo import has_started

GRID_FILE = "grid.json"
GRID_FIELDS = {"kind": str, "title": str, "match": str, "variants": list, "baseline": str | None}
JOB_FIELDS = {"name": str, "variant": str, "task": str, "seed": int, "logdir": str, "status": str}
BUDGET_KEYS = ("steps", "run.max_seconds")  # may grow, not shrink


class Grid(NamedTuple):
    """What is compared: a title for people, what is equal for all (`match`), the variants in order, one to measure the
    others by or None."""

    kind: str
    title: str
    match: str
    variants: list[str]
    baseline: str | None = None


class Job(NamedTuple):
    """One run. `words` follow `dreamer.py train` on its command line, without --logdir; `config` is what they mean."""

    variant: str
    task: str
    seed: int
    words: list[str]
    config: dict

    @property
    def name(self) -> str:
        """Unique within a grid."""
        return f"{self.variant}/{self.task}/{self.seed}"

    @property
    def logdir(self) -> str:
        """Folder of the run inside the folder of the grid."""
        return f"runs/{slug(self.variant)}/{slug(self.task)}/{self.seed}"


@dataclasses.dataclass
class JobState:
    """How a job stands: waiting, running, done or failed; and why it failed."""

    status: str = "waiting"
    error: str | None = None


def write_grid(folder: Path, grid: Grid, jobs: list[Job], states: list[JobState]) -> None:
    """Replaces `grid.json`, all or nothing."""
    rows = [
        {"name": job.name, "variant": job.variant, "task": job.task, "seed": job.seed, "logdir": job.logdir}
        | {"status": state.status, "error": state.error, "words": job.words}
        for job, state in zip(jobs, states, strict=True)
    ]
    write_text(folder / GRID_FILE, json.dumps({**grid._asdict(), "jobs": rows}, indent=2) + "\n")


def read_grid(folder: Path) -> dict[str, Any] | None:
    """What `write` wrote, None where there is nothing. Raises UserError for a file that is not whole."""
    path = folder / GRID_FILE
    if not path.exists():
        return None
    try:
        stored = read_json(path)
        if is_grid(stored) and stored.keys() >= set(Grid._fields):
            return stored
    except (OSError, ValueError):
        pass
    raise UserError(f"{path} cannot be read as a grid. Restore it, or choose another --logdir.")


def is_grid(stored: Any) -> bool:
    """Whether a value is a grid: it has jobs, and all that it has is of the kinds that `write` writes."""
    jobs = stored.get("jobs") if isinstance(stored, dict) else None
    if not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
        return False
    needed = all(isinstance(job.get(key), kind) for job in jobs for key, kind in JOB_FIELDS.items())
    alike = all(isinstance(stored[key], kind) for key, kind in GRID_FIELDS.items() if key in stored)
    return needed and alike and all(isinstance(name, str) for name in stored.get("variants", []))


def check_same_grid(folder: Path, grid: Grid, jobs: list[Job]) -> None:
    """Raises UserError if `folder` holds another grid, with what differs.

    Variants, tasks and seeds may be added, budgets raised, and runs that never got as far as training changed.
    """
    differing = list(_differences(folder, grid, jobs))
    if differing:
        more = [f"... and {len(differing) - MAX_LISTED_KEYS} more"] if len(differing) > MAX_LISTED_KEYS else []
        raise UserError(
            f"{folder} holds another grid (stored -> given):\n  "
            + "\n  ".join(differing[:MAX_LISTED_KEYS] + more)
            + "\n"
            "Give the stored values to go on with it; versions, tasks and seeds may be added and --steps raised. "
            "Or choose another --logdir."
        )


def _differences(folder: Path, grid: Grid, jobs: list[Job]) -> Iterator[str]:
    stored = read_grid(folder)
    if stored is None:
        return
    for key, given in (("kind", grid.kind), ("match", grid.match)):
        if stored[key] != given:
            yield f"{key}: {stored[key]} -> {given}"
    names = {job.name for job in jobs}
    yield from (f"{job['name']}: left out" for job in stored["jobs"] if job["name"] not in names)
    reasons = Counter(reason for job in jobs for reason in _refused(folder / job.logdir, job.config))
    yield from (f"{reason} ({count} run(s))" for reason, count in reasons.items())


def _refused(logdir: Path, config: dict) -> list[str]:
    """How `config` differs from that of the run in `logdir`, as far as training would refuse it or end sooner."""
    if not has_started(logdir):
        return []
    stored = stored_config(logdir)
    old, new = flatten(stored), flatten(config)
    shrunk = [f"{key}: {old[key]} -> {new[key]}" for key in BUDGET_KEYS if old.get(key, 0) > new[key]]
    return shrunk + [f"{key}: {text}" for key, text in refused_changes(config_changes(stored, config)).items()]
