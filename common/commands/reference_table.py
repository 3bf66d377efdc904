"""The tables that `reference` prints."""

import textwrap
from collections.abc import Iterable

import numpy as np

from common.analysis.reference import data, task_names
from common.analysis.reference.aggregate import AggregateScores, scoreboard, summarise
from common.analysis.reference.published import Constants, FinalScore, PublishedCurve

FRACTIONS = (0.1, 0.25, 0.5, 1.0)  # of the smallest budget: the frames that a task's table shows


def catalogue(extra: list[PublishedCurve]) -> str:
    """All benchmarks with their methods and tasks, and the curves of the user's file."""
    blocks = []
    for benchmark, about in data.benchmarks().items():
        entries, tasks = data.entries(benchmark), task_names.tasks(benchmark)
        head = f"{benchmark}: {about['title']}, {len(tasks)} tasks"
        finals = dict.fromkeys(table["method"] for table in data.final_tables(benchmark))
        lines = [head, fill("curves", dict.fromkeys(titled(entry["method"], entry["algo"]) for entry in entries))]
        lines += [fill("final scores", finals)] if finals else []
        blocks.append("\n".join([*lines, fill("tasks", tasks)]))
    if extra:
        blocks.append(fill("In the file", [f"{curve.method} on {curve.task} ({curve.benchmark})" for curve in extra]))
    blocks.append("Next: --task TASK, --benchmark NAME, --overlay LOGDIR --out FILE.png, --check LOGDIR.")
    return "\n\n".join(blocks)


def task(benchmark: str, curves: list[PublishedCurve], finals: list[FinalScore]) -> str:
    """Curves of one task at a few frames, final scores, and where all of it is from."""
    name = (curves or finals)[0].task
    title = data.benchmarks().get(benchmark, {"title": "from the file"})["title"]
    blocks = [f"{name} in {benchmark}: {title}"]
    if curves:
        frames = [fraction * min(curve.budget for curve in curves) for fraction in FRACTIONS]
        head = ["frames", *(f"{x:,.0f}" for x in frames), "last 5 %", "of runs", "up to frame"]
        blocks.append(aligned([head, *([titled(c.method, c.algo), *cells(c, frames)] for c in curves)]))
        blocks.append("Mean ± standard deviation over runs; a figure is for the interval of frames that ends there.")
    if finals:
        rows = [[f.method, f"{f.score:g}", f"{f.frames:,}" if f.frames else "–"] for f in finals]
        blocks.append(aligned([["final scores", "score", "frames"], *rows]))
    return "\n\n".join([*blocks, "Sources and protocols\n" + "\n".join(origins([*curves, *finals]))])


def cells(curve: PublishedCurve, frames: list[float]) -> list[str]:
    """A curve's row in the table of a task."""
    at = [int(i) for i in np.searchsorted(curve.x, frames)]
    values = [f"{curve.mean[i]:.4g} ± {curve.std[i]:.3g}" if i < len(curve.x) else "–" for i in at]
    mean, std, n = curve.final
    return [*values, f"{mean:.4g} ± {std:.3g}", str(n), f"{curve.x[-1]:,.0f}"]


def origins(items: list[PublishedCurve | FinalScore]) -> list[str]:
    """One paragraph for each source and protocol, with the methods that share it."""
    groups: dict[tuple[str, str], list[str]] = {}
    for item in items:
        groups.setdefault((item.source, item.protocol), []).append(item.method)
    return [fill(", ".join(dict.fromkeys(methods)), key) for key, methods in groups.items()]


def benchmark(name: str) -> str:
    """Final scores of all tasks of a benchmark, and what the papers make of them."""
    tasks = task_names.tasks(name)
    board = scoreboard(name, tasks)
    rows = [[task, *(number(scores.get(task)) for scores in board.values())] for task in tasks]
    text = aligned([["last 5 %, or final score", *board], *rows])
    scale = data.benchmarks()[name].get("scale", 1)
    found = {method: summarise(scores) for method, scores in board.items() if method not in Constants._fields}
    summaries = {method: summary for method, summary in found.items() if summary}
    return f"{text}\n\n{aggregates(summaries, scale)}" if summaries else text


def aggregates(summaries: dict[str, AggregateScores], scale: float) -> str:
    """Mean and median over tasks, of scores or, on Atari, of scores relative to a human's."""
    unit = "score" if scale != 1 else "relative to human"
    rows = [["over its tasks", "tasks", f"mean {unit}", f"median {unit}", "mean of record", "cut at 1"]]
    for method, found in summaries.items():
        of_record = [number(found.record, 2), number(found.clipped, 2)]
        middle = [number(value * scale, 3 if scale == 1 else 4) for value in (found.mean, found.median)]
        rows.append([method, str(found.tasks), *middle, *of_record])
    return aligned(rows)


def number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}g}" if abs(value) < 1e4 else f"{value:.0f}"


def titled(method: str, algo: str) -> str:
    """A method with our name of it."""
    return f"{method} ({algo})" if algo and algo != method else method


def fill(title: str, words: Iterable[str]) -> str:
    """Words after a title, in lines of 120 characters."""
    text = "; ".join(words) if isinstance(words, tuple) else ", ".join(words)
    return textwrap.fill(text, 120, initial_indent=f"  {title}: ", subsequent_indent="    ")


def aligned(rows: list[list[str]]) -> str:
    """Rows in columns, all but the first flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return "\n".join("  ".join(line).rstrip() for line in lines)
