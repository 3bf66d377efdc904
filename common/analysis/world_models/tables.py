"""Tables of a report on world models as text, and their files: CSV with the numbers, LaTeX with the texts."""

from typing import Any

from common.analysis.report.formatting import DASH, MINUS, count, duration, is_missing, memory, percent
from common.analysis.report.table_files import csv_text, flat_row, latex
from common.analysis.report.tables import ReportTable, few_seeds_note

SEED_NOTE = "Mean over seeds [95 % bootstrap interval over seeds]."
UNITS = {"reward": "reward units squared", "continue": "Brier score: squared error of the probability"}
LIKELIHOOD_NOTE = (
    "The sum of these losses and the KL bounds the negative log-likelihood of a step. Compare two numbers only if the "
    "names below them are the same."
)


def fine(value: float | None, sign: bool = False) -> str:
    """Return a number with three significant digits; a dash if it is missing."""
    if value is None or is_missing(value):
        return DASH
    form = ",.0f" if 1e3 <= abs(value) < 1e6 else ",.3g" if 1e-4 <= abs(value) < 1e3 or not value else ".2e"
    text = f"{value:{'+' if sign else ''}{form}}"
    return text.replace("-", MINUS)


def fine_interval(row: dict[str, Any], sign: bool = False) -> str:
    """Return '0.0123 [0.011, 0.014]' for a row with value, low and high; '0.0123 [–]' without bounds."""
    if row["value"] is None:
        return DASH
    bounds = DASH if is_missing(row["low"]) else f"{fine(row['low'], sign)}, {fine(row['high'], sign)}"
    return f"{fine(row['value'], sign)} [{bounds}]"


def unit(report: dict[str, Any], key: str) -> str:
    """Return the unit of the error of a key."""
    return (
        "pixels in 0 to 1, squared" if key in report["images"] else UNITS.get(key, "units of the observation, squared")
    )


def errors(report: dict[str, Any]) -> ReportTable:
    """Return the open-loop error of each variant and each baseline, over all steps and at some."""
    rows = []
    names = list(dict.fromkeys(row["variant"] for row in report["errors"]))
    cells = {(row["key"], row["steps"], row["variant"]): row for row in report["errors"]}
    steps = list(dict.fromkeys(row["steps"] for row in report["errors"]))
    for key in report["keys"]:
        for name in names:
            own = [cells.get((key, step, name)) for step in steps]
            text = lambda row: (
                DASH if row is None else fine(row["value"]) if row.get("baseline") else fine_interval(row)
            )
            if any(row and row["value"] is not None for row in own):
                rows.append([key, name, *map(text, own)])
    heads = [f"steps 1 to {report['horizon']}" if step == "all" else f"step {step}" for step in steps]
    units = "; ".join(f"{key}: {unit(report, key)}" for key in report["keys"])
    note = " ".join(filter(None, [f"Mean squared error. {units}.", SEED_NOTE, few_seeds_note(_seeds(report))]))
    return ReportTable(["prediction of", "by", *heads], rows, labels=2, note=note)


def _seeds(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"seeds": number} for number in report["seeds"].values()]


def comparisons(report: dict[str, Any]) -> ReportTable:
    """Return the differences of open-loop errors with intervals over seeds and over held-out episodes."""
    rows = []
    for row in report["comparisons"]:
        one, two, p = row["one"], row["two"], row["p"]
        verdict = {
            "better": f"{one} has the higher error",
            "worse": f"{one} has the lower error",
            "open": "no significant difference",
            None: DASH,
        }[row["verdict"]]
        over = row["over_episodes"]
        bounds = DASH if is_missing(over["low"]) else f"[{fine(over['low'], True)}, {fine(over['high'], True)}]"
        shown = DASH if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
        rows.append([row["key"], f"{one} − {two}", verdict, fine_interval(row, sign=True), shown, bounds])
    episodes = {row["over_episodes"]["episodes"] for row in report["comparisons"]}
    note = (
        f"Over steps 1 to {report['horizon']}. Below 0: the first has the lower error. Verdict and p concern seeds. "
        f"The interval over episodes is for these trained models: it resamples the {max(episodes, default=0)} held-out "
        "episodes."
    )
    head = ["prediction of", "difference", "verdict", "over seeds", "p", "over episodes"]
    return ReportTable(head, rows, labels=3, note=" ".join(filter(None, [note, few_seeds_note(_seeds(report))])))


def one_step(report: dict[str, Any]) -> ReportTable:
    """Return the errors of predicting the next record, and the KL, of each variant."""
    cells = {(row["key"], row["variant"]): fine_interval(row) for row in report["one_step"]}
    label = lambda key: "KL, nats per step" if key == "kl" else f"{key} ({unit(report, key)})"
    rows = [
        [label(key), *(cells[key, variant] for variant in report["variants"])]
        for key in dict.fromkeys(row["key"] for row in report["one_step"])
    ]
    return ReportTable(["one step ahead", *report["variants"]], rows, note=SEED_NOTE)


def own_losses(report: dict[str, Any]) -> ReportTable:
    """Return the loss of each variant's own likelihood, with its name."""
    cells = {(row["key"], row["variant"]): f"{fine(row['value'])}\n{row['name']}" for row in report["own_loss"]}
    rows = [
        [key, *(cells.get((key, variant), DASH) for variant in report["variants"])]
        for key in dict.fromkeys(row["key"] for row in report["own_loss"])
    ]
    return ReportTable(["loss of", *report["variants"]], rows, labels=1 + len(report["variants"]), note=LIKELIHOOD_NOTE)


