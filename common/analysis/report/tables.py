"""Tables of a report as text, for every format."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from common.analysis.report import formatting
from common.analysis.report.curves import AXES

MAX_COLUMNS_OF_VARIANTS = 6  # variants that fit side by side
AGGREGATE_TITLES = {"mean": "mean", "median": "median", "iqm": "interquartile mean"}


class ReportTable(NamedTuple):
    """Head and rows of text; the first `labels` columns are names, the others numbers. note: a line below."""

    head: list[str]
    rows: list[list[str]]
    labels: int = 1
    note: str = ""


def scores(report: dict) -> ReportTable:
    """Final score of every variant on every task, with interval and number of seeds."""
    cells = {(row["task"], row["variant"]): f"{formatting.interval(row)} ({row['seeds']})" for row in report["scores"]}
    tasks, variants = report["tasks"], report["variants"]
    note = "Mean over seeds [95 % bootstrap interval] (number of seeds)."
    if len(variants) > MAX_COLUMNS_OF_VARIANTS:
        rows = [[v, *(cells.get((task, v), formatting.DASH) for task in tasks)] for v in variants]
        return ReportTable(["variant", *tasks], rows, note=note)
    rows = [[task, *(cells.get((task, v), formatting.DASH) for v in variants)] for task in tasks]
    return ReportTable(["task", *variants], rows, note=note)


def verdict(row: dict, enough: int = 3) -> str:
    """What a comparison amounts to, in words."""
    one, two = row["one"], row["two"]
    return {
        "better": f"{one} scores higher than {two}",
        "worse": f"{one} scores lower than {two}",
        "open": "no significant difference",
        "few": f"no verdict: fewer than {enough} seeds",
    }[row["verdict"]]


def comparisons(rows: Sequence[dict]) -> ReportTable:
    """Differences with interval, p, probability of improvement and verdict."""
    named = any("task" in row for row in rows)
    head = [*["task"] * named, "difference", "verdict", "value", "p", "chance to beat"]
    table = [[*[row.get("task", "all tasks")] * named, f"{row['one']} − {row['two']}", *_effect(row)] for row in rows]
    return ReportTable(head, table, labels=2 + named)


def _effect(row: dict) -> list[str]:
    p = formatting.DASH if row["p"] is None else "< 0.001" if row["p"] < 0.001 else f"{row['p']:.3f}"
    return [verdict(row), formatting.interval(row, sign=True), p, formatting.chance(row["improvement"])]


def aggregates(part: dict, variants: Sequence[str]) -> ReportTable:
    """Normalised aggregates over tasks."""
    cells = {(row["variant"], row["statistic"]): formatting.interval(row) for row in part["values"]}
    rows = [[v, *(cells[v, statistic] for statistic in AGGREGATE_TITLES)] for v in variants]
    return ReportTable(["variant", *AGGREGATE_TITLES.values()], rows)


def scales(report: dict) -> ReportTable:
    """What counts as 0 and 1 on each task."""
    rows = [
        [task, s["name"], formatting.score(s["zero"]), formatting.score(s["one"])]
        for task, s in report["scales"].items()
    ]
    return ReportTable(["task", "scale", "0 is", "1 is"], rows, labels=2)


def reach(report: dict) -> ReportTable:
    """Frames to each score."""
    places = dict.fromkeys((row["task"], row["level"]) for row in report["reach"])
    cells = {(row["task"], row["level"], row["variant"]): _reached(row) for row in report["reach"]}
    rows = [
        [task, formatting.score(level), *(cells.get((task, level, v), formatting.DASH) for v in report["variants"])]
        for task, level in places
    ]
    return ReportTable(["task", "score", *report["variants"]], rows)


def _reached(row: dict) -> str:
    frames = "not reached" if row["frames"] is None else formatting.count(row["frames"])
    return f"{frames} ({row['reached']} of {row['seeds']})"


def crafter(report: dict) -> ReportTable:
    """Crafter's score of every variant, and below it how often each achievement was unlocked."""
    cells = {(row["task"], row["variant"]): row for row in report["crafter"]}
    variants = [v for v in report["variants"] if any(variant == v for _, variant in cells)]
    table = []
    for task in dict.fromkeys(task for task, _ in cells):
        own = [cells.get((task, v)) for v in variants]
        scores = [f"{formatting.interval(row)} ({row['seeds']})" if row else formatting.DASH for row in own]
        table.append([task, "score", *scores])
        for name in next(row["rates"] for row in own if row):
            rates = [f"{formatting.score(row['rates'][name])} %" if row else formatting.DASH for row in own]
            table.append([task, name.replace("_", " "), *rates])
    return ReportTable(
        ["task", "", *variants], table, labels=2, note="Score: mean over seeds [interval] (number of seeds)."
    )


def costs(report: dict) -> ReportTable:
    """What a run of each variant takes: means over all its runs."""
    head = ["variant", "runs", "frames", "updates", "replayed / frame", "parameters", "time", "peak memory"]
    rows = []
    for variant in report["variants"]:
        own = [run for run in report["runs"] if run["variant"] == variant]
        mean = lambda key, own=own: _mean([run[key] for run in own])
        counts = [formatting.count(mean(key)) for key in ("frames", "updates")]
        counts += [formatting.short(mean("replayed_per_frame")), formatting.count(mean("parameters"))]
        rows.append(
            [variant, str(len(own)), *counts, formatting.duration(mean("wall")), formatting.memory(mean("peak_memory"))]
        )
    return ReportTable(head, rows, note="Means over runs.")


