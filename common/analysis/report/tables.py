"""Tables of a report as text, for every format."""

from collections.abc import Sequence
from typing import NamedTuple

from common.analysis.report.curves import AXES
from common.analysis.report.formatting import (
    DASH,
    count,
    interval,
    percent_interval,
    probability,
    score,
)
from common.analysis.report.score_normalization import HUMAN_SCALE
from common.analysis.stats import MIN_SEEDS

MAX_VARIANT_COLUMNS = 6
UPDATES_NOTE = "Updates: mean over seeds, where the score is taken."
SCORE_NOTE = "Mean over seeds [95 % bootstrap interval] (number of seeds)."
FEW_SEEDS = (
    f"A dash in place of an interval, p, chance or verdict: fewer than {MIN_SEEDS} seeds. Their spread does not show "
    "how much other seeds would differ."
)
LEVEL_TITLES = {"random": "random policy", "human": "human", "record": "human record", "maximum": "maximum"}
AGGREGATE_TITLES = {"mean": "mean", "median": "median", "iqm": "interquartile mean"}


class ReportTable(NamedTuple):
    """Head and rows of text; the first `labels` columns are names, the others numbers. note: a line below."""

    head: list[str]
    rows: list[list[str]]
    labels: int = 1
    note: str = ""


def scores(report: dict) -> ReportTable:
    """Return the final score of every variant on every task, with interval, number of seeds, and updates."""
    cells = {(row["task"], row["variant"]): f"{interval(row)} ({row['seeds']})" for row in report["scores"]}
    known = known_levels(report)
    cells |= {
        (task, title): score(report["levels"][task][key]) for key, title in known.items() for task in report["tasks"]
    }
    tasks, variants = report["tasks"], [*known.values(), *report["variants"]]
    note = " ".join(filter(None, [SCORE_NOTE, UPDATES_NOTE, random_sources(report), few_seeds_note(report["scores"])]))
    updates = {(row["task"], row["variant"]): count(row["updates"]) for row in report["training"]}
    pair = lambda task, variant: (cells.get((task, variant), DASH), updates.get((task, variant), ""))
    if len(report["variants"]) > MAX_VARIANT_COLUMNS:
        rows = [[variant, *(cell for task in tasks for cell in pair(task, variant))] for variant in variants]
        return ReportTable(["variant", *(name for task in tasks for name in (task, "updates"))], rows, note=note)
    rows = [
        [name, *(pair(task, variant)[place] for variant in variants)]
        for task in tasks
        for place, name in enumerate((task, "updates"))
    ]
    return ReportTable(["task", *variants], rows, note=note)


def known_levels(report: dict) -> dict[str, str]:
    """Return key -> title of the levels that some task has: random, human, record, maximum."""
    return {
        key: title
        for key, title in LEVEL_TITLES.items()
        if any(row[key] is not None for row in report["levels"].values())
    }


def random_sources(report: dict) -> str:
    """Return where the scores of a random policy are from; "" without any."""
    known = {task: row["episodes"] for task, row in report["levels"].items() if row["random"] is not None}
    measured = [f"{task} {episodes}" for task, episodes in known.items() if episodes]
    texts = ["published"] * (len(measured) < len(known))
    texts += [f"mean return in the prefill of these runs (episodes: {', '.join(measured)})"] * bool(measured)
    return f"Random policy: {', or '.join(texts)}." if texts else ""


def comparisons(rows: Sequence[dict]) -> ReportTable:
    """Return verdict, difference with interval, p and probability of improvement of each comparison."""
    table = []
    for row in rows:
        one, two, p = row["one"], row["two"], row["p"]
        verdict = {
            "better": f"{one} scores higher than {two}",
            "worse": f"{one} scores lower than {two}",
            "open": "no significant difference",
            None: DASH,
        }[row["verdict"]]
        shown = DASH if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
        numbers = [interval(row, sign=True), shown, probability(row["improvement"])]
        table.append([*[row[key] for key in ("task",) if key in row], f"{one} − {two}", verdict, *numbers])
    task = ["task"] * any("task" in row for row in rows)
    head = [*task, "difference", "verdict", "value", "p", "probability of improvement"]
    return ReportTable(head, table, labels=2 + len(task), note=few_seeds_note(rows))


def few_seeds_note(rows: Sequence[dict]) -> str:
    """Return why rows with `seeds` have dashes in place of statistics; "" if all have enough seeds."""
    return FEW_SEEDS if any(row["seeds"] < MIN_SEEDS for row in rows) else ""


