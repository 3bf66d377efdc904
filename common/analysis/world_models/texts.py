"""Sentences of a report on world models: what was compared, findings, and what is not comparable."""

from typing import Any

from common.analysis import stats
from common.analysis.report.formatting import join_names, plural
from common.analysis.world_models.tables import fine, fine_interval

DEFINITIONS = {
    "Data": "records of one replay, cut into episodes. A share of the whole episodes is held out; a seed chooses them. "
    "All other records are for training. Every run draws the same windows of them in the same order; runs of one "
    "variant differ in their initial weights and latent samples.",
    "Training": "losses, optimiser and learning rate of each version's world model. Actor and critic do not learn, so "
    "the gradient that V3's critic sends into the world model is absent. Every window starts from the initial state; "
    "V3's stored latents are not used.",
    "Open-loop error": "the model observes a held-out episode up to a record, then predicts the next records from the "
    "recorded actions alone. A prediction is the mean over {samples} samples of the latent state. The error is the "
    "squared error in the units of the environment, averaged over pixels or numbers, over clips, then over seeds.",
    "Predictions without a model": "the mean of the training records, and the last observed record, repeated.",
    "One step ahead": "the same error for the next record, after observing all records before it.",
    "KL": "from posterior to prior on held-out records, in nats per step, without free nats and weights.",
    "Own loss": "the loss of a model's own output parts on held-out records, at the posterior. Parts have different "
    "scales: some compress with symlog, some count bins, some omit constants or factors.",
    "Calibration error": "one-step predictions are sorted into {bins} equal bins. In each bin, the mean prediction "
    "should equal the mean truth; the error is the mean distance, weighted by the counts (expected calibration error).",
    "Brier score": "squared error of the predicted probability that the episode does not end terminally. A prediction "
    "that always equals the share of such records has the score in the second column.",
    "Active variables": "latent variables that carry at least 0.01 nats about the record.",
    "Perplexity, dead classes": "perplexity of the most probable classes over all held-out records, averaged over the "
    "latent variables: the number of classes that are used equally. A class is dead if it is never the most probable. "
    "With few records, rare classes count as dead.",
    "Interval, significant": "95 % percentile bootstrap over seeds with {resamples:,} resamples. Significant: at least "
    "{enough} seeds each, an interval of the difference without 0, and p < 0.05 in Welch's t-test. The interval over "
    "episodes resamples held-out episodes, paired, for the models as they are; it does not cover other seeds.",
}
FILMS = (
    "The same held-out clips for all models, the first seed of each. A green bar: the model observes the truth and "
    "reconstructs it. Then each model imagines one possible future from the recorded actions."
)


