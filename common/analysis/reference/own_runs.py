"""Runs to compare with published curves: their configs and score files, grouped into sets of seeds."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.analysis.reference import data
from common.analysis.reference.binning import bin_means, pool_runs
from common.analysis.reference.score_files import read_episode_scores
from common.analysis.reference.task_names import find
from common.config.config import flatten
from common.errors import UserError
from common.safe_io import expand_path
from common.storage.logdir import CONFIG_FILE, config_digest, stored_config

SCORES_FILE = "scores.jsonl"


class ScoredRun(NamedTuple):
    """A run: its config, and for "train" and "eval" the frames (points,) and scores (points,) of its episodes."""

    logdir: Path
    config: dict
    points: dict[str, tuple[np.ndarray, np.ndarray]]


class RunSet(NamedTuple):
    """Runs of one task that differ only in their seeds.

    name: the version; also the folder of the runs if several sets share a version. benchmark, task: the published
    benchmark and its name for the task, or "" and the task's own name. benchmarks: all whose scores are comparable,
    `benchmark` first.
    """

    name: str
    algo: str
    task: str
    benchmark: str
    config: dict
    runs: list[ScoredRun]
    benchmarks: tuple[str, ...] = ()

    def kind(self, wanted: str) -> str:
        """Return `wanted`, "train" or "eval", if the runs have scores of this kind; else the other kind."""
        other = "eval" if wanted == "train" else "train"
        return wanted if wanted and any(len(run.points[wanted][0]) for run in self.runs) else other

    def frames(self, kind: str) -> float:
        """Return the frames that all runs have reached; 0 if a run has no score."""
        return min(float(run.points[kind][0].max(initial=0)) for run in self.runs)

    def reached(self) -> float:
        """Return the frames of the last score of any run; 0 if there are no scores."""
        return max(float(xs.max(initial=0)) for run in self.runs for xs, _ in run.points.values())

    def binned(self, kind: str, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return mean, standard deviation and number of runs (bins,) in bins with these right edges."""
        return pool_runs(np.array([bin_means(*run.points[kind], edges) for run in self.runs]))


def load_run_sets(paths: list[str]) -> list[RunSet]:
    """Read the runs in `paths` and below, grouped into sets. Raises UserError for a path without a run."""
    sets: dict[str, list[ScoredRun]] = {}
    for logdir in dict.fromkeys(folder for path in paths for folder in _logdirs(expand_path(path))):
        config = stored_config(logdir)
        if missing := {"algo", "task", "seed", "env"} - set(config):
            raise UserError(f"{logdir / CONFIG_FILE} is not complete: it lacks {', '.join(sorted(missing))}.")
        run = ScoredRun(logdir, config, read_episode_scores(logdir / SCORES_FILE))
        sets.setdefault(config_digest({**config, "seed": 0}), []).append(run)
    return _with_folder_names([_run_set(runs) for runs in sets.values()])


def _logdirs(path: Path) -> list[Path]:
    if not path.is_dir():
        raise UserError(f"There is no folder {path}. Give the logdir of a run, or a folder of logdirs.")
    if (path / CONFIG_FILE).exists() or (path / SCORES_FILE).exists():
        return [path]
    if not (found := sorted(file.parent for file in path.rglob(SCORES_FILE))):
        raise UserError(f"{path} holds no run: no {SCORES_FILE} in it or below. Give the logdir of a run.")
    return found


def _run_set(runs: list[ScoredRun]) -> RunSet:
    """Make a set; the config keys in the catalogue decide which benchmarks of the task are comparable.

    Benchmarks whose scores are not returns are not.
    """
    config = runs[0].config
    algo, task = config["algo"], str(config["task"])
    found = {benchmark: name for benchmark, name in find(task) if _is_comparable(config, benchmark)}
    first = next(iter(found), "")
    return RunSet(algo, algo, found.get(first, task), first, config, runs, tuple(found))


def _is_comparable(config: dict, benchmark: str) -> bool:
    flat, about = flatten(config), data.benchmarks()[benchmark]
    return "metric" not in about and all(flat.get(key) == value for key, value in about["config"].items())


def _with_folder_names(sets: list[RunSet]) -> list[RunSet]:
    """Add the folder to the names of sets that share version, task and benchmark."""
    keys = [(one.algo, one.task, one.benchmark) for one in sets]
    named = []
    for one, key in zip(sets, keys, strict=True):
        paths = [run.logdir for run in one.runs]
        mixed = any(path.is_absolute() for path in paths)
        folder = os.path.commonpath([path.absolute() if mixed else path for path in paths])
        named.append(one._replace(name=f"{one.algo} ({folder})") if keys.count(key) > 1 else one)
    return named
