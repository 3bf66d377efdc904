"""Numbers of the study from its score files: curves, quantities, and the test of each quantity of each task."""

from typing import NamedTuple

import numpy as np

from benchmarks.learning import equivalence, study
from benchmarks.learning.score_files import SIDES, Run
from common.analysis.reference.binning import bin_means

TENTHS = 10

#: Quantity -> the tenths of training that it averages. The first tenth is the random prefill of both sides.
QUANTITIES = {"area": slice(1, TENTHS), "last fifth": slice(TENTHS - 2, TENTHS)}

LATE_METRICS = ("train/randomness", "train/entropy", "train/post_entropy", "train/kl", "loss/dyn", "train/value")


class Cell(NamedTuple):
    """A task of a version: side -> seed -> mean score in each tenth of training (TENTHS,)."""

    version: str
    task: study.Task
    curves: dict[str, dict[int, np.ndarray]]

    def numbers(self, side: str, quantity: str) -> list[float]:
        """Return a quantity of each run of a side."""
        return [float(curve[QUANTITIES[quantity]].mean()) for curve in self.curves[side].values()]


class Row(NamedTuple):
    """One line of the table of tests."""

    version: str
    task: str
    quantity: str
    means: tuple[float, float]  # official, ours
    margin: float
    found: equivalence.Comparison
    p_equal: float  # both with Holm's correction
    p_zero: float
    verdict: str
    needed: int | None


def tenths(content: dict) -> np.ndarray:
    """Return the mean score of the episodes that end in each tenth of a run (TENTHS,).

    A tenth in which no episode ends has the mean of the tenth before.
    """
    edges = np.arange(1, TENTHS + 1) * content["budget"] / TENTHS
    return bin_means(content["frames"], content["scores"], edges, extend=True)


def make_cells(found: dict[Run, dict]) -> list[Cell]:
    """Return all version and task pairs of the study, with the runs that are done."""
    cells = [Cell(v, task, {side: {} for side in SIDES}) for v, tasks in study.TASKS.items() for task in tasks]
    for cell in cells:
        for run, content in found.items():
            if (run.version, run.task) == (cell.version, cell.task.name) and content["budget"] == study.FRAMES:
                cell.curves[run.side][run.seed] = tenths(content)
    return cells


def make_rows(cells: list[Cell]) -> list[Row]:
    """Return the tests of all cells and quantities. The correction counts also those without runs."""
    keys = [(cell, quantity) for cell in cells for quantity in QUANTITIES]
    found = [compare(cell, quantity) for cell, quantity in keys]
    equal, zero = (equivalence.holm([getattr(one, p) for one in found]) for p in ("p_equal", "p_zero"))
    return [
        make_row(cell, quantity, *rest, equivalence.LEVEL / len(keys))
        for (cell, quantity), *rest in zip(keys, found, equal, zero, strict=True)
    ]


def compare(cell: Cell, quantity: str) -> equivalence.Comparison:
    """Compare both sides of a cell."""
    official, ours = (cell.numbers(side, quantity) for side in SIDES)
    if not official or not ours:
        return equivalence.Comparison(*[float("nan")] * 7, 0)
    return equivalence.compare(official, ours, cell.task.margin)


def make_row(cell, quantity, found, p_equal, p_zero, strictest) -> Row:
    means = tuple(float(np.mean(cell.numbers(side, quantity) or np.nan)) for side in SIDES)
    verdict = equivalence.verdict(p_equal, p_zero, equivalence.LEVEL)
    needed = None if verdict != equivalence.UNDECIDED else equivalence.seeds_needed(found, cell.task.margin, strictest)
    return Row(cell.version, cell.task.name, quantity, means, cell.task.margin, found, p_equal, p_zero, verdict, needed)


def late_metrics(found: dict[Run, dict], cell: Cell) -> dict[str, dict[str, list[float]]]:
    """Return metric -> side -> mean over the last fifth of each run, for metrics that both sides have.

    Those of LATE_METRICS have the same definition on both sides.
    """
    means: dict[str, dict[str, list[float]]] = {}
    for run, content in found.items():
        if (run.version, run.task) == (cell.version, cell.task.name) and content["budget"] == study.FRAMES:
            lines = [line for line in content["metrics"] if line["frames"] > 0.8 * content["budget"]]
            for metric in LATE_METRICS:
                if values := [line[metric] for line in lines if metric in line]:
                    means.setdefault(metric, {}).setdefault(run.side, []).append(float(np.mean(values)))
    return {metric: sides for metric, sides in means.items() if len(sides) == len(SIDES)}
