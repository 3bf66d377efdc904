"""Open-loop prediction films for a report.

A grid has films of all variants on the same clips (common/experiments/film.py); other runs have those of training.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from common.analysis.report.run_collection import Runs
from common.files import slug

MAX_FILM_BYTES = 2 * 2**20
MAX_TOTAL_BYTES = 12 * 2**20
SHARED_FILMS_FOLDER = "films"  # in the folder of a grid
RUN_FILM_NAME = re.compile(r"openloop_(?P<key>.+)_(?P<frames>\d+)\.gif")
SHARED_FILM_NAME = re.compile(r"(?P<key>.+)_(?P<seed>\d+)_(?P<frames>\d+)\.gif")


class ReportFilm(NamedTuple):
    """An encoded GIF of a variant's predictions of observation `key` after `frames` of training.

    shared: all variants of the task predict the same clips.
    """

    variant: str
    task: str
    key: str
    seed: int
    frames: int
    data: bytes
    shared: bool = False


def collect_films(runs: Runs) -> tuple[list[ReportFilm], list[str]]:
    """Return a film for every variant, task and key, and descriptions of those that are too large.

    Each film is the grid's, else the newest of the first seed that has one.
    """
    shared = list(_shared_films(runs))
    shared_tasks = {film.task for film in shared}
    found: dict[tuple[str, str, str], ReportFilm] = {}
    for film in [*shared, *(film for film in _run_films(runs) if film.task not in shared_tasks)]:
        found.setdefault((film.variant, film.task, film.key), film)
    order = lambda film: (runs.tasks.index(film.task), film.key, runs.variants.index(film.variant))
    kept, dropped, total = [], [], 0
    for film in sorted(found.values(), key=order):
        size = len(film.data)
        if size <= MAX_FILM_BYTES and total + size <= MAX_TOTAL_BYTES:
            kept.append(film)
            total += size
        else:
            dropped.append(f"{film.key} of {film.variant} on {film.task} ({size / 2**20:.1f} MiB)")
    return kept, dropped


def _shared_films(runs: Runs) -> Iterator[ReportFilm]:
    if runs.folder is None:
        return
    for task, variant in itertools.product(runs.tasks, runs.variants):
        folder = runs.folder / SHARED_FILMS_FOLDER / slug(task) / slug(variant)
        for path, match in _newest_first(folder, SHARED_FILM_NAME):
            frames = int(match["frames"])
            yield ReportFilm(variant, task, match["key"], int(match["seed"]), frames, path.read_bytes(), True)


def _run_films(runs: Runs) -> Iterator[ReportFilm]:
    for run in runs.runs:
        for path, match in _newest_first(run.logdir / "videos", RUN_FILM_NAME):
            yield ReportFilm(run.variant, run.task, match["key"], run.seed, int(match["frames"]), path.read_bytes())


def _newest_first(folder: Path, name: re.Pattern) -> list[tuple[Path, re.Match]]:
    """Return the films that match a name, with their matches, the one after the most frames first."""
    matches = [(path, match) for path in sorted(folder.glob("*.gif")) if (match := name.fullmatch(path.name))]
    return sorted(matches, key=lambda pair: -int(pair[1]["frames"]))
