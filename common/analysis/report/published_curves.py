"""Published curves of the tasks in a report, for the same kind of observations and budget."""

import numpy as np

from common.analysis import reference
from common.analysis.reference import PublishedCurve
from common.analysis.reference.data import benchmarks
from common.analysis.report import curves
from common.analysis.report.run_collection import Runs
from common.analysis.report.run_data import Run
from common.config.config import flatten


def published_curves(runs: Runs) -> dict[str, list[dict]]:
    """Return task -> published curves of Dreamer, up to the end of the longest run. Tasks without curves are absent."""
    result = {}
    for task in runs.tasks:
        own = runs.on(task)
        longest = curves.cut_off(own, "frames").longest
        found = [
            _until(curve, longest) for curve in _without_reruns(reference.curves(task)) if _is_comparable(curve, own)
        ]
        if found := [curve for curve in found if curve["x"]]:
            result[task] = found
    return result


def _without_reruns(found: list[PublishedCurve]) -> list[PublishedCurve]:
    """Leave out runs of an agent by others where its authors published their own."""
    methods = {curve.method for curve in found}
    return [curve for curve in found if curve.method.removesuffix("_rerun") not in methods - {curve.method}]


def _is_comparable(curve: PublishedCurve, runs: list[Run]) -> bool:
    """Return whether a curve is of Dreamer's returns, and all runs have the settings of its benchmark."""
    about = benchmarks()[curve.benchmark]
    wanted = about["config"].items()
    alike = all(flatten(run.config).get(key) == value for run in runs for key, value in wanted)
    return curve.method.startswith("dreamer") and "metric" not in about and alike


def _until(curve: PublishedCurve, frames: float) -> dict:
    """Return a curve for JSON, without the points beyond `frames`."""
    within = np.asarray(curve.x) <= frames
    texts = {key: getattr(curve, key) for key in ("method", "benchmark", "source", "protocol")}
    numbers = {key: np.broadcast_to(getattr(curve, key), within.shape) for key in ("x", "mean", "std", "n")}
    return texts | {key: values[within].tolist() for key, values in numbers.items()}
