"""What a report says in sentences."""

from common import stats
from common.report import curves, scores, words

NAMED = 8  # names that fit into a sentence
MATCHED = {
    "frames": "equal environment frames",
    "updates": "equal numbers of updates",
    "replayed": "equal numbers of replayed steps",
    "time": "equal training time",
}


def compared(report: dict) -> str:
    """Variants, tasks, seeds and budget in one sentence."""
    variants, tasks = report["variants"], report["tasks"]
    numbers = sorted({number for row in report["seeds"].values() for number in row.values()})
    several = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
    parts = [
        f"{len(variants)} variant{'s' * (len(variants) != 1)} ({words.listed(variants)})",
        f"on {len(tasks)} task{'s' * (len(tasks) != 1)} ({words.listed(tasks)})",
        f"with {several} seed{'s' * (numbers[-1] != 1)} each",
    ]
    budget = MATCHED.get(report["match"] or "")
    return " ".join(parts) + (f", at {budget}." if budget else ".")


def fewest(report: dict) -> int:
    """The smallest number of seeds that a variant has on a task."""
    return min(number for row in report["seeds"].values() for number in row.values())


def warning(report: dict) -> str:
    """That there are too few seeds, if so; else nothing."""
    few = fewest(report)
    if few >= stats.ENOUGH:
        return ""
    which = "Some variants have" if few < max(max(row.values()) for row in report["seeds"].values()) else "There is"
    amount = f"{few} seed{'s' * (few != 1)}"
    if which == "There is" and few > 1:
        which = "There are"
    return f"Fewer than {stats.ENOUGH} seeds: no statement about differences. {which} only {amount}."


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
    return f"{row.get('task', 'all tasks, normalised')} ({words.interval(row, sign=True)})"


def some(names: list[str], kind: str, between: str) -> str:
    """Names, or their number if they are many."""
    return between.join(names) if len(names) <= NAMED else f"{len(names)} {kind}"


def chance(judged: int, clear: int) -> str:
    """How many of the comparisons are significant, and how many would be without any difference."""
    wrong = (1 - stats.LEVEL) * judged
    begin = f"{clear} of {judged} comparison{'s' * (judged != 1)} {'is' if clear == 1 else 'are'} significant at 95 %"
    if not clear:
        begin = f"None of {judged} comparison{'s' * (judged != 1)} is significant at 95 %"
    more = f"; about {wrong:.2g} would be by chance alone if nothing differed." if judged > 1 else "."
    return begin + more + " A difference that is not significant is not shown to be absent."


def methods(report: dict) -> list[tuple[str, str]]:
    """Term -> how it is computed."""
    axis, last = curves.AXES[report["axis"]], f"{100 * scores.LAST:.0f} %"
    return [
        ("Score", "undiscounted return of training episodes, with exploration. The final score of a run is the mean "
         f"of the last {last} of its training episodes up to where the shortest run of the task ends, in {axis}."),
        ("Evaluation", "mean ± standard deviation over episodes (their number) of eval.json, where a run has it."),
        ("Curve", f"training episodes averaged in at most {curves.BINS} equal bins, drawn at their right edges, then "
         "averaged over seeds. An empty bin repeats the one before it; bins before the first episode are left away."),
        ("Interval, band", f"95 % percentile bootstrap over seeds, {stats.RESAMPLES:,} resamples, drawn within each "
         "task. With three seeds it holds the true mean in about 75 % of cases only, with ten in about 90 %."),
        ("Significant", f"at least {stats.ENOUGH} seeds on both sides, an interval of the difference without 0, and "
         "p < 0.05 in Welch's t-test, which keeps its error rate with three seeds where the interval alone does not. "
         "There is no correction for the number of comparisons."),
        ("Chance to beat, probability of improvement", "chance that a run of the one variant scores higher than a run "
         "of the other on the same task, ties counted half; averaged over tasks."),
        ("Over all tasks", "scores are normalised per task; the tables say how. Mean and median are over the tasks' "
         "means; the interquartile mean is that of the middle half of all runs of all tasks."),
        ("Performance profile", "share of runs above each normalised score, averaged over tasks."),
        ("Frames to a score", "right edge of the first bin of a run's curve at the score or above; the median over "
         "seeds, in brackets how many reached it. Without other scores asked for: "
         f"{words.listed([words.percent(share) for share in scores.SHARES])} of the way from the lowest start to the "
         "best final mean."),
        ("Replayed steps", "updates × batch size × batch length: the experience that a run has learned from, counted "
         "as often as it was replayed."),
        ("Time and memory", "seconds of training over all sessions, which depend on what else the machine did; peak "
         "memory is the largest resident memory of the process, on a GPU what was allocated there."),
        ("Published", "mean ± standard deviation over the published runs. Their sizes, budgets and kinds of episodes "
         "may differ from those here."),
    ]  # fmt: skip
