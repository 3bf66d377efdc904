"""Finished runs, read from grids, logdirs, and folders of logdirs, with a name for each variant.

Unreadable runs are left out and listed with the reason.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from common.analysis.report.run_data import Run, read_json, read_run
from common.config.config import flatten
from common.errors import UserError
from common.safe_io import expand_path
from common.storage.grid_file import GRID_FILE, is_grid
from common.storage.logdir import CONFIG_FILE, MAY_CHANGE

MAX_KEYS_IN_NAME = 3


class LeftOut(NamedTuple):
    """A run that is not in the report: name, status (failed, running, waiting, unreadable, ...) and reason."""

    name: str
    status: str
    reason: str


class Runs(NamedTuple):
    """All runs that were found. grid, folder: grid.json and its folder if all runs are from one grid, else {}, None.

    The variants of a ladder have names for people: "+ data (v3)" for "data=v3".
    """

    runs: list[Run]
    grid: dict
    left_out: list[LeftOut]
    folder: Path | None = None

    @property
    def variants(self) -> list[str]:
        """Names of the variants in the grid's order, then in alphabetical order."""
        present = sorted({run.variant for run in self.runs})
        order = [name for name in self.named_in_grid if name in present]
        return order + [name for name in present if name not in order]

    @property
    def named_in_grid(self) -> list[str]:
        """Names of all variants of the grid, with and without runs."""
        return [shown_name(self.grid, name) for name in self.grid.get("variants", [])]

    @property
    def tasks(self) -> list[str]:
        """Names of the tasks, in order of appearance."""
        return list(dict.fromkeys(run.task for run in self.runs))

    def stored_name(self, variant: str) -> str:
        """Return the name of a variant in grid.json."""
        names = {shown_name(self.grid, name): name for name in self.grid.get("variants", [])}
        return names.get(variant, variant)

    def on(self, task: str) -> list[Run]:
        """Return the runs of a task."""
        return [run for run in self.runs if run.task == task]


def load_runs(paths: Sequence[str | Path], unfinished: bool = False) -> Runs:
    """Read every run in `paths`: grids, logdirs, or folders that contain them.

    A grid's jobs that are not done are left out; `unfinished` includes the running ones. Raises UserError if there is
    no run.
    """
    left_out: list[LeftOut] = []
    grids, runs, seen = [], [], set()
    for folder in [folder for path in map(expand_path, paths) for folder in _folders(path, left_out)]:
        try:
            grid = read_grid(folder)
        except UserError as error:
            left_out.append(LeftOut(str(folder), "unreadable", str(error)))
            continue
        grids.append((grid, folder if grid else None))
        for logdir, variant in _jobs(folder, grid, unfinished, left_out) if grid else [(folder, None)]:
            if logdir.resolve() not in seen:
                seen.add(logdir.resolve())
                runs += _read(logdir, variant, left_out)
    kept: dict[tuple, Run] = {}
    for run in _name_variants(runs):
        first = kept.setdefault((run.variant, run.task, run.seed), run)
        if first is not run:  # the same seed twice is not a second sample
            left_out.append(LeftOut(str(run.logdir), "repeated", f"same variant, task and seed as {first.logdir}"))
    if not kept:
        reasons = "".join(f"\n  {name}: {reason}" for name, _, reason in left_out)
        raise UserError(f"There is no run to report on.{reasons}\nGive the folder of a comparison, or logdirs of runs.")
    grid, place = grids[0] if len(grids) == 1 else ({}, None)
    return Runs(list(kept.values()), grid, left_out, place)


def shown_name(grid: dict, variant: str) -> str:
    """Return the name of a grid's variant for people: "+ data (v3)" for the rung "data=v3" of a ladder."""
    features, equals, version = variant.partition("=")
    return f"+ {features.replace('+', ' + ')} ({version})" if grid.get("kind") == "ladder" and equals else variant


def _folders(path: Path, left_out: list[LeftOut]) -> Iterator[Path]:
    """Yield the grids and logdirs at or below `path`."""
    found = False
    for folder, inner, files in os.walk(path):
        inner.sort()
        if GRID_FILE in files or CONFIG_FILE in files:
            inner.clear()
            found = True
            yield Path(folder)
    if not path.exists():
        left_out.append(LeftOut(str(path), "missing", "there is no such folder"))
    elif not found:
        reason = f"no {GRID_FILE} or {CONFIG_FILE} in it or below: it has no runs"
        left_out.append(LeftOut(str(path), "foreign", reason))


def read_grid(folder: Path) -> dict:
    """Return the content of a folder's grid.json; {} if there is none. Raises UserError if it is malformed."""
    if not (folder / GRID_FILE).is_file():
        return {}
    grid = read_json(folder / GRID_FILE)
    if not is_grid(grid):
        raise UserError(f"{folder / GRID_FILE} is not a list of jobs. Restore it, or give the logdirs in the folder.")
    return grid


def _jobs(folder: Path, grid: dict, unfinished: bool, left_out: list[LeftOut]) -> list[tuple[Path, str | None]]:
    jobs: list[tuple[Path, str | None]] = []
    for job in grid["jobs"]:
        if job["status"] == "done" or (unfinished and job["status"] == "running"):
            jobs.append((folder / job["logdir"], shown_name(grid, job["variant"])))
        else:
            name = job.get("name") or f"{shown_name(grid, job['variant'])} on {job['task']}, seed {job['seed']}"
            left_out.append(LeftOut(name, job["status"], job.get("error") or "it has not finished"))
    return jobs


def _read(logdir: Path, variant: str | None, left_out: list[LeftOut]) -> list[Run]:
    try:
        return [read_run(logdir, variant)]
    except UserError as error:
        left_out.append(LeftOut(str(logdir), "unreadable", str(error)))
        return []


def _name_variants(runs: list[Run]) -> list[Run]:
    """Add the differing keys to the names of runs of one variant whose configs differ on some task.

    A number follows if the keys that fit into the name do not distinguish two configs.
    """
    named = []
    for variant in dict.fromkeys(run.variant for run in runs):
        own = [(run, _compared_config(run)) for run in runs if run.variant == variant]
        keys = _differing_keys([(run.task, config) for run, config in own])
        seen: dict[tuple, list[dict]] = {}
        for run, config in own:
            shown = [f"{key}={config.get(key)}" for key in keys[:MAX_KEYS_IN_NAME]]
            name = f"{variant} ({', '.join([*shown, *['…'] * (len(keys) > MAX_KEYS_IN_NAME)])})" if keys else variant
            same = seen.setdefault((run.task, name), [])
            if config not in same:
                same.append(config)
            number = same.index(config) + 1
            named.append(run._replace(variant=name if number == 1 else f"{name} #{number}"))
    return named


def _compared_config(run: Run) -> dict:
    """Return the flat config without the seed and the keys that may change during a run."""
    return {key: value for key, value in flatten(run.config).items() if key not in MAY_CHANGE | {"seed"}}


def _differing_keys(configs: list[tuple[str, dict]]) -> list[str]:
    """Return the keys that differ between configs (task, config) of one task, without options of differing parts."""
    keys: dict[str, None] = {}
    for task in dict.fromkeys(task for task, _ in configs):
        same = [config for place, config in configs if place == task]
        every = dict.fromkeys(key for config in same for key in config)
        keys |= dict.fromkeys(key for key in every if any(config.get(key) != same[0].get(key) for config in same))
    swapped = {key.removesuffix("use") for key in keys if key.endswith(".use")}
    return [key for key in keys if key.endswith(".use") or key.rpartition(".")[0] + "." not in swapped]
