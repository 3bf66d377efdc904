"""Finished runs, read from grids, logdirs, and folders of logdirs.

What cannot be read is left out and listed with the reason; the others go on.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from common.analysis.report.run_data import Run, read_json, read_run
from common.analysis.report.variant_names import name_variants
from common.errors import UserError
from common.safe_io import expand_path
from common.storage.grid_file import is_grid
from common.storage.logdir import CONFIG_FILE

GRID_FILE = "grid.json"


class LeftOut(NamedTuple):
    """A run that is not in the report: where, in which state (failed, running, waiting, unreadable, ...), and why."""

    name: str
    status: str
    reason: str


class Runs(NamedTuple):
    """All runs that were found. grid, folder: the content of grid.json and where it lies, if all of them come from one
    grid; else {} and None."""

    runs: list[Run]
    grid: dict
    left_out: list[LeftOut]
    folder: Path | None = None

    @property
    def variants(self) -> list[str]:
        """Names of the variants, in the grid's order, else in alphabetical order."""
        present = sorted({run.variant for run in self.runs})
        order = [name for name in self.grid.get("variants", []) if name in present]
        return order + [name for name in present if name not in order]

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks, in order of appearance."""
        return list(dict.fromkeys(run.task for run in self.runs))


class RunLocation(NamedTuple):
    """A logdir to read, and the variant's name where a grid tells it."""

    logdir: Path
    variant: str | None


def load_runs(paths: Sequence[str | Path], unfinished: bool = False) -> Runs:
    """Reads every run in `paths`: grids, logdirs, or folders with such inside.

    A grid's jobs that are not done are left out unless `unfinished`. Raises UserError if nothing is left.
    """
    places: list[RunLocation] = []
    left_out: list[LeftOut] = []
    grids = []
    for path in map(expand_path, paths):
        for folder in _folders(path, left_out):
            try:
                grid = read_grid(folder)
            except UserError as error:
                left_out.append(LeftOut(str(folder), "unreadable", str(error)))
                continue
            grids.append((grid, folder))
            jobs = _jobs(folder, grid, unfinished, left_out) if grid else [RunLocation(folder, None)]
            places += [place for place in jobs if place.logdir.resolve() not in {p.logdir.resolve() for p in places}]
    runs = name_variants(_read_all(places, left_out))
    if not runs:
        reasons = "".join(f"\n  {name}: {reason}" for name, _, reason in left_out)
        raise UserError(f"No run to report on.{reasons}\nGive the folder of a comparison, or logdirs of runs.")
    grid, place = grids[0] if len(grids) == 1 else ({}, None)
    return Runs(_unique(runs, left_out), grid, left_out, place if grid else None)


def _folders(path: Path, left_out: list[LeftOut]) -> Iterator[Path]:
    """Grids and logdirs at or below `path`."""
    if not path.exists():
        left_out.append(LeftOut(str(path), "missing", "there is no such folder"))
    found = False
    for folder, inner, files in os.walk(path):
        inner.sort()
        if GRID_FILE in files or CONFIG_FILE in files:
            inner.clear()
            found = True
            yield Path(folder)
    if path.exists() and not found:
        left_out.append(
            LeftOut(str(path), "foreign", f"it holds no run: no {GRID_FILE} or {CONFIG_FILE} in it or below")
        )


def read_grid(folder: Path) -> dict:
    """Content of a folder's grid.json; {} where there is none. Raises UserError if it is not one."""
    if not (folder / GRID_FILE).is_file():
        return {}
    grid = read_json(folder / GRID_FILE)
    if not is_grid(grid):
        raise UserError(f"{folder / GRID_FILE} is not a list of jobs. Restore it, or name the logdirs inside.")
    return grid


def _jobs(folder: Path, grid: dict, unfinished: bool, left_out: list[LeftOut]) -> list[RunLocation]:
    places = []
    for job in grid["jobs"]:
        if job["status"] == "done" or (unfinished and job["status"] == "running"):
            places.append(RunLocation(folder / job["logdir"], job["variant"]))
        else:
            name = job.get("name") or f"{job['variant']} on {job['task']}, seed {job['seed']}"
            left_out.append(LeftOut(name, job["status"], job.get("error") or "it has not finished"))
    return places


def _read_all(places: list[RunLocation], left_out: list[LeftOut]) -> list[Run]:
    runs = []
    for place in places:
        try:
            runs.append(read_run(*place))
        except UserError as error:
            left_out.append(LeftOut(str(place.logdir), "unreadable", str(error)))
    return runs


def _unique(runs: list[Run], left_out: list[LeftOut]) -> list[Run]:
    """Without runs that another one repeats: the same seed is not a second sample."""
    kept: dict[tuple, Run] = {}
    for run in runs:
        first = kept.setdefault((run.variant, run.task, run.seed), run)
        if first is not run:
            reason = f"same variant, task and seed as {first.logdir}"
            left_out.append(LeftOut(str(run.logdir), "repeated", reason))
    return list(kept.values())
