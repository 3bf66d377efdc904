"""Own runs against the published band of their version: inside, below or above, and how the settings differ."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from common.analysis.reference.own_runs import RunSet
from common.analysis.reference.published import ACTIONS, EPISODES, Band, PublishedCurve, band, finals
from common.config.config import differences, flatten
from common.config.render_mode import nonstandard_render_mode, render_mode_warning
from common.errors import UserError
from common.storage.logdir import MAY_CHANGE

IGNORED_KEYS = MAY_CHANGE | {"task", "seed", "algo", "logdir"}
LEADING_PREFIXES = ("env.", "schedule.", "batch", "rssm.", "latent.", "conv.", "mlp.")  # of the keys listed first
MAX_KEYS_SHOWN = 12


class Verdict(NamedTuple):
    """Position of a set of runs at some frames: mean, deviation and number of its scores, and the published band."""

    word: str
    frames: float
    mean: float
    std: float
    n: int
    kind: str
    band: Band


def exclusion_reason(runs: RunSet) -> str:
    """Return why runs must not be compared with published curves; "" if they may be."""
    mode = nonstandard_render_mode(runs.config)
    return f"Leaving out {runs.name} on {runs.task}. {render_mode_warning(mode)}" if mode else ""


def published_curve(runs: RunSet, curves: list[PublishedCurve]) -> PublishedCurve:
    """Return the curve with a band of the same version, task and benchmark. Raises UserError if there is none."""
    if reason := exclusion_reason(runs):
        raise UserError(reason)
    for curve in curves:
        if (curve.algo, curve.benchmark) == (runs.algo, runs.benchmark) and curve.seeds > 1:
            return curve
    known = [f"{final.score:g} at {final.frames:,} frames" for final in finals(runs.task) if final.algo == runs.algo]
    hint = f" Published single runs reached {', '.join(known)}." if known else ""
    where = f" ({runs.benchmark})" if runs.benchmark else ""
    raise UserError(
        f"There is no published curve over several runs of {runs.algo} on {runs.task}{where}.{hint} "
        "`python dreamer.py reference` lists the published curves; --file adds a score file."
    )


def compare_with_band(runs: RunSet, curve: PublishedCurve) -> Verdict:
    """Compare scores in the last interval of the published curve that all runs have completed.

    Raises UserError if they have not completed the first.
    """
    kind = runs.kind(curve.episodes)
    mean, std, n = runs.binned(kind, curve.x)
    completed = np.flatnonzero((curve.x <= runs.frames(kind)) & (n == len(runs.runs)))
    if not len(completed):
        raise UserError(
            f"{runs.name} on {runs.task} has scores up to frame {runs.frames(kind):,.0f}; the published curve of "
            f"{curve.method} starts at {curve.x[0]:,.0f}. Train longer."
        )
    last = completed[-1]
    limits = band(curve, curve.x[last])
    word = "below" if mean[last] < limits.low else "above" if mean[last] > limits.high else "inside"
    return Verdict(word, float(curve.x[last]), float(mean[last]), float(std[last]), int(n[last]), kind, limits)


def setting_differences(runs: RunSet, curve: PublishedCurve, load: Callable[..., dict]) -> list[str] | None:
    """Return texts "key published -> own" for the settings that differ; None if the published setting is unknown.

    load(version, blocks, flags): makes a config.
    """
    if not curve.blocks:
        return None
    setting = load(runs.algo, curve.blocks, {"task": runs.config["task"]})
    pairs = {key: pair for key, pair in differences(setting, runs.config).items() if key not in IGNORED_KEYS}
    leading = lambda key: next((i for i, prefix in enumerate(LEADING_PREFIXES) if key.startswith(prefix)), 99)
    text = lambda value: "(absent)" if value is None else value
    ordered = sorted(pairs, key=lambda key: (leading(key), key))
    return [f"{key} {text(pairs[key][0])} -> {text(pairs[key][1])}" for key in ordered]


def render(runs: RunSet, curve: PublishedCurve, verdict: Verdict, differing: list[str] | None) -> str:
    """Return a verdict as lines of text."""
    low, high, n = verdict.band
    end = ", where the published curve ends" if runs.frames(verdict.kind) > curve.x[-1] else ""
    acting = ACTIONS.get(flatten(runs.config).get("actor.eval", ""), "") if verdict.kind == "eval" else ""
    spread = f"{verdict.std:.3g}" if verdict.n > 1 else "–"
    lines = [
        f"{runs.name} on {runs.task} ({runs.benchmark}): {verdict.word.upper()} the published band at "
        f"{verdict.frames:,.0f} frames{end}.",
        f"  own        {verdict.mean:.4g} ± {spread}, n = {verdict.n}; {EPISODES[verdict.kind]}{acting}",
        f"  published  {low:.4g} to {high:.4g}, n = {n}: mean ± standard deviation over runs; {curve.protocol}",
        f"  source     {curve.source}",
    ]
    if curve.episodes and curve.episodes != verdict.kind:
        lines.append(f"  warning    The published scores are of {EPISODES[curve.episodes]}; these runs have none.")
    if len({run.config["seed"] for run in runs.runs}) < verdict.n:
        lines.append("  warning    Some of these runs have the same seed and count twice.")
    if verdict.n < 3:
        lines.append(f"  warning    n = {verdict.n} is too few: other seeds may give another verdict.")
    return "\n".join([*lines, f"  differs    {list_differences(differing)}"])


def list_differences(differing: list[str] | None) -> str:
    """Return the first of the differing settings in one line."""
    if differing is None:
        return "unknown: the score file has no setting"
    more = [f"... and {len(differing) - MAX_KEYS_SHOWN} more"] if len(differing) > MAX_KEYS_SHOWN else []
    return f"{', '.join([*differing[:MAX_KEYS_SHOWN], *more]) or 'nothing'} (published setting -> runs)"
