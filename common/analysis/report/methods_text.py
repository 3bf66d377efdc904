"""Definitions of the numbers in a report."""

from common.analysis import stats
from common.analysis.report import curves, formatting, frames_to_score, score_levels, scores
from common.training import health

#: Term -> definition; the numbers in braces are filled in.
DEFINITIONS = {
    "Score": "undiscounted return of training episodes, including exploration. The final score of a run is the mean of "
    "its last {last} of training episodes, up to the end of the task's shortest run in {axis}.",
    "Evaluation": "mean ± standard deviation over the episodes (their number) in eval.json, if the run has this file.",
    "Curve": "training episodes averaged in at most {bins} equal bins, drawn at their right edges, then averaged over "
    "seeds. An empty bin repeats the bin before; bins before the first episode are omitted.",
    "Interval, band": "95 % percentile bootstrap over seeds, with {resamples:,} resamples drawn within each task. With "
    "three seeds it contains the true mean in only about 75 % of cases, with ten seeds in about 90 %. A dash is in "
    "place of an interval, p, chance or verdict with fewer than {enough} seeds.",
    "Significant": "at least {enough} seeds on both sides, an interval of the difference without 0, and p < 0.05 in "
    "Welch's t-test. Unlike the interval, the test keeps its error rate with three seeds. p is not corrected "
    "for the number of comparisons.",
    "Probability of improvement": "probability that a run of one variant scores higher than a run of the other on the "
    "same task, averaged over tasks. Ties count half.",
    "Over all tasks": "only tasks with a published scale are aggregated, those of different scales apart. DeepMind "
    "Control: return / 1000. Atari: 0 is a random policy, 1 a human. Mean and median are over the means of the tasks; "
    "the interquartile mean is the mean of the middle half of all runs of all tasks. Curves over tasks interpolate the "
    "curves of the tasks, from the last of their first points to the end of the shortest run.",
    "Performance profile": "share of runs above each normalised score, averaged over tasks.",
    "Frames to a score": "right edge of the first bin in which a run's curve reaches the score; median over seeds, and "
    "in brackets the number of seeds that reached it. A run whose final score is that high has reached it at its end. "
    "The default scores are {shares} of the way from the score of a random policy, or else the lowest start, to the "
    "best final mean. Scores that are not above this start by 2 standard errors are left out.",
    "Random policy, human, record, maximum": "published scores, and the largest return of the task. Without a "
    "published score, that of a random policy is the mean return of the episodes in the prefill of these runs, if "
    "there are at least {least}.",
    "Replayed steps": "updates × batch size × batch length: the number of steps that a run has trained on, counting "
    "repeated steps each time.",
    "Time and memory": "seconds of training over all sessions, which depend on the machine's load. Peak memory is the "
    "largest resident memory of the process, or on a GPU the largest allocated memory.",
    "Health": "a flag is raised if the last {recent} lines of metrics agree on it; some flags also need a score that "
    "has not risen. A run without a flag may have a fault that metrics do not show.",
    "Published": "mean ± standard deviation over the published runs. Their sizes, budgets and kinds of episodes may "
    "differ from these runs.",
}
CRAFTER = (
    "Crafter score",
    "exp(mean(ln(1 + s))) − 1 over the 22 achievements, where s is the percentage of all training episodes that "
    "unlocked one, up to the last line of metrics before the shortest run ends (Hafner 2021).",
)


def definitions(report: dict) -> list[tuple[str, str]]:
    """Return term and definition of everything that a report shows."""
    numbers = {
        "last": formatting.percent(scores.FINAL_SHARE),
        "axis": curves.AXES[report["axis"]],
        "bins": curves.MAX_BINS,
        "resamples": stats.RESAMPLES,
        "enough": stats.MIN_SEEDS,
        "least": score_levels.MIN_RANDOM_EPISODES,
        "recent": health.MIN_ROWS,
        "shares": formatting.join_names([formatting.percent(share) for share in frames_to_score.REACH_SHARES]),
    }
    texts = [(term, text.format(**numbers)) for term, text in DEFINITIONS.items()]
    return [*texts, CRAFTER] if "crafter" in report else texts
