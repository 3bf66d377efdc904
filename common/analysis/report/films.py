"""Open-loop prediction films for a report.

A grid has films of all variants on the same clips (common/experiments/film.py); other runs have those of training.
"""

import io
import itertools
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from common.analysis.report.run_collection import Runs
from common.files import slug

MAX_FILM_BYTES = 2 * 2**20
PAPER_SHARE = 0.6  # of the pixels of a picture of curves
MAX_TOTAL_BYTES = 12 * 2**20
MAX_ACTING_BYTES = 6 * 2**20  # of a GIF with agents that act
SHARED_FILMS_FOLDER = "films"  # in the folder of a grid
RUN_FILM_NAME = re.compile(r"openloop_(?P<key>.+)_(?P<frames>\d+)\.gif")
SHARED_FILM_NAME = re.compile(r"(?P<key>.+)_(?P<seed>\d+)_(?P<frames>\d+)\.gif")


class ReportFilm(NamedTuple):
    """An encoded GIF of a variant's predictions of observation `key` after `frames` of training.

    shared: all variants of the task predict the same clips. curves: it shows curves of a vector, of the first clip.
    """

    variant: str
    task: str
    key: str
    seed: int
    frames: int
    data: bytes
    shared: bool = False
    curves: bool = False


def collect_films(runs: Runs) -> tuple[list[ReportFilm], list[str]]:
    """Return a film for every variant, task and key, and descriptions of those that are too large.

    Each film is the grid's, else the newest of the first seed that has one.
    """
    shared = []
    for task, variant in itertools.product(runs.tasks, runs.variants) if runs.folder else ():
        folder = Path(runs.folder or "", SHARED_FILMS_FOLDER, slug(task), slug(runs.stored_name(variant)))
        shared += _read(folder, SHARED_FILM_NAME, variant, task)
    shared_tasks = {film.task for film in shared}
    own = [run for run in runs.runs if run.task not in shared_tasks]
    films = [film for r in own for film in _read(r.logdir / "videos", RUN_FILM_NAME, r.variant, r.task, r.seed)]
    found: dict[tuple[str, str, str], ReportFilm] = {}
    for film in [*shared, *films]:
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


def acting_film_path(folder: Path, task: str) -> Path:
    """Return the file with the GIF of all agents that act on a task, in the folder of a grid."""
    return folder / f"acting_{slug(task)}.gif"


def acting_films(runs: Runs) -> dict[str, bytes]:
    """Return task -> GIF of all agents that act on it, for tasks that have one which is not too large for a page."""
    paths = {task: acting_film_path(runs.folder, task) for task in runs.tasks} if runs.folder else {}
    films = {task: path.read_bytes() for task, path in paths.items() if path.is_file()}
    return {task: data for task, data in films.items() if len(data) <= MAX_ACTING_BYTES}


def _read(folder: Path, name: re.Pattern, variant: str, task: str, seed: int | None = None) -> list[ReportFilm]:
    """Read the films whose names match, the one after the most frames first. Names of shared films have the seed."""
    matches = [(path, match) for path in sorted(folder.glob("*.gif")) if (match := name.fullmatch(path.name))]
    films = []
    for path, match in sorted(matches, key=lambda pair: -int(pair[1]["frames"])):
        own_seed = int(match["seed"]) if seed is None else seed
        about = (variant, task, match["key"], own_seed, int(match["frames"]))
        data = path.read_bytes()
        films.append(ReportFilm(*about, data, shared=seed is None, curves=shows_curves(data)))
    return films


def shows_curves(data: bytes) -> bool:
    """Return whether the first picture of a GIF is mostly white paper, as that of curves is; images are not."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return bool(np.mean(np.asarray(picture.convert("L")) == 255) > PAPER_SHARE)
    except (OSError, ValueError, SyntaxError):
        return False
