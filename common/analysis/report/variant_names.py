"""Names for what is compared: runs of one name whose configs differ get names that say how."""

from common.analysis.report.run_data import Run
from common.config.config import flatten
from common.storage.logdir import MAY_CHANGE

NAMED = 3  # differing keys that fit into a name


def fixed(config: dict) -> dict:
    """Flat config without the seed and what may change during a run."""
    return {key: value for key, value in flatten(config).items() if key not in MAY_CHANGE | {"seed"}}


def name_variants(runs: list[Run]) -> list[Run]:
    """Runs with other names where two of one variant and task have different configs."""
    names = dict.fromkeys(run.variant for run in runs)
    return [named for name in names for named in _apart([run for run in runs if run.variant == name])]


def _apart(runs: list[Run]) -> list[Run]:
    """Runs of one name; the keys that differ within any task become part of it."""
    keys = _differing(runs)
    if not keys:
        return runs
    labels: dict[str, list[dict]] = {}
    return [run._replace(variant=_label(run, keys, labels)) for run in runs]


def _differing(runs: list[Run]) -> list[str]:
    """Keys in which runs of one task differ; where a part differs, its options go without saying."""
    keys: dict[str, None] = {}
    for task in dict.fromkeys(run.task for run in runs):
        configs = [fixed(run.config) for run in runs if run.task == task]
        names = dict.fromkeys(key for config in configs for key in config)
        keys |= dict.fromkeys(key for key in names if any(c.get(key) != configs[0].get(key) for c in configs))
    swapped = {key.removesuffix("use") for key in keys if key.endswith(".use")}
    return [key for key in keys if key.endswith(".use") or key.rpartition(".")[0] + "." not in swapped]


def _label(run: Run, keys: list[str], labels: dict[str, list[dict]]) -> str:
    """Name with the first of the keys; a number is added where that does not tell two configs apart."""
    config = fixed(run.config)
    told = [f"{key}={config.get(key)}" for key in keys[:NAMED]] + ["…"] * (len(keys) > NAMED)
    name = f"{run.variant} ({', '.join(told)})"
    same = labels.setdefault(f"{run.task} {name}", [])
    if config not in same:
        same.append(config)
    number = same.index(config) + 1
    return name if number == 1 else f"{name} #{number}"
