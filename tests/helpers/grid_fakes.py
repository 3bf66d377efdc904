"""Grids with fake jobs, see fake_dreamer/dreamer.py.

`python grid_fakes.py FOLDER PARALLEL TASK...` runs one, for tests that need a separate process.
"""

import json
import sys
from pathlib import Path

from common.experiments.grid import process
from common.experiments.grid.runner import run_grid
from common.storage.grid_file import Grid, Job

FAKE = Path(__file__).parent / "fake_dreamer"
GRID = Grid("compare", "tasks of a test", "frames", ["a"])


def job(task, seed=0, steps=100, variant="a", **config):
    words = ["--task", task, "--steps", str(steps)]
    return Job(variant, task, seed, words, {"algo": "a", "steps": steps, "run": {"max_seconds": 0}, **config})


def rows(folder):
    """Return name -> entry of grid.json."""
    return {row["name"]: row for row in json.loads((Path(folder) / "grid.json").read_text())["jobs"]}


def statuses(folder):
    return {name: row["status"] for name, row in rows(folder).items()}


if __name__ == "__main__":
    process.ROOT = FAKE
    folder, parallel, *tasks = sys.argv[1:]
    run_grid(Path(folder), GRID, [job(task, seed) for seed, task in enumerate(tasks)], int(parallel))