def aggregates(part: dict, variants: Sequence[str]) -> ReportTable:
    """Return the aggregates of normalised scores over tasks."""
    text = percent_interval if part["scale"] == HUMAN_SCALE else interval
    cells = {(row["variant"], row["statistic"]): text(row) for row in part["values"]}
    rows = [[variant, *(cells[variant, statistic] for statistic in AGGREGATE_TITLES)] for variant in variants]
    return ReportTable(["variant", *AGGREGATE_TITLES.values()], rows, note=few_seeds_note(part["values"]))


def scales(report: dict) -> ReportTable:
    """Return the scores that are normalised to 0 and to 1 on each task."""
    rows = [[task, s["name"], score(s["zero"]), score(s["one"])] for task, s in report["scales"].items()]
    return ReportTable(["task", "normalisation", "score at 0", "score at 1"], rows, labels=2)


def reach(report: dict) -> ReportTable:
    """Return the frames to each score, and how many seeds reached it."""
    cells: dict[tuple, dict[str, str]] = {}
    for row in report["reach"]:
        frames = "not reached" if row["frames"] is None else count(row["frames"])
        text = f"{frames} ({row['reached']} of {row['seeds']})"
        cells.setdefault((row["task"], row["level"]), {})[row["variant"]] = text
    variants = report["variants"]
    rows = [[task, score(level), *(row.get(v, DASH) for v in variants)] for (task, level), row in cells.items()]
    return ReportTable(["task", "score", *variants], rows)


def reach_left_out(report: dict) -> list[str]:
    """Return a sentence for each score that is not in the table of frames to a score."""
    return [f"{row['task']}: {row['reason']}." for row in report["reach_left_out"]]


def crafter(report: dict) -> ReportTable:
    """Return Crafter's score of every variant, and below it how often each achievement was unlocked."""
    cells = {(row["task"], row["variant"]): row for row in report["crafter"]}
    variants = [v for v in report["variants"] if any(variant == v for _, variant in cells)]
    table = []
    for task in dict.fromkeys(task for task, _ in cells):
        own = [cells.get((task, v)) for v in variants]
        table.append([task, "score", *(f"{interval(row)} ({row['seeds']})" if row else DASH for row in own)])
        for name in next(row["rates"] for row in own if row):
            rates = [f"{score(row['rates'][name])} %" if row else DASH for row in own]
            table.append([task, name.replace("_", " "), *rates])
    note = " ".join([f"Score: {SCORE_NOTE}", few_seeds_note(report["crafter"])]).strip()
    return ReportTable(["task", "", *variants], table, labels=2, note=note)


def health(report: dict) -> ReportTable:
    """Return the flags of runs that may not be learning."""
    keys = ("variant", "task", "seed", "name", "sentence", "advice")
    rows = [[str(row[key]) for key in keys] for row in report["health"]]
    return ReportTable(["variant", "task", "seed", "flag", "symptom", "suggestion"], rows, labels=6)


def left_out(report: dict) -> ReportTable:
    """Return the runs that failed, have not finished, or cannot be read."""
    rows = [[run[key] for key in ("name", "status", "reason")] for run in report["left_out"]]
    return ReportTable(["run", "status", "reason"], rows, labels=3)


def config(report: dict) -> ReportTable:
    """Return the differing config keys by concept, with the values of all variants.

    For ablations, ladders and many variants: the changes of each variant from the one it is compared with.
    """
    rows = [(group["concept"], row) for group in report["config"] for row in group["rows"]]
    if report["kind"] in ("ablate", "ladder") or len(report["variants"]) > MAX_VARIANT_COLUMNS:
        changes = {  # a dict, because tasks repeat changes
            (f"{one} compared with {two}", concept, row["key"], _value(row, two), _value(row, one)): None
            for one, two in report["pairs"]
            for concept, row in rows
            if _value(row, one) != _value(row, two)
        }
        return ReportTable(["variant", "concept", "key", "from", "to"], list(map(list, changes)), labels=5)
    several = any(row["tasks"] != report["tasks"] for _, row in rows)
    table = [
        [concept, row["key"], *[", ".join(row["tasks"])] * several, *(_value(row, v) for v in report["variants"])]
        for concept, row in rows
    ]
    return ReportTable(["concept", "key", *["tasks"] * several, *report["variants"]], table, labels=2 + several)


def _value(row: dict, variant: str) -> str:
    value = row["values"].get(variant)
    if value is None:
        return DASH
    return str(value).lower() if isinstance(value, bool) else str(value)


def cuts(report: dict, axis: str) -> list[str]:
    """Return a sentence for each task whose runs differ in length on an axis."""
    sentences = []
    for task, part in report["curves"][axis].items():
        cut = part["cut"]
        if cut["uneven"]:
            at, longest = (f"{count(cut[key])} {AXES[axis]}" for key in ("at", "longest"))
            sentences.append(f"{task}: cut off at {at}, where {cut['by']} ends. The longest run has {longest}.")
    return sentences
