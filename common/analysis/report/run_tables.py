"""Tables of the runs in a report: costs, every run, and where runs are from."""

import json
from collections.abc import Callable

from common.analysis.report.formatting import DASH, count, duration, memory, score, short
from common.analysis.report.tables import ReportTable

#: Key of a run -> heading and format of its column.
COLUMNS: dict[str, tuple[str, Callable[[float | None], str]]] = {
    "frames": ("frames", count),
    "updates": ("updates", count),
    "replayed_per_frame": ("replayed / frame", short),
    "parameters": ("parameters", count),
    "wall": ("time", duration),
    "peak_memory": ("peak memory", memory),
}
HEADINGS = [heading for heading, _ in COLUMNS.values()]


def costs(report: dict) -> ReportTable:
    """Return means over the runs of each variant: counters, parameters, time and memory."""
    rows = []
    for variant in report["variants"]:
        own = [run for run in report["runs"] if run["variant"] == variant]
        known = {key: [run[key] for run in own if run[key] is not None] for key in COLUMNS}
        means = {key: sum(values) / len(values) if values else None for key, values in known.items()}
        rows.append([variant, str(len(own)), *(text(means[key]) for key, (_, text) in COLUMNS.items())])
    return ReportTable(["variant", "runs", *HEADINGS], rows, note="Means over runs.")


def runs(report: dict) -> ReportTable:
    """Return one row for every run; its last letter refers to a row of `origins`."""
    letters, rows = _letters(report), []
    evaluated = any(run["evaluation"] and run["evaluation"]["min"] is not None for run in report["runs"])
    for run in report["runs"]:
        result = run["evaluation"]
        evaluation = f"{score(result['mean'])} ± {score(result['std'])} ({result['n']})" if result else DASH
        spreads = [_spread(run["episodes"]), *[_spread(result, std=False)] * evaluated]
        numbers = [text(run[key]) for key, (_, text) in COLUMNS.items()]
        names = [
            run["variant"],
            run["task"],
            str(run["seed"]),
            score(run["score"]),
            spreads[0],
            evaluation,
            *spreads[1:],
        ]
        rows.append([*names, *numbers, count(run["resumes"]), letters[_origin(run)]])
    spread = ["range of evaluation"] * evaluated
    head = ["variant", "task", "seed", "score", "std, range of score", "evaluation", *spread, *HEADINGS]
    note = "std, range: of the returns of the episodes whose mean is the score."
    note = " ".join([note, *map(_lost_worker, report.get("lost_workers", []))])
    return ReportTable([*head, "resumed", "origin"], rows, labels=2, note=note)


def _lost_worker(row: dict) -> str:
    """Return that a run was started again, and where its workers were lost."""
    run = f"{row['variant']} on {row['task']}, seed {row['seed']}"
    return f"{run} was started again after a worker was lost (machine: {', '.join(row['machines'])})."


def _spread(row: dict | None, std: bool = True) -> str:
    """Return '12.3, 4.5 to 67' for std, min and max of episode returns, a dash if they are not stored."""
    if not row or row.get("min") is None:
        return DASH
    deviation = f"{score(row['std'])}, " if std else ""
    return f"{deviation}{score(row['min'])} to {score(row['max'])}"


def origins(report: dict) -> ReportTable:
    """Return the revision, the package versions and the hardware behind each letter in the table of runs."""
    rows = []
    for origin, letter in _letters(report).items():
        git, python, packages, hardware, threads = json.loads(origin)
        versions = [f"{name} {version}" for name, version in (packages or {}).items() if version]
        machine = {"gpus": [], "cpu": None, "cores": None} | (hardware or {})
        parts = [*machine["gpus"], machine["cpu"], machine["cores"] and f"{machine['cores']} core(s)"]
        parts += [threads and f"{threads} thread(s)"]
        revision = DASH if not git else git[:10] + " with uncommitted changes" * git.endswith("+")
        software = ", ".join([f"Python {python}", *versions]) if python else DASH
        rows.append([letter, revision, software, ", ".join(part for part in parts if part) or DASH])
    return ReportTable(["origin", "revision", "versions", "hardware"], rows, labels=4)


def _letters(report: dict) -> dict[str, str]:
    distinct = dict.fromkeys(map(_origin, report["runs"]))
    return {origin: chr(ord("A") + i) if i < 26 else f"A{i - 25}" for i, origin in enumerate(distinct)}


def _origin(run: dict) -> str:
    return json.dumps([run[key] for key in ("git", "python", "packages", "hardware", "threads")], sort_keys=True)
