"""In which config keys the variants differ, grouped by concept."""

import fnmatch
from typing import Any

from common.analysis.report.run_collection import Runs
from common.analysis.report.run_data import Run
from common.config.config import flatten
from common.config.features import FEATURES

#: Keys that tell runs apart, not ideas.
ASIDE = ("seed", "logdir", "task")
OTHER = "Other settings"


def concept(key: str) -> str:
    """The first feature that has a key."""
    found = (what for what, globs in FEATURES.values() if any(fnmatch.fnmatch(key, glob) for glob in globs))
    return next(found, OTHER)


def differences(runs: Runs) -> list[dict]:
    """Groups of differing keys: `concept`, and `rows` of `key`, `values` (variant -> value) and `tasks` it holds for.

    Values are those of each variant's first run on a task; a key that a variant does not have is None.
    """
    found: dict[tuple, dict] = {}
    for task in runs.tasks:
        configs = _configs([run for run in runs.runs if run.task == task])
        for key in dict.fromkeys(key for config in configs.values() for key in config):
            values = {variant: config.get(key) for variant, config in configs.items()}
            if key not in ASIDE and len(set(map(repr, values.values()))) > 1:
                found.setdefault((key, repr(values)), {"key": key, "values": values, "tasks": []})["tasks"].append(task)
    return _grouped(list(found.values()))


def _configs(runs: list[Run]) -> dict[str, dict[str, Any]]:
    """Variant -> flat config of its first run."""
    return {run.variant: flatten(run.config) for run in reversed(runs)}


def _grouped(rows: list[dict]) -> list[dict]:
    """Rows by concept, in the order of the features."""
    order = {what: place for place, (what, _) in enumerate(FEATURES.values())}
    names = sorted({concept(row["key"]) for row in rows}, key=lambda what: order.get(what, len(order)))
    return [{"concept": name, "rows": [row for row in rows if concept(row["key"]) == name]} for name in names]
