"""Sentences of a report: what was compared, warnings, and findings."""

from common.analysis import stats
from common.analysis.report.formatting import interval, join_names, plural
from common.analysis.training_amounts import TrainingAmount, uneven_notice
from common.config.render_mode import render_mode_warning

MAX_NAMES = 8  # in a sentence
BUDGETS = {
    "frames": "equal environment frames",
    "updates": "equal numbers of updates",
    "replayed": "equal numbers of replayed steps",
    "time": "equal training time",
}


def overview(report: dict) -> str:
    """Return variants, tasks, seeds, budget, settings of one version, and a warning about how images are rendered."""
    few, most = _seeds(report)
    listed = []
    for kind, names in (("variant", report["variants"]), ("task", report["tasks"])):
        listed.append(plural(len(names), kind) + (f" ({join_names(names)})" if len(names) <= MAX_NAMES else ""))
    text = f"{' on '.join(listed)} with {'' if few == most else f'{few} to '}{plural(most, 'seed')} each"
    budget = BUDGETS.get(report["match"] or "")
    sentences = [f"{text}, at {budget}." if budget else f"{text}.", own_settings(report)]
    return " ".join(filter(None, [*sentences, *map(render_mode_warning, report["drawn"])]))


def own_settings(report: dict) -> str:
    """Return the keys that were set for one version alone; "" without any."""
    keys = lambda own: ", ".join(f"{key} {' '.join(v) if isinstance(v, list) else v}" for key, v in own.items())
    listed = "; ".join(f"{version} has {keys(own)}" for version, own in report["own"].items())
    return f"Set for one version alone: {listed}." if listed else ""


def _seeds(report: dict) -> tuple[int, int]:
    """Return the smallest and the largest number of seeds of a variant on a task."""
    numbers = [number for row in report["seeds"].values() for number in row.values()]
    return min(numbers), max(numbers)


def bands(report: dict) -> str:
    """Return what the lines and the bands of learning curves are."""
    few, most = _seeds(report)
    if most < stats.MIN_SEEDS:
        return f"Mean over seeds. Curves of fewer than {stats.MIN_SEEDS} seeds have no band."
    text = "Mean over seeds with 95 % bootstrap band."
    return f"{text} Curves of fewer than {stats.MIN_SEEDS} seeds have no band." if few < stats.MIN_SEEDS else text


def warning(report: dict) -> str:
    """Return that there are too few seeds, or rungs without runs; "" if neither is true."""
    sentences, (few, most) = [], _seeds(report)
    if few < stats.MIN_SEEDS:
        who = "some variants have" if few < most else "there is" if few == 1 else "there are"
        needed = f"Comparing variants needs at least {stats.MIN_SEEDS} seeds each"
        sentences.append(f"Too few seeds. {needed}; {who} only {plural(few, 'seed')}.")
    if report["kind"] == "ladder" and report["without"]:
        verb = "has" if len(report["without"]) == 1 else "have"
        names = join_names(report["without"])
        sentences.append(f"{names} {verb} no finished run: the step to the next rung includes the changes of both.")
    return " ".join(sentences)


def uneven_training(report: dict) -> str:
    """Return that updates or replayed steps of the variants differ more than twofold; "" if they do not."""
    return uneven_notice((TrainingAmount(**row) for row in report["training"]), report["match"] or "")


def findings(report: dict) -> list[str]:
    """Return a sentence for each significant pair of variants, one for the others, and one on chance."""
    rows = [*report["comparisons"], *all_task_comparisons(report)]
    judged = [row for row in rows if row["verdict"] is not None]
    if not judged:
        return []
    significant = [row for row in judged if row["verdict"] != "open"]
    sentences, equal = [], []
    for one, two in report["pairs"]:
        own = [row for row in significant if (row["one"], row["two"]) == (one, two)]
        parts = []
        for word, verdict in (("higher", "better"), ("lower", "worse")):
            places = [_place(row) for row in own if row["verdict"] == verdict]
            listed = join_names(places) if len(places) <= MAX_NAMES else f"{len(places)} tasks"
            parts += [f"{word} than {two} on {listed}"] if places else []
        sentences += [f"{one} scores {' and '.join(parts)}."] if parts else []
        equal += [] if parts else [f"{one} and {two}"]
    if equal:
        listed = "; ".join(equal) if len(equal) <= MAX_NAMES else f"{len(equal)} pairs"
        sentences.append(f"No significant difference: {listed}.")
    return [*sentences, _chance(len(judged), len(significant))]


def all_task_comparisons(report: dict) -> list[dict]:
    """Return the comparisons of every aggregate, with its number of tasks and its scale."""
    return [
        {**row, "tasks": len(part["tasks"]), "scale": part["scale"]}
        for part in report["aggregates"]
        for row in part["comparisons"]
    ]


def aggregate_title(part: dict) -> str:
    """Return the tasks of an aggregate and their scale."""
    listed = f" ({join_names(part['tasks'])})" if len(part["tasks"]) <= MAX_NAMES else ""
    return f"{plural(len(part['tasks']), 'task')}{listed}, {part['scale']}"


def left_out_of_aggregates(report: dict) -> str:
    """Return which tasks are not aggregated, and why; "" if all are."""
    rows = report["not_aggregated"]
    if not rows:
        return ""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        reasons.setdefault(row["reason"], []).append(row["task"])
    listed = "; ".join(f"{_some(names)} ({reason})" for reason, names in reasons.items())
    verb = "is" if len(rows) == 1 else "are"
    return f"{len(rows)} of {len(report['tasks'])} tasks {verb} not aggregated: {listed}."


def _some(names: list[str]) -> str:
    return join_names(names) if len(names) <= MAX_NAMES else f"{join_names(names[:MAX_NAMES])} and others"


def _place(row: dict) -> str:
    """Return task and size of a difference."""
    size = interval(row, sign=True)
    return f"{row['task']} ({size})" if "task" in row else f"{row['tasks']} tasks together ({size}, {row['scale']})"


def _chance(judged: int, significant: int) -> str:
    """Return how many comparisons are significant, and how many would be by chance."""
    if judged == 1:
        text = f"The only comparison is {'' if significant else 'not '}significant (p < 0.05)."
    else:
        expected = (1 - stats.CONFIDENCE) * judged
        verb = "is" if significant == 1 else "are"
        text = (
            f"{significant or 'None'} of {judged} comparisons {verb} significant (p < 0.05). If no variants differed, "
            f"about {expected:.2g} of {judged} would be significant by chance."
        )
    if significant == judged:
        return text
    return f"{text} A difference that is not significant may still exist: more seeds show smaller differences."
