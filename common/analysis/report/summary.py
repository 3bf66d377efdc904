"""What a report says in sentences."""

from common.analysis import stats
from common.analysis.report import formatting
from common.config.render_mode import render_mode_warning

NAMED = 8  # names that fit into a sentence
MATCHED = {
    "frames": "equal environment frames",
    "updates": "equal numbers of updates",
    "replayed": "equal numbers of replayed steps",
    "time": "equal training time",
}


def compared(report: dict) -> str:
    """Variants, tasks, seeds and budget in one sentence; and that images are drawn in another way than usual."""
    few, most = seeds(report)
    several = str(most) if few == most else f"{few} to {most}"
    text = f"{counted('variant', report['variants'])} on {counted('task', report['tasks'])}"
    text += f" with {several} seed{'s' * (most != 1)} each"
    budget = MATCHED.get(report["match"] or "")
    text = f"{text}, at {budget}." if budget else f"{text}."
    return " ".join([text, *map(render_mode_warning, report["drawn"])])


def counted(kind: str, names: list[str]) -> str:
    """'2 tasks (a and b)'; the number alone if they are many."""
    listed = f" ({formatting.join_names(names)})" if len(names) <= NAMED else ""
    return f"{len(names)} {kind}{'s' * (len(names) != 1)}{listed}"


def seeds(report: dict) -> tuple[int, int]:
    """The smallest and the largest number of seeds that a variant has on a task."""
    numbers = [number for row in report["seeds"].values() for number in row.values()]
    return min(numbers), max(numbers)


def warning(report: dict) -> str:
    """That there are too few seeds, or rungs without any, if so; else nothing."""
    return " ".join(sentence for sentence in (few_seeds(report), missing_rungs(report)) if sentence)


def few_seeds(report: dict) -> str:
    """That there are too few seeds, if so; else nothing."""
    few, most = seeds(report)
    if few >= stats.MIN_SEEDS:
        return ""
    who = "Some variants have" if few < most else "There is" if few == 1 else "There are"
    return (
        f"Fewer than {stats.MIN_SEEDS} seeds: no statement about differences. {who} only {few} seed{'s' * (few != 1)}."
    )


def missing_rungs(report: dict) -> str:
    """That a step of a ladder shows several changes, if so; else nothing."""
    if report["kind"] != "ladder" or not report["without"]:
        return ""
    who = formatting.join_names(report["without"])
    return f"No run of {who} counts: the step to the rung that follows shows what changed there, too."


def findings(report: dict) -> list[str]:
    """What is significant, a sentence for each pair of variants; what is not; and how much would be by chance."""
    rows = [*report["comparisons"], *report["aggregates"].get("comparisons", [])]
    judged = [row for row in rows if row["verdict"] != "few"]
    if not judged:
        return []
    clear = [row for row in judged if row["verdict"] != "open"]
    groups = {(one, two): [r for r in clear if (r["one"], r["two"]) == (one, two)] for one, two in report["pairs"]}
    sentences = [pair(*couple, rows) for couple, rows in groups.items() if rows]
    equal = [f"{one} and {two}" for (one, two), rows in groups.items() if not rows]
    if equal:
        sentences.append(f"No significant difference: {some(equal, 'pairs', '; ')}.")
    return [*sentences, chance(len(judged), len(clear))]


def pair(one: str, two: str, rows: list[dict]) -> str:
    """On which tasks one variant scores higher or lower than another, and by how much."""
    groups = {"higher": "better", "lower": "worse"}
    places = {say: [place(row) for row in rows if row["verdict"] == verdict] for say, verdict in groups.items()}
    parts = [f"{say} than {two} on {some(names, 'tasks', ', ')}" for say, names in places.items() if names]
    return f"{one} scores {' and '.join(parts)}."


def place(row: dict) -> str:
    """Task and size of a difference."""
    return f"{row.get('task', 'all tasks, normalised')} ({formatting.interval(row, sign=True)})"


def some(names: list[str], kind: str, between: str) -> str:
    """Names, or their number if they are many."""
    return between.join(names) if len(names) <= NAMED else f"{len(names)} {kind}"


def chance(judged: int, clear: int) -> str:
    """How many of the comparisons are significant, and how many would be without any difference."""
    wrong = (1 - stats.CONFIDENCE) * judged
    begin = f"{clear} of {judged} comparison{'s' * (judged != 1)} {'is' if clear == 1 else 'are'} significant at 95 %"
    if not clear:
        begin = f"None of {judged} comparison{'s' * (judged != 1)} is significant at 95 %"
    more = f"; about {wrong:.2g} would be by chance alone if nothing differed." if judged > 1 else "."
    return begin + more + " A difference that is not significant is not shown to be absent."
