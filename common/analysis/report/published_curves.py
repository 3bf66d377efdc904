"""Published curves of the tasks in a report, for the same kind of observations and budget."""

import numpy as np

from common.analysis import reference
from common.analysis.reference import PublishedCurve
from common.analysis.reference.data import benchmarks
from common.analysis.report import curves
from common.analysis.report.run_collection import Runs
from common.analysis.report.run_data import Run
from common.config.config import flatten

FAMILY = "dreamer"  # how the names of the methods shown begin


def scores(runs: Runs) -> dict[str, list[dict]]:
    """Task -> published curves as far as the longest run, with method, source and protocol, where there are any."""
    result = {}
    for task in runs.tasks:
        own = [run for run in runs.runs if run.task == task]
        longest = curves.cut(own, "frames").longest
        found = [_upto(curve, longest) for curve in reference.curves(task) if _fits(curve, own)]
        if any(curve["x"] for curve in found):
            result[task] = [curve for curve in found if curve["x"]]
    return result


def _fits(curve: PublishedCurve, runs: list[Run]) -> bool:
    """Whether a curve is of this family, and all runs have the settings of its benchmark."""
    wanted = benchmarks()[curve.benchmark]["config"].items()
    alike = all(flatten(run.config).get(key) == value for run in runs for key, value in wanted)
    return curve.method.startswith(FAMILY) and alike


def _upto(curve: PublishedCurve, frames: float) -> dict:
    """A curve for JSON, without the points beyond `frames`."""
    within = np.asarray(curve.x) <= frames
    column = lambda values: np.broadcast_to(values, within.shape)[within].tolist()
    numbers = {key: column(getattr(curve, key)) for key in ("x", "mean", "std", "n")}
    return {**{key: getattr(curve, key) for key in ("method", "benchmark", "source", "protocol")}, **numbers}