def _mean(values: list) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def runs(report: dict) -> ReportTable:
    """One row for every run; letters stand for the rows of `origins`."""
    head = ["variant", "task", "seed", "score", "evaluation", "frames", "updates", "replayed / frame"]
    head += ["parameters", "time", "peak memory", "resumed", "made with"]
    letters = _letters(report)
    rows = [[*_progress(run), *_machine(run), letters[_origin(run)]] for run in report["runs"]]
    return ReportTable(head, rows, labels=2)


def _progress(run: dict) -> list[str]:
    replayed = formatting.short(run["replayed_per_frame"])
    counts = [formatting.count(run["frames"]), formatting.count(run["updates"]), replayed]
    return [run["variant"], run["task"], str(run["seed"]), formatting.score(run["score"]), _evaluation(run), *counts]


def _evaluation(run: dict) -> str:
    result = run["evaluation"] or {}
    if result.get("mean") is None:
        return formatting.DASH
    return f"{formatting.score(result['mean'])} ± {formatting.score(result.get('std'))} ({result.get('n')})"


def _machine(run: dict) -> list[str]:
    resumes = formatting.DASH if run["resumes"] is None else str(run["resumes"])
    return [
        formatting.count(run["parameters"]),
        formatting.duration(run["wall"]),
        formatting.memory(run["peak_memory"]),
        resumes,
    ]


def origins(report: dict) -> ReportTable:
    """Revision, versions and hardware that runs were made with."""
    rows = [[letter, *_told(json.loads(origin))] for origin, letter in _letters(report).items()]
    return ReportTable(["", "revision", "versions", "hardware"], rows, labels=4)


def _letters(report: dict) -> dict[str, str]:
    distinct = dict.fromkeys(map(_origin, report["runs"]))
    return {origin: chr(ord("A") + i) if i < 26 else f"A{i - 25}" for i, origin in enumerate(distinct)}


def _origin(run: dict) -> str:
    return json.dumps([run[key] for key in ("git", "python", "packages", "hardware", "threads")], sort_keys=True)


def _told(origin: list) -> list[str]:
    git, python, packages, hardware, threads = origin
    versions = [f"{name} {version}" for name, version in (packages or {}).items() if version]
    machine = {"gpus": [], "cpu": None, "cores": None} | (hardware or {})
    parts = [*machine["gpus"], machine["cpu"], machine["cores"] and f"{machine['cores']} core(s)"]
    parts += [threads and f"{threads} thread(s)"]
    place = ", ".join(part for part in parts if part) or formatting.DASH
    revision = formatting.DASH if not git else git[:10] + "+ with changes" * git.endswith("+")
    return [revision, ", ".join([f"Python {python}", *versions]) if python else formatting.DASH, place]


def health(report: dict) -> ReportTable:
    """Flags of runs: why they may not learn."""
    rows = [
        [row["variant"], row["task"], str(row["seed"]), row["name"], row["sentence"], row["advice"]]
        for row in report["health"]
    ]
    return ReportTable(["variant", "task", "seed", "flag", "what was seen", "what to try"], rows, labels=6)


def left_out(report: dict) -> ReportTable:
    """Runs that failed, have not finished, or cannot be read."""
    rows = [[missing["name"], missing["status"], missing["reason"]] for missing in report["left_out"]]
    return ReportTable(["run", "state", "reason"], rows, labels=3)


def config(report: dict) -> ReportTable:
    """Differing config keys by concept: side by side, or what each variant changes where that is the question."""
    rows = [(group["concept"], row) for group in report["config"] for row in group["rows"]]
    if report["kind"] in ("ablate", "ladder") or len(report["variants"]) > MAX_COLUMNS_OF_VARIANTS:
        return _changes(report, rows)
    several = any(row["tasks"] != report["tasks"] for _, row in rows)
    table = [
        [concept, row["key"], *[", ".join(row["tasks"])] * several, *(_value(row, v) for v in report["variants"])]
        for concept, row in rows
    ]
    return ReportTable(["concept", "key", *["tasks"] * several, *report["variants"]], table, labels=2 + several)


def _changes(report: dict, rows: list) -> ReportTable:
    table = [
        [f"{one} against {two}", concept, row["key"], _value(row, two), _value(row, one)]
        for one, two in report["pairs"]
        for concept, row in rows
        if _value(row, one) != _value(row, two)
    ]
    return ReportTable(
        ["variant", "concept", "key", "from", "to"], list(map(list, dict.fromkeys(map(tuple, table)))), labels=5
    )


def _value(row: dict, variant: str) -> str:
    value = row["values"].get(variant)
    if value is None:
        return formatting.DASH
    return str(value).lower() if isinstance(value, bool) else str(value)


def cuts(report: dict, axis: str) -> list[str]:
    """A sentence for each task whose runs differ in length on an axis."""
    sentences = []
    for task, part in report["curves"][axis].items():
        cut = part["cut"]
        if cut["uneven"]:
            at, longest = (f"{formatting.count(cut[key])} {AXES[axis]}" for key in ("at", "longest"))
            sentences.append(f"{task}: cut at {at}, where {cut['by']} ends. The longest run has {longest}.")
    return sentences
