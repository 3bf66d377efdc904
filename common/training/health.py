"""Why a run does not learn, as far as its metrics tell: pure functions of the lines of `metrics.jsonl`.

A flag needs the last lines to agree, `RECENT` of them and those of `SETTLED` updates, and enough updates before them,
so that the first moments of a run raise none. Some flags are also what a run looks like that has learned all there is;
they are raised only while the score has not risen.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from common.safe_io import is_finite_number

Row = dict[str, Any]

MIN_ROWS = 5  # lines that must agree at least
MIN_UPDATES = 100  # updates that they must hold, and as many before, with twice the warm-up more
MAX_KEPT_ROWS = 100  # lines that a running process keeps
RETURN_METRICS = {"train/return", "train/return_min", "train/return_max", "train/return_std", "train/value"}
MIN_RETURN_SPREAD = 1e-3  # spread of returns that tells nothing apart


class Finding(NamedTuple):
    """A flag: its name, what was seen and means, and what to try."""

    name: str
    sentence: str
    advice: str

    def __str__(self) -> str:
        return f"Health, {self.name}: {self.sentence} {self.advice}"


class HealthCheck(NamedTuple):
    """A flag to look for. see: recent lines, config -> a sentence, or nothing. idle: only while the score is flat."""

    see: Callable[[list[Row], dict], str]
    advice: str
    idle: bool = False


def findings(rows: Sequence[Row], config: dict) -> list[Finding]:
    """Flags of a run with these lines of metrics, oldest first, and this config.

    Lines may lack a metric: what is not finite is left out of the logs.
    """
    rows = [{key: value for key, value in row.items() if is_finite_number(value)} for row in rows]
    found = [Finding("no reward", sentence, NO_REWARD)] if (sentence := no_reward(rows)) else []
    learning = [row for row in rows if row.keys() >= RETURN_METRICS]
    recent, flat = agreeing_rows(learning), not score_has_risen(rows)
    if not recent or recent[0]["updates"] < MIN_UPDATES + 2 * config_number(config, "optim.warmup", 0):
        return found
    for name, check in CHECKS.items():
        if (flat or not check.idle) and (sentence := check.see(recent, config)):
            found.append(Finding(name, sentence, check.advice))
    return found


def agreeing_rows(rows: list[Row]) -> list[Row]:
    """The last lines, as many as must agree; none if there are too few."""
    before = [i for i, row in enumerate(rows) if row["updates"] <= rows[-1]["updates"] - MIN_UPDATES]
    return rows[min(before[-1], len(rows) - MIN_ROWS) :] if before and len(rows) >= MIN_ROWS else []


class HealthMonitor:
    """Flags of a run at work, each told once."""

    def __init__(self, config: dict):
        self.config = config
        self.rows: list[Row] = []
        self.reported: set[str] = set()

    def state(self) -> dict[str, list]:
        """The lines kept and the flags told, for a checkpoint."""
        return {"rows": self.rows, "told": sorted(self.reported)}

    def restore(self, state: dict[str, list]) -> None:
        """Undoes `state`."""
        self.rows, self.reported = list(state["rows"]), set(state["told"])

    def see(self, row: Row) -> list[Finding]:
        """Takes in a line of metrics; returns the flags that are new."""
        self.rows.append({key: value for key, value in row.items() if key.startswith(("train/", "episode", "updates"))})
        if row.get("episode/score"):
            self.reported.add("no reward")  # and never again, whichever lines are kept
        if len(self.rows) > MAX_KEPT_ROWS:
            del self.rows[MIN_ROWS : MAX_KEPT_ROWS // 2 : 2]
        new = [finding for finding in findings(self.rows, self.config) if finding.name not in self.reported]
        self.reported |= {finding.name for finding in new}
        return new


def score_has_risen(rows: Sequence[Row]) -> bool:
    """Whether scores are clearly higher now than at first: by more than they were spread then."""
    scores = [row["episode/score"] for row in rows if "episode/score" in row]
    if len(scores) < 2 * MIN_ROWS:
        return False
    first, last = scores[:MIN_ROWS], scores[-MIN_ROWS:]
    middle = sum(first) / MIN_ROWS
    spread = math.sqrt(sum((x - middle) ** 2 for x in first) / MIN_ROWS)
    return sum(last) / MIN_ROWS > middle + max(spread, 0.05 * abs(middle))


def config_number(config: dict, key: str, default: float) -> float:
    """Number at a dotted key; `default` where the config has none."""
    value: Any = config
    for name in key.split("."):
        value = value.get(name, default) if isinstance(value, dict) else default
    return value if isinstance(value, int | float) else default


def mean(rows: list[Row], key: str) -> float:
    return sum(row[key] for row in rows) / len(rows)


def always(rows: list[Row], key: str, test: Callable[[float], bool]) -> bool:
    """Whether all lines have `key`, with values that pass the test."""
    return all(key in row and test(row[key]) for row in rows)


def no_reward(rows: Sequence[Row]) -> str:
    """Judges all lines so far."""
    scores = [row["episode/score"] for row in rows if "episode/score" in row]
    if len(scores) < MIN_ROWS or any(scores):
        return ""
    return f"all of {int(rows[-1].get('episodes', 0)):,} training episodes had a return of 0."


def kl_floor(rows: list[Row], config: dict) -> str:
    free = config_number(config, "kl.free", 0.0)
    if not always(rows, "train/kl", lambda kl: kl < max(free / 10, 0.01)):
        return ""
    return f"the KL is {mean(rows, 'train/kl'):.2g} nats where {free:g} are free: it gives the model no gradient."


def dead_latents(rows: list[Row], config: dict) -> str:
    if not always(rows, "train/dead_latents", lambda share: share > 0.9):
        return ""
    share = mean(rows, "train/dead_latents")
    return f"{share:.0%} of the latent variables are the same whatever is observed."


def entropy_collapse(rows: list[Row], config: dict) -> str:
    if not always(rows, "train/randomness", lambda share: -MIN_RETURN_SPREAD < share < 0.05):
        return ""
    return (
        f"the policy is nearly certain everywhere (randomness {mean(rows, 'train/randomness'):.2g}): it tries nothing."
    )


def action_saturation(rows: list[Row], config: dict) -> str:
    if not always(rows, "train/saturation", lambda share: share > 0.95):
        return ""
    return f"{mean(rows, 'train/saturation'):.0%} of the mean actions are at a limit, where gradients vanish."


def return_range_stuck(rows: list[Row], config: dict) -> str:
    flat = lambda row: (
        row["train/return_max"] - row["train/return_min"] < MIN_RETURN_SPREAD * max(1, abs(row["train/return"]))
    )
    if not all(map(flat, rows)):
        return ""
    return f"all imagined returns are about {mean(rows, 'train/return'):.3g}: no action looks better than another."


def value_far_from_returns(rows: list[Row], config: dict) -> str:
    """The difference must be half of the return, and more than its spread besides."""
    for row in rows:
        value, ret = row["train/value"], row["train/return"]
        if abs(value - ret) <= max(abs(value), abs(ret)) / 2 + row["train/return_std"]:
            return ""
    return f"the critic says {mean(rows, 'train/value'):.3g} where returns are {mean(rows, 'train/return'):.3g}."


def updates_skipped(rows: list[Row], config: dict) -> str:
    """Counts are over the whole run."""
    counts = [row.get("train/skipped", 0) for row in rows]
    if not all(later > before for before, later in itertools.pairwise(counts)):
        return ""
    return f"{int(counts[-1]):,} updates were not finite and were skipped, more with every line."


NO_REWARD = "Check the environment's reward with a random policy, let it explore longer (--run.prefill), or shape it."

CHECKS = {
    "KL at the floor": HealthCheck(
        kl_floor,
        "Lower --kl.free or the scales of the KL (--kl.*), and look whether observations are predicted (openloop/*).",
        idle=True,
    ),
    "dead latents": HealthCheck(
        dead_latents,
        "Check that observations change and reach the encoder (--encoder.keys); lower the scales of the KL (--kl.*).",
        idle=True,
    ),
    "entropy collapse": HealthCheck(
        entropy_collapse,
        "Raise --actor.entropy, lower --optim.lr.actor, or look at the scale of advantages (--advantage.use).",
        idle=True,
    ),
    "action saturation": HealthCheck(
        action_saturation,
        "Lower --optim.lr.actor or --actor.outscale, raise --actor.entropy; check the scale of the action space.",
        idle=True,
    ),
    "return range stuck": HealthCheck(
        return_range_stuck,
        "Check that rewards are predicted (loss/reward, train/reward; --loss.reward) and not too small to matter.",
    ),
    "value far from returns": HealthCheck(
        value_far_from_returns,
        "Raise --optim.lr.critic or --loss.critic, and check --discount and the slow critic (--slow.*).",
    ),
    "updates skipped": HealthCheck(
        updates_skipped, "See which with `python dreamer.py debug-batch LOGDIR/nonfinite/last.pt`; lower --optim.lr.*."
    ),
}
