"""Tables of scores alone: methods next to a random policy, humans and the human record, and aggregates over tasks."""

import csv
import io
import math
from pathlib import Path
from typing import Any, NamedTuple

from common.analysis import reference
from common.analysis.reference import aggregate
from common.analysis.report.formatting import DASH, score
from common.analysis.report.score_levels import largest_return
from common.analysis.report.score_normalization import HUMAN_SCALE, accepted_scale
from common.analysis.report.tables import LEVEL_TITLES, ReportTable
from common.errors import UserError
from common.safe_io import is_finite_number, parse_json, read_bytes

EXPECTED_FORMAT = (
    "Expected a JSON object {task: score} or {method: {task: score}}, a JSON object with `tables` as in "
    "common/analysis/reference/finals.json, or CSV with a column `task` and a column for each method."
)


class MethodScores(NamedTuple):
    """Scores of a method, task -> score. group: of methods that share a table, such as a benchmark, or ""."""

    method: str
    group: str
    scores: dict[str, float]


def read_score_tables(path: Path) -> list[MethodScores]:
    """Read the scores in a file. Raises UserError if it cannot be read or has another format."""
    try:
        text = read_bytes(path).decode()
        found = _from_csv(text) if path.suffix == ".csv" else _from_json(parse_json(text), path.stem)
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}. Check the path.") from error
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path} is not a table of scores: {error}. {EXPECTED_FORMAT}") from error
    if not any(method.scores for method in found):
        raise UserError(f"{path} has no scores. {EXPECTED_FORMAT}")
    return [method for method in found if method.scores]


def _from_json(content: Any, name: str) -> list[MethodScores]:
    """Return the methods in parsed JSON. name: of the method if there is only one, without a name."""
    if not isinstance(content, dict):
        raise ValueError("it does not hold a JSON object")
    if isinstance(tables := content.get("tables"), list):
        return _distinct([_from_table(table) for table in tables])
    if content and all(isinstance(value, dict) for value in content.values()):
        return [MethodScores(method, "", _numbers(scores)) for method, scores in content.items()]
    return [MethodScores(name, "", _numbers(content))]


def _from_table(table: Any) -> MethodScores:
    if not isinstance(table, dict) or not {"method", "tasks"} <= set(table) or not isinstance(table["tasks"], dict):
        raise ValueError("a table lacks method or tasks")
    frames = table.get("frames")
    budget = f", {frames:,} frames" if isinstance(frames, int) and frames else ""
    group = ", ".join(str(table[key]) for key in ("benchmark", "metric") if table.get(key))
    first = lambda value: value[0] if isinstance(value, list) and value else value  # of mean and deviation
    scores = {task: first(value) for task, value in table["tasks"].items()}
    return MethodScores(f"{table['method']}{budget}", group, _numbers(scores))


def _distinct(methods: list[MethodScores]) -> list[MethodScores]:
    """Number the tables of one method in a group, such as those of several protocols."""
    seen: dict[tuple[str, str], int] = {}
    result = []
    for one in methods:
        number = seen[one.method, one.group] = seen.get((one.method, one.group), 0) + 1
        result.append(one if number == 1 else one._replace(method=f"{one.method} #{number}"))
    return result


def _from_csv(text: str) -> list[MethodScores]:
    rows = list(csv.DictReader(io.StringIO(text), strict=True))
    if not rows or "task" not in rows[0] or any(None in row for row in rows):
        raise ValueError("it has no column `task`, or rows of different lengths")
    methods = [name for name in rows[0] if name != "task"]
    cells = {name: {row["task"]: row[name].strip() for row in rows if (row[name] or "").strip()} for name in methods}
    return [
        MethodScores(name, "", _numbers({t: float(cell) for t, cell in own.items()})) for name, own in cells.items()
    ]


def _numbers(scores: dict) -> dict[str, float]:
    wrong = [task for task, value in scores.items() if not is_finite_number(value)]
    if wrong:
        raise ValueError(f"the score of {wrong[0]} is not a finite number")
    return {str(task): float(value) for task, value in scores.items()}


def score_report(methods: list[MethodScores]) -> dict[str, ReportTable]:
    """Return title -> table: the scores of each group of methods, and their aggregates over tasks of one scale."""
    found = {}
    for group in dict.fromkeys(method.group for method in methods):
        own = [method for method in methods if method.group == group]
        suffix = f" in {group}" if group else ""
        found[f"Scores{suffix}"] = _scores(own)
        if (table := _aggregates(own)).rows:
            found[f"Aggregates{suffix}"] = table
    return found


def _scores(methods: list[MethodScores]) -> ReportTable:
    """Return the score of each method on each task; in per cent of the way from a random policy to a human if known."""
    tasks = list(dict.fromkeys(task for method in methods for task in method.scores))
    levels = {task: reference.constants(task)._asdict() | {"maximum": largest_return(task)} for task in tasks}
    known = {key: name for key, name in LEVEL_TITLES.items() if any(levels[task][key] is not None for task in tasks)}
    rows = [
        [
            task,
            *(score(levels[task][key]) for key in known),
            *(_cell(task, method.scores.get(task)) for method in methods),
        ]
        for task in tasks
    ]
    note = f"In brackets: {HUMAN_SCALE}." if any("%" in cell for row in rows for cell in row) else ""
    return ReportTable(["environment", *known.values(), *(method.method for method in methods)], rows, note=note)


def _cell(task: str, value: float | None) -> str:
    scale = accepted_scale(task)
    if value is None or scale is None or scale.name != HUMAN_SCALE:
        return score(value)
    return f"{score(value)} ({_percent(float(scale(value)))})"


def _percent(share: float | None) -> str:
    return DASH if share is None or math.isnan(share) else f"{100 * share:,.1f} %".replace("-", "−")


def _aggregates(methods: list[MethodScores]) -> ReportTable:
    """Return mean and median of each method over its tasks of each scale."""
    rows: list[list[str]] = []
    alone: dict[str, None] = {}
    for method in methods:
        scales: dict[str, dict[str, float]] = {}
        for task, value in method.scores.items():
            if scale := accepted_scale(task):
                scales.setdefault(scale.name, {})[task] = value
            else:
                alone[task] = None
        for name, scores in scales.items():
            total = aggregate.summarise(scores)
            if total is not None:
                shown = [_percent(part) for part in (total.mean, total.median, total.record, total.clipped)]
                rows.append([method.method, name, str(total.tasks), *shown])
    listed = ", ".join(list(alone)[:8]) + ", …" * (len(alone) > 8)
    note = f"Not aggregated, because they have no published scale: {listed}." if alone else ""
    head = ["method", "scale", "environments", "mean", "median", "mean of human record", "record, clipped at 1"]
    return ReportTable(head, rows, labels=2, note=note)


def plain_text(table: ReportTable) -> str:
    """Return a table in columns for a terminal, numbers to the right."""
    lines = [table.head, *table.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    align = lambda place, cell: cell.ljust(widths[place]) if place < table.labels else cell.rjust(widths[place])
    text = "\n".join("  ".join(align(i, cell) for i, cell in enumerate(row)).rstrip() for row in lines)
    return f"{text}\n{table.note}" if table.note else text
