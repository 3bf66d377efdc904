"""Health flags: signs in the lines of `metrics.jsonl` that a run does not learn.

A flag needs the last lines to agree: at least `MIN_ROWS` lines, over `MIN_UPDATES` updates, with enough updates before
them. Some signs also fit a run that has learned all it can: they count only while the score has not risen.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from common.safe_io import is_finite_number

Row = dict[str, Any]
See = Callable[[list[Row], dict[str, Any]], str]  # recent lines, config -> a sentence, or ""

MIN_ROWS = 5  # lines that must agree
MIN_UPDATES = 100  # over which they must agree, after as many plus twice the warm-up
MAX_KEPT_ROWS = 100  # in a running process
RETURN_METRICS = {"train/return", "train/return_min", "train/return_max", "train/return_std", "train/value"}
MIN_RETURN_SPREAD = 1e-3  # below it, returns do not distinguish actions


class Finding(NamedTuple):
    """A flag: its name, what it means, and what to try."""

    name: str
    sentence: str
    advice: str

    def __str__(self) -> str:
        return f"Health, {self.name}: {self.sentence} {self.advice}"


def findings(rows: Sequence[Row], config: dict) -> list[Finding]:
    """Return the flags of a run with these lines of metrics, oldest first, and this config.

    Lines may lack a metric: non-finite ones are not logged.
    """
    rows = [{key: value for key, value in row.items() if is_finite_number(value)} for row in rows]
    found = [Finding("no reward", sentence, NO_REWARD)] if (sentence := no_reward(rows)) else []
    learning = [row for row in rows if row.keys() >= RETURN_METRICS]
    recent, flat = agreeing_rows(learning), not score_has_risen(rows)
    if not recent or recent[0]["updates"] < MIN_UPDATES + 2 * config_number(config, "optim.warmup", 0):
        return found
    for name, (see, advice) in CHECKS.items():
        if (flat or name not in IDLE) and (sentence := see(recent, config)):
            found.append(Finding(name, sentence, advice))
    return found


def agreeing_rows(rows: list[Row]) -> list[Row]:
    """Return the last lines, as many as must agree, or [] if there are too few."""
    before = [i for i, row in enumerate(rows) if row["updates"] <= rows[-1]["updates"] - MIN_UPDATES]
    return rows[min(before[-1], len(rows) - MIN_ROWS) :] if before and len(rows) >= MIN_ROWS else []


class HealthMonitor:
    """Flags of a running training, each reported once."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.rows: list[Row] = []
        self.reported: set[str] = set()

    def state(self) -> dict[str, list]:
        """Return kept lines and reported flags, for a checkpoint."""
        return {"rows": self.rows, "told": sorted(self.reported)}

    def restore(self, state: dict[str, list]) -> None:
        """Restore what `state` returned. Raises an error now if later calls of `see` would."""
        self.rows, self.reported = list(state["rows"]), set(map(str, state["told"]))
        findings(self.rows, self.config)

    def see(self, row: Row) -> list[Finding]:
        """Add a line of metrics; return the new flags."""
        self.rows.append({key: value for key, value in row.items() if key.startswith(("train/", "episode", "updates"))})
        if row.get("episode/score"):
            self.reported.add("no reward")  # once there was reward, never report its absence
        if len(self.rows) > MAX_KEPT_ROWS:
            del self.rows[MIN_ROWS : MAX_KEPT_ROWS // 2 : 2]
        new = [finding for finding in findings(self.rows, self.config) if finding.name not in self.reported]
        self.reported |= {finding.name for finding in new}
        return new


def score_has_risen(rows: Sequence[Row]) -> bool:
    """Whether the last scores exceed the first by more than the standard deviation of the first."""
    scores = [row["episode/score"] for row in rows if "episode/score" in row]
    if len(scores) < 2 * MIN_ROWS:
        return False
    first, last = scores[:MIN_ROWS], scores[-MIN_ROWS:]
    middle = sum(first) / MIN_ROWS
    spread = math.sqrt(sum((x - middle) ** 2 for x in first) / MIN_ROWS)
    return sum(last) / MIN_ROWS > middle + max(spread, 0.05 * abs(middle))


def config_number(config: dict, key: str, default: float) -> float:
    """Return the number at a dotted key, or `default` if the config has none."""
    value: Any = config
    for name in key.split("."):
        value = value.get(name, default) if isinstance(value, dict) else default
    return value if isinstance(value, int | float) else default


def mean(rows: list[Row], key: str) -> float:
    return sum(row[key] for row in rows) / len(rows)


def no_reward(rows: Sequence[Row]) -> str:
    """Return a sentence if no episode had a reward; looks at all lines, not only recent ones."""
    scores = [row["episode/score"] for row in rows if "episode/score" in row]
    if len(scores) < MIN_ROWS or any(scores):
        return ""
    return f"all of {int(rows[-1].get('episodes', 0)):,} training episodes had a return of 0."


def between(key: str, low: float, high: float, sentence: str) -> See:
    """Return a check: a sentence with the mean of a metric if every line has it between `low` and `high`."""

    def see(rows: list[Row], config: dict[str, Any]) -> str:
        values = [row.get(key, low) for row in rows]
        return sentence.format(sum(values) / len(values)) if all(low < value < high for value in values) else ""

    return see


def kl_floor(rows: list[Row], config: dict[str, Any]) -> str:
    free = config_number(config, "kl.free", 0.0)
    sentence = f"the KL is {{:.2g}} nats where {free:g} are free: it gives the model no gradient."
    return between("train/kl", -math.inf, max(free / 10, 0.01), sentence)(rows, config)


def return_range_stuck(rows: list[Row], config: dict[str, Any]) -> str:
    for row in rows:
        if row["train/return_max"] - row["train/return_min"] >= MIN_RETURN_SPREAD * max(1, abs(row["train/return"])):
            return ""
    return f"all imagined returns are about {mean(rows, 'train/return'):.3g}: no action looks better than another."


def value_far_from_returns(rows: list[Row], config: dict[str, Any]) -> str:
    """Require a difference above half of the larger one plus the spread of the returns."""
    for row in rows:
        value, ret = row["train/value"], row["train/return"]
        if abs(value - ret) <= max(abs(value), abs(ret)) / 2 + row["train/return_std"]:
            return ""
    return f"the critic predicts {mean(rows, 'train/value'):.3g} where returns are {mean(rows, 'train/return'):.3g}."


def updates_skipped(rows: list[Row], config: dict[str, Any]) -> str:
    """Require that the count over the whole run grows with every line."""
    counts = [row.get("train/skipped", 0) for row in rows]
    if not all(later > before for before, later in itertools.pairwise(counts)):
        return ""
    return f"{int(counts[-1]):,} updates were not finite and were skipped, more with every line."


NO_REWARD = "Check the environment's reward with a random policy, let it explore longer (--run.prefill), or shape it."

CHECKS: dict[str, tuple[See, str]] = {  # flag -> check, advice
    "KL at the floor": (
        kl_floor,
        "Lower --kl.free or the scales of the KL (--kl.*), and see if observations are predicted (openloop/*).",
    ),
    "dead latents": (
        between("train/dead_latents", 0.9, math.inf, "{:.0%} of the latent variables ignore the observation."),
        "Check that observations change and reach the encoder (--encoder.keys); lower the scales of the KL (--kl.*).",
    ),
    "entropy collapse": (
        between("train/randomness", -1e-3, 0.05, "the policy is nearly deterministic everywhere (randomness {:.2g})."),
        "Raise --actor.entropy, lower --optim.lr.actor, or check how advantages scale (--advantage.use).",
    ),
    "action saturation": (
        between("train/saturation", 0.95, math.inf, "{:.0%} of the mean actions are at a limit: gradients vanish."),
        "Lower --optim.lr.actor or --actor.outscale, raise --actor.entropy; check the scale of the action space.",
    ),
    "return range stuck": (
        return_range_stuck,
        "Check that rewards are predicted (loss/reward, train/reward; --loss.reward) and not too small to matter.",
    ),
    "value far from returns": (
        value_far_from_returns,
        "Raise --optim.lr.critic or --loss.critic, and check --discount and the slow critic (--slow.*).",
    ),
    "updates skipped": (
        updates_skipped,
        "See which with `python dreamer.py debug-batch LOGDIR/nonfinite/last.pt`; lower --optim.lr.*.",
    ),
}
#: Flags that a run with nothing left to learn also raises: only while the score has not risen.
IDLE = ("KL at the floor", "dead latents", "entropy collapse", "action saturation")
