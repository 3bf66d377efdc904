"""The texts that `reference` prints: catalogue, tables of a task, table of a benchmark."""

import textwrap
from collections.abc import Iterable

import numpy as np

from common.analysis.reference import data, task_names
from common.analysis.reference.aggregate import scoreboard, summarise
from common.analysis.reference.published import Constants, FinalScore, PublishedCurve
from common.config.tables import table, to_text

FRACTIONS = (0.1, 0.25, 0.5, 1.0)  # of the smallest budget: the frames in the columns of a task's table


def catalogue(extra: list[PublishedCurve]) -> str:
    """List all benchmarks with their methods and tasks, and the curves of the user's file."""
    blocks = []
    for benchmark, about in data.benchmarks().items():
        tasks = task_names.tasks(benchmark)
        methods = dict.fromkeys(_with_algo(entry["method"], entry["algo"]) for entry in data.entries(benchmark))
        lines = [f"{benchmark}: {about['title']}, {len(tasks)} tasks", _fill("curves", methods)]
        if finals := dict.fromkeys(table["method"] for table in data.final_tables(benchmark)):
            lines.append(_fill("final scores", finals))
        blocks.append("\n".join([*lines, _fill("tasks", tasks)]))
    if extra:
        blocks.append(_fill("In the file", [f"{curve.method} on {curve.task} ({curve.benchmark})" for curve in extra]))
    blocks.append("Next: --task TASK, --benchmark NAME, --overlay LOGDIR --out FILE.png, --check LOGDIR.")
    return "\n\n".join(blocks)


def task_tables(benchmark: str, curves: list[PublishedCurve], finals: list[FinalScore]) -> str:
    """Return the curves of one task at a few frames, its final scores, and all sources."""
    title = data.benchmarks().get(benchmark, {"title": "from the file"})["title"]
    items: list[PublishedCurve | FinalScore] = [*curves, *finals]
    blocks = [f"{items[0].task} in {benchmark}: {title}"]
    if curves:
        frames = [fraction * min(curve.budget for curve in curves) for fraction in FRACTIONS]
        rows = [["frames", *(f"{x:,.0f}" for x in frames), "last 5 %", "runs", "up to frame"]]
        for curve in curves:
            at = [int(i) for i in np.searchsorted(curve.x, frames)]
            values = [f"{curve.mean[i]:.4g} ± {curve.std[i]:.3g}" if i < len(curve.x) else "–" for i in at]
            mean, std, n = curve.final
            last = _spread(mean, None if np.isnan(std) else std)
            rows.append([_with_algo(curve.method, curve.algo), *values, last, _count(n), f"{curve.x[-1]:,.0f}"])
        blocks += [_table(rows), "Mean ± standard deviation over runs, in the interval of frames that ends there."]
    for metric in dict.fromkeys(final.metric for final in finals):
        rows = [["final scores", metric or "score", "frames", "runs"]]
        for final in (final for final in finals if final.metric == metric):
            frames_text = f"{final.frames:,}" if final.frames else "–"
            name = _with_algo(final.method, final.algo)
            rows.append([name, _spread(final.score, final.std), frames_text, _count(final.seeds)])
        blocks.append(_table(rows))
    if rates := data.success_rates(benchmark) if benchmark in data.benchmarks() else {}:
        blocks.append(rates_table(rates))
    groups: dict[tuple[str, str], dict[str, None]] = {}
    for item in items:
        groups.setdefault((item.source, item.protocol), {})[item.method] = None
    sources = [_fill(", ".join(methods), key, "; ") for key, methods in groups.items()]
    return "\n\n".join([*blocks, "\n".join(["Sources and protocols", *sources])])


def rates_table(rates: dict) -> str:
    """Return the success rates of achievements, one column per method."""
    rows = zip(rates["achievements"], *rates["percent"].values(), strict=True)
    shown = [[name, *(_number(value, 3) for value in values)] for name, *values in rows]
    return _table([["% of episodes", *rates["percent"]], *shown])


def benchmark_table(name: str) -> str:
    """Return the final scores of all tasks of a benchmark, and their mean and median over tasks.

    Atari scores are aggregated relative to a human's. Methods with a single task are not aggregated.
    """
    tasks, about = task_names.tasks(name), data.benchmarks()[name]
    scale, metric = about.get("scale", 1), about.get("metric", "score")
    unit, digits = (metric, 4) if "scale" in about else ("relative to human", 3)
    board = scoreboard(name, tasks)
    rows = [[task, *(_number(scores.get(task)) for scores in board.values())] for task in tasks]
    text = _table([[f"{metric}, last 5 % or final", *board], *rows])
    rows = [["over its tasks", "tasks", f"mean {unit}", f"median {unit}", "mean relative to record", "clipped at 1"]]
    for method, scores in board.items():
        found = summarise(scores) if method not in Constants._fields else None
        if found and found.tasks > 1:
            middle = [_number(value * scale, digits) for value in (found.mean, found.median)]
            rows.append([method, str(found.tasks), *middle, _number(found.record, 2), _number(found.clipped, 2)])
    return f"{text}\n\n{_table(rows)}" if rows[1:] else text


def _number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}g}" if abs(value) < 1e4 else f"{value:.0f}"


def _spread(mean: float, std: float | None) -> str:
    """Return mean ± deviation; only the mean if the deviation is not known."""
    return f"{mean:.4g}" if std is None else f"{mean:.4g} ± {std:.3g}"


def _count(runs: int) -> str:
    """Return a number of runs; a dash for 0, which is unknown."""
    return str(runs) if runs else "–"


def _with_algo(method: str, algo: str) -> str:
    """Return a method with the version here that is this method."""
    return f"{method} ({algo})" if algo and algo != method else method


def _fill(title: str, words: Iterable[str], between: str = ", ") -> str:
    """Return words after a title, in lines of 120 characters."""
    return textwrap.fill(between.join(words), 120, initial_indent=f"  {title}: ", subsequent_indent="    ")


def _table(rows: list[list[str]]) -> str:
    """Return rows as plain text in columns."""
    return to_text(table(rows))