def definitions(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Return term and definition of everything that the report shows."""
    numbers = {
        "samples": report["samples"],
        "bins": report["bins"],
        "resamples": stats.RESAMPLES,
        "enough": stats.MIN_SEEDS,
    }
    return [(term, text.format(**numbers)) for term, text in DEFINITIONS.items()]


def overview(report: dict[str, Any]) -> str:
    """Return variants, seeds, updates and data in two sentences."""
    few, most = min(report["seeds"].values()), max(report["seeds"].values())
    seeds = f"{'' if few == most else f'{few} to '}{plural(most, 'seed')}"
    updates = " to ".join(f"{number:,}" for number in sorted({report["updates"][0], report["updates"][-1]}))
    about = report["about"]
    return (
        f"World models of {plural(len(report['variants']), 'variant')} ({join_names(report['variants'])}) with {seeds} "
        f"each, after {updates} updates on the same batches. Trained on {about['training_records']:,} records of "
        f"{about['task']}, measured on {plural(report['measured_episodes'], 'held-out episode')}."
    )


def warning(report: dict[str, Any]) -> str:
    """Return what limits the comparison; "" if nothing does."""
    sentences = []
    if (few := min(report["seeds"].values())) < stats.MIN_SEEDS:
        sentences.append(f"Too few seeds. Comparing variants needs at least {stats.MIN_SEEDS}; some have only {few}.")
    if len(report["updates"]) > 1:
        sentences.append("The runs have different numbers of updates. Rerun the wm-eval command to finish them.")
    elif len(report["batches"]) > 1:
        sentences.append("The runs did not draw the same batches: their digests differ.")
    if report["left_out"]:
        sentences.append(f"{plural(len(report['left_out']), 'run')} left out, see the list at the end.")
    return " ".join(sentences)


def findings(report: dict[str, Any]) -> list[str]:
    """Return a sentence for each prediction: which variants have significantly lower errors."""
    sentences = []
    for key in report["keys"]:
        rows = [row for row in report["comparisons"] if row["key"] == key and row["verdict"] is not None]
        clear = [row for row in rows if row["verdict"] in ("better", "worse")]
        for row in clear:
            low, high = (row["one"], row["two"]) if row["verdict"] == "worse" else (row["two"], row["one"])
            values = {own["variant"]: own for own in report["errors"] if (own["key"], own["steps"]) == (key, "all")}
            shown = f"{fine_interval(values[low])} compared with {fine_interval(values[high])}"
            sentences.append(f"{key}: {low} has a lower open-loop error than {high}: {shown}.")
        if rows and not clear:
            sentences.append(f"{key}: no significant difference between the variants.")
    return sentences + weak_models(report)


def weak_models(report: dict[str, Any]) -> list[str]:
    """Return a sentence for each prediction in which no variant beats the best prediction without a model."""
    sentences = []
    for key in report["keys"]:
        own = [
            row for row in report["errors"] if (row["key"], row["steps"]) == (key, "all") and row["value"] is not None
        ]
        plain = min((row for row in own if row.get("baseline")), key=lambda row: row["value"], default=None)
        models = [row for row in own if not row.get("baseline")]
        if plain and plain["value"] and models and all(row["value"] >= plain["value"] for row in models):
            sentences.append(
                f"{key}: no model is better than the {plain['variant']} ({fine(plain['value'])}). Train longer, "
                "or with larger networks."
            )
    return sentences


def comparability(report: dict[str, Any]) -> list[str]:
    """Return, for each key, which variants share a likelihood and are comparable in it."""
    sentences = []
    for key in dict.fromkeys(row["key"] for row in report["own_loss"]):
        names: dict[str, list[str]] = {}
        for row in report["own_loss"]:
            if row["key"] == key:
                names.setdefault(row["name"], []).append(row["variant"])
        shared = [join_names(variants) for variants in names.values() if len(variants) > 1]
        if len(names) == 1 and shared:
            sentences.append(f"{key}: comparable, all variants have the same likelihood.")
        elif shared:
            sentences.append(f"{key}: comparable only between {'; and between '.join(shared)}.")
        elif len(names) > 1:
            sentences.append(f"{key}: not comparable, every variant has a loss of another scale. Use the errors above.")
    return sentences


def continue_sentences(report: dict[str, Any]) -> list[str]:
    """Return which variants have no continue head, and how often held-out episodes end terminally."""
    table = report["calibration"]["continue"]
    without = [variant for variant in report["variants"] if variant not in table]
    sentences = []
    if without:
        verb = "has" if len(without) == 1 else "have"
        sentences.append(f"{join_names(without)} {verb} no continue head with this setting.")
    if table:
        ends = next(iter(table.values()))["ends"]
        text = "No held-out episode ends terminally: the scores only show that a head predicts to continue."
        sentences.append(text if not ends else f"{plural(ends, 'held-out record')} ended an episode terminally.")
    return sentences


def reward_sentences(report: dict[str, Any]) -> list[str]:
    """Return which variants have no reward in the units of the environment."""
    without = [variant for variant in report["variants"] if variant not in report["calibration"]["reward"]]
    if not without:
        return []
    return [f"{join_names(without)}: the head predicts only the sign of rewards, so there is no error in their units."]


def latent_sentences(report: dict[str, Any]) -> list[str]:
    """Return which variants have a continuous latent state without classes."""
    plain = [row["variant"] for row in report["latents"] if not row["classes"]]
    return [f"{join_names(plain)}: the latent state is continuous and has no classes."] if plain else []
