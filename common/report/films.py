"""Films in the logdirs that belong into a report: what the models predict open loop."""

import re
from pathlib import Path
from typing import NamedTuple

from common.report.runs import Runs

LARGEST = 2 * 2**20  # bytes of one film
TOTAL = 12 * 2**20  # bytes of all
NAME = re.compile(r"openloop_(.+)_(\d+)\.gif")


class Film(NamedTuple):
    """An encoded GIF of a variant's predictions of observation `key`, made after `frames`."""

    variant: str
    task: str
    key: str
    seed: int
    frames: int
    data: bytes


def collect(runs: Runs) -> tuple[list[Film], list[str]]:
    """The newest film of every variant, task and key, of its first seed that has one; and which were too large."""
    found: dict[tuple[str, str, str], Film] = {}
    for run in runs.runs:
        for key, (frames, path) in _newest(run.logdir / "videos").items():
            place = run.variant, run.task, key
            if place not in found:
                found[place] = Film(*place, run.seed, frames, path.read_bytes())
    order = lambda film: (runs.tasks.index(film.task), film.key, runs.variants.index(film.variant))
    return _limited(sorted(found.values(), key=order))


def _newest(folder: Path) -> dict[str, tuple[int, Path]]:
    """Observation key -> frames and path of its last film."""
    matches = [(NAME.fullmatch(path.name), path) for path in sorted(folder.glob("openloop_*.gif"))]
    return {match[1]: (int(match[2]), path) for match, path in matches if match}


def _limited(found: list[Film]) -> tuple[list[Film], list[str]]:
    """Films that fit into a report, and a word on each that does not."""
    kept: list[Film] = []
    dropped = []
    for film in found:
        if len(film.data) <= LARGEST and sum(len(other.data) for other in kept) + len(film.data) <= TOTAL:
            kept.append(film)
        else:
            dropped.append(f"{film.key} of {film.variant} on {film.task} ({len(film.data) / 2**20:.1f} MiB)")
    return kept, dropped
