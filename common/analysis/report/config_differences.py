"""Config keys in which the variants differ, grouped by concept."""

import fnmatch

from common.analysis.report.run_collection import Runs
from common.config.config import flatten
from common.config.features import FEATURES

IGNORED_KEYS = ("seed", "logdir", "task")
OTHER_CONCEPT = "Other settings"


def concept(key: str) -> str:
    """Return the description of the first feature that has a key."""
    found = (what for what, globs in FEATURES.values() if any(fnmatch.fnmatch(key, glob) for glob in globs))
    return next(found, OTHER_CONCEPT)


def config_differences(runs: Runs) -> list[dict]:
    """Return groups with `concept` and `rows` of `key`, `values` (variant -> value), and the `tasks` with these values.

    Values are from each variant's first run on a task; None if the variant lacks the key.
    """
    found: dict[tuple, dict] = {}
    for task in runs.tasks:
        configs = {run.variant: flatten(run.config) for run in reversed(runs.on(task))}
        for key in dict.fromkeys(key for config in configs.values() for key in config):
            values = {variant: config.get(key) for variant, config in configs.items()}
            if key not in IGNORED_KEYS and len(set(map(repr, values.values()))) > 1:
                found.setdefault((key, repr(values)), {"key": key, "values": values, "tasks": []})["tasks"].append(task)
    groups: dict[str, list[dict]] = {what: [] for what in [*(what for what, _ in FEATURES.values()), OTHER_CONCEPT]}
    for row in found.values():
        groups[concept(row["key"])].append(row)
    return [{"concept": name, "rows": rows} for name, rows in groups.items() if rows]
