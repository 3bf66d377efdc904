"""Our own runs, to be held against published curves: their score files and configs."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.analysis.reference import data, score_files
from common.analysis.reference.binning import bin_means, pool_runs
from common.analysis.reference.task_names import find
from common.config.config import flatten
from common.errors import UserError
from common.safe_io import expand_path
from common.storage.logdir import CONFIG_FILE, config_digest, stored_config

SCORES = "scores.jsonl"


class ScoredRun(NamedTuple):
    """A run: its config, and for "train" and "eval" the frames (points,) and scores (points,) of its episodes."""

    logdir: Path
    config: dict
    points: dict[str, tuple[np.ndarray, np.ndarray]]


class RunSet(NamedTuple):
    """Runs of one task that differ in their seeds only.

    name: the version, with the folder of the runs where there are several sets of it. benchmark: the published one with
    the task's name there, or the task's own name and "".
    """

    name: str
    algo: str
    task: str
    benchmark: str
    config: dict
    runs: list[ScoredRun]

    def kind(self, wanted: str) -> str:
        """The wanted kind of episodes, "train" or "eval", where there are scores of it; else the other one."""
        other = "eval" if wanted == "train" else "train"
        return wanted if wanted and any(len(run.points[wanted][0]) for run in self.runs) else other

    def frames(self, kind: str) -> float:
        """Frames that all runs have reached; 0 where one has no score."""
        return min(float(run.points[kind][0].max(initial=0)) for run in self.runs)

    def reached(self) -> float:
        """The last frame with a score of any run; 0 without any."""
        return max(float(xs.max(initial=0)) for run in self.runs for xs, _ in run.points.values())

    def binned(self, kind: str, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, standard deviation and number of runs (bins,) in bins with these right edges."""
        return pool_runs(np.array([bin_means(*run.points[kind], edges) for run in self.runs]))


def load_run_sets(paths: list[str]) -> list[RunSet]:
    """Runs of the logdirs `paths` and of those inside them, in sets. Raises UserError for a path without a run."""
    sets: dict[str, list[ScoredRun]] = {}
    for logdir in dict.fromkeys(folder for path in paths for folder in _logdirs(expand_path(path))):
        run = _read(logdir)
        sets.setdefault(config_digest({**run.config, "seed": 0}), []).append(run)
    return _named([_set(runs) for runs in sets.values()])


def _logdirs(path: Path) -> list[Path]:
    if not path.is_dir():
        raise UserError(f"There is no folder {path}. Give the logdir of a run, or a folder of logdirs.")
    if (path / CONFIG_FILE).exists() or (path / SCORES).exists():
        return [path]
    if not (found := sorted(file.parent for file in path.rglob(SCORES))):
        raise UserError(f"{path} holds no run: there is no {SCORES} in it. Give the logdir of a run.")
    return found


def _read(logdir: Path) -> ScoredRun:
    config = stored_config(logdir)
    if missing := {"algo", "task", "seed", "env"} - set(config):
        raise UserError(f"{logdir / CONFIG_FILE} is not complete: it has no {', '.join(sorted(missing))}.")
    return ScoredRun(logdir, config, score_files.read_episode_scores(logdir / SCORES))


def _set(runs: list[ScoredRun]) -> RunSet:
    config = runs[0].config
    benchmark, task = _place(config)
    return RunSet(config["algo"], config["algo"], task, benchmark, config, runs)


def _place(config: dict) -> tuple[str, str]:
    """Benchmark of a config, by its task and the keys that the catalogue names."""
    flat = flatten(config)
    for benchmark, task in find(str(config["task"])):
        if all(flat.get(key) == value for key, value in data.benchmarks()[benchmark]["config"].items()):
            return benchmark, task
    return "", str(config["task"])


def _named(sets: list[RunSet]) -> list[RunSet]:
    """Sets of the same version, task and benchmark get their folders as names."""
    key = lambda one: (one.algo, one.task, one.benchmark)
    several = {key(one) for one in sets if sum(key(one) == key(other) for other in sets) > 1}
    folder = lambda one: os.path.commonpath(_alike([run.logdir for run in one.runs]))
    return [one._replace(name=f"{one.algo} ({folder(one)})") if key(one) in several else one for one in sets]


def _alike(paths: list[Path]) -> list[Path]:
    """Paths of one kind: made absolute where some of them are."""
    return [path.absolute() for path in paths] if any(path.is_absolute() for path in paths) else paths
