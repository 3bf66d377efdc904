"""How the numbers of a report are made, in words."""

from common.analysis import stats
from common.analysis.report import curves, formatting, scores
from common.training import health

#: Term -> definition, with the numbers that it names.
TEXTS = {
    "Score": "undiscounted return of training episodes, with exploration. The final score of a run is the mean of the "
    "last {last} of its training episodes up to where the shortest run of the task ends, in {axis}.",
    "Evaluation": "mean ± standard deviation over episodes (their number) of eval.json, where a run has it.",
    "Curve": "training episodes averaged in at most {bins} equal bins, drawn at their right edges, then averaged over "
    "seeds. An empty bin repeats the one before it; bins before the first episode are left away.",
    "Interval, band": "95 % percentile bootstrap over seeds, {resamples:,} resamples, drawn within each task. With "
    "three seeds it holds the true mean in about 75 % of cases only, with ten in about 90 %.",
    "Significant": "at least {enough} seeds on both sides, an interval of the difference without 0, and p < 0.05 in "
    "Welch's t-test, which keeps its error rate with three seeds where the interval alone does not. There is no "
    "correction for the number of comparisons.",
    "Chance to beat, probability of improvement": "chance that a run of the one variant scores higher than a run of "
    "the other on the same task, ties counted half; averaged over tasks.",
    "Over all tasks": "scores are normalised per task; the tables say how. Mean and median are over the tasks' means; "
    "the interquartile mean is that of the middle half of all runs of all tasks.",
    "Performance profile": "share of runs above each normalised score, averaged over tasks.",
    "Frames to a score": "right edge of the first bin of a run's curve at the score or above; the median over seeds, "
    "in brackets how many reached it. Without other scores asked for: {shares} of the way from the lowest start to "
    "the best final mean.",
    "Replayed steps": "updates × batch size × batch length: the experience that a run has learned from, counted as "
    "often as it was replayed.",
    "Time and memory": "seconds of training over all sessions, which depend on what else the machine did; peak memory "
    "is the largest resident memory of the process, on a GPU what was allocated there.",
    "Health": "flags raised by the last {recent} lines of metrics, all of which must agree; some only while the score "
    "has not risen. A run without a flag may still have a fault that its metrics do not show.",
    "Published": "mean ± standard deviation over the published runs. Their sizes, budgets and kinds of episodes may "
    "differ from those here.",
}
CRAFTER = (
    "Crafter score",
    "exp(mean(ln(1 + s))) − 1 over the 22 achievements, where s is the percentage of all training episodes that "
    "unlocked one, up to the last line of metrics before the shortest run ends (Hafner 2021).",
)


def definitions(report: dict) -> list[tuple[str, str]]:
    """Term and definition of everything that a report shows."""
    numbers = {
        "last": formatting.percent(scores.FINAL_SHARE),
        "axis": curves.AXES[report["axis"]],
        "bins": curves.MAX_BINS,
    }
    numbers |= {"resamples": stats.RESAMPLES, "enough": stats.MIN_SEEDS}
    numbers |= {"recent": health.MIN_ROWS}
    numbers |= {"shares": formatting.join_names([formatting.percent(share) for share in scores.REACH_SHARES])}
    texts = [(term, text.format(**numbers)) for term, text in TEXTS.items()]
    return texts + [CRAFTER] * ("crafter" in report)
