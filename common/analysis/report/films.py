"""Films that belong into a report: what the models predict open loop.

A grid has films of all variants on the same clips (common/experiments/film.py), runs of their own have those of
training.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from common.analysis.report.run_collection import Runs
from common.files import slug

MAX_FILM_BYTES = 2 * 2**20  # bytes of one film
MAX_TOTAL_BYTES = 12 * 2**20  # bytes of all
SHARED_FILMS_FOLDER = "films"  # folder of a grid with films on the same clips
RUN_FILM_NAME = re.compile(r"openloop_(.+)_(?P<frames>\d+)\.gif")
SHARED_FILM_NAME = re.compile(r"(.+)_(?P<seed>\d+)_(?P<frames>\d+)\.gif")


class ReportFilm(NamedTuple):
    """An encoded GIF of a variant's predictions of observation `key`, made after `frames`; shared: all variants of the
    task predict the same clips."""

    variant: str
    task: str
    key: str
    seed: int
    frames: int
    data: bytes
    shared: bool = False


def collect_films(runs: Runs) -> tuple[list[ReportFilm], list[str]]:
    """One film of every variant, task and key: the grid's, else the newest of its first seed that has one. And which
    were too large."""
    shared = list(_shared(runs))
    seen = {film.task for film in shared}
    found: dict[tuple[str, str, str], ReportFilm] = {}
    for film in [*shared, *(film for film in _own(runs) if film.task not in seen)]:
        found.setdefault((film.variant, film.task, film.key), film)
    order = lambda film: (runs.tasks.index(film.task), film.key, runs.variants.index(film.variant))
    return _limited(sorted(found.values(), key=order))


def _shared(runs: Runs) -> Iterator[ReportFilm]:
    if runs.folder is None:
        return
    for task, variant in itertools.product(runs.tasks, runs.variants):
        folder = runs.folder / SHARED_FILMS_FOLDER / slug(task) / slug(variant)
        for path, match in _matching(folder, SHARED_FILM_NAME):
            yield ReportFilm(variant, task, match[1], int(match["seed"]), int(match["frames"]), path.read_bytes(), True)


def _own(runs: Runs) -> Iterator[ReportFilm]:
    """Films of every run, the newest first."""
    for run in runs.runs:
        for path, match in _matching(run.logdir / "videos", RUN_FILM_NAME):
            yield ReportFilm(run.variant, run.task, match[1], run.seed, int(match["frames"]), path.read_bytes())


def _matching(folder: Path, name: re.Pattern) -> list[tuple[Path, re.Match]]:
    """Films with such a name and how it matched, those after more frames first."""
    matches = [(path, name.fullmatch(path.name)) for path in sorted(folder.glob("*.gif"))]
    return sorted(((p, m) for p, m in matches if m), key=lambda pair: -int(pair[1]["frames"]))


def _limited(found: list[ReportFilm]) -> tuple[list[ReportFilm], list[str]]:
    """Films that fit into a report, and a word on each that does not."""
    kept: list[ReportFilm] = []
    dropped = []
    for film in found:
        if (
            len(film.data) <= MAX_FILM_BYTES
            and sum(len(other.data) for other in kept) + len(film.data) <= MAX_TOTAL_BYTES
        ):
            kept.append(film)
        else:
            dropped.append(f"{film.key} of {film.variant} on {film.task} ({len(film.data) / 2**20:.1f} MiB)")
    return kept, dropped