def calibration(report: dict[str, Any], head: str) -> ReportTable:
    """Return the scores of the calibration of a head."""
    columns = {"error": "calibration error", "mse": "mean squared error"}
    if head == "continue":
        columns = {"brier": "Brier score", "base_brier": "Brier score of the share", "log_loss": "log loss, nats"}
        columns["error"] = "calibration error"
    table = report["calibration"][head]
    rows = [[variant, *(fine_interval(own[name]) for name in columns)] for variant, own in table.items()]
    return ReportTable(["variant", *columns.values()], rows, note=SEED_NOTE)


def bins(report: dict[str, Any], head: str) -> ReportTable:
    """Return the bins of the reliability of a head: count, mean prediction and mean truth."""
    rows = []
    for variant, own in report["calibration"][head].items():
        width = (own["high"] - own["low"]) / len(own["counts"])
        for place, number in enumerate(own["counts"]):
            if number:
                ends = f"{fine(own['low'] + place * width)} to {fine(own['low'] + (place + 1) * width)}"
                means = [fine(own[name][place]) for name in ("predicted", "truth")]
                rows.append([variant, ends, count(number), *means])
    head_row = ["variant", "predictions", "records × seeds", "mean prediction", "mean truth"]
    return ReportTable(head_row, rows, labels=2)


def latents(report: dict[str, Any]) -> ReportTable:
    """Return how each variant uses its latent state."""
    rows = []
    for row in report["latents"]:
        classes = [DASH] * 3
        if row["classes"]:
            dead = {
                name: None if (value := row["dead"][name]) is None else 100 * value for name in ("value", "low", "high")
            }
            classes = [str(row["classes"]), fine_interval(row["perplexity"]), f"{fine_interval(dead)} %"]
        active = f"{fine_interval(row['active'])} of {row['variables']}"
        rows.append([row["variant"], active, fine_interval(row["information"]), *classes])
    head = ["variant", "active variables", "information, nats", "classes", "perplexity of the classes", "dead classes"]
    return ReportTable(head, rows, note=SEED_NOTE)


def data(report: dict[str, Any]) -> ReportTable:
    """Return what the models were trained and measured on."""
    about, protocol = report["about"], report["about"]["protocol"]
    observations = ", ".join(f"{key} {tuple(shape)}" for key, shape in about["observations"].items())
    batch = " × ".join(map(str, about["batch"]))
    drawn = report["batches"][0] if len(report["batches"]) == 1 else "different numbers of updates"
    rows = [
        ["task", about["task"]],
        ["records", f"{count(about['records'])}, {observations}"],
        ["training", f"{count(about['training_records'])} records in {count(about['training_episodes'])} episodes"],
        ["held out", f"{count(about['held_out_episodes'])} episodes: {percent(protocol['held_out'])}, at least 3"],
        ["measured on", f"{count(report['measured_episodes'])} of them, {count(report['measured_records'])} records, "
                        f"{count(report['clips'])} clips"],
        ["seed of the split and the batches", str(protocol["split_seed"])],
        ["batch", f"{batch} records; digest of all batches: {drawn}"],
        ["fingerprint of the records", protocol["fingerprint"]],
    ]  # fmt: skip
    return ReportTable(["data", ""], rows, labels=2)


def runs(report: dict[str, Any]) -> ReportTable:
    """Return a row for each run."""
    rows = [
        [run["variant"], str(run["seed"]), count(run["updates"]), count(run["parameters"]), duration(run["wall"]),
         memory(run["peak_memory"]), count(run["resumes"]), run["batches"], (run["git"] or DASH)[:10]]
        for run in report["runs"]
    ]  # fmt: skip
    head = ["variant", "seed", "updates", "parameters", "training", "peak memory", "resumed", "batches", "revision"]
    note = "Parameters include actor and critic, which do not learn here. Equal digests of batches: the same batches."
    return ReportTable(head, rows, labels=2, note=note)


def table_files(report: dict[str, Any]) -> dict[str, str]:
    """Return file name -> content of all tables with numbers; empty tables have no file."""
    curves = [
        {"key": key, "variant": variant, "step": step, "mean": mean, "low": low, "high": high}
        for key, part in report["curves"].items()
        for variant, line in part["variants"].items()
        for step, mean, low, high in zip(line["x"], line["mean"], line["low"], line["high"], strict=True)
    ]
    reliability = [
        {"head": head, "variant": variant, "bin": place, "count": own["counts"][place],
         "predicted": own["predicted"][place], "truth": own["truth"][place]}
        for head, table in report["calibration"].items()
        for variant, own in table.items()
        for place in range(len(own["counts"]))
    ]  # fmt: skip
    rows = {
        "open_loop": report["errors"],
        "open_loop_steps": curves,
        "comparisons": report["comparisons"],
        "one_step": report["one_step"],
        "own_losses": report["own_loss"],
        "reliability": reliability,
        "latents": report["latents"],
        "runs": report["runs"],
    }
    texts = {"open_loop": errors(report), "comparisons": comparisons(report), "one_step": one_step(report)}
    texts |= {"latents": latents(report)}
    texts |= {f"calibration_{head}": calibration(report, head) for head, own in report["calibration"].items() if own}
    files = {f"{name}.csv": csv_text(map(flat_row, part)) for name, part in rows.items() if part}
    return files | {f"{name}.tex": latex(table) for name, table in texts.items() if table.rows}
