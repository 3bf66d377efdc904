"""Own runs against the published band of their version: inside, below or above, and what differs in the setting."""

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
LEADING_PREFIXES = ("env.", "schedule.", "batch", "rssm.", "latent.", "conv.", "mlp.")  # what is shown first
MAX_KEYS_SHOWN = 12  # differing keys


class Verdict(NamedTuple):
    """Where a set of runs stands at some frames: mean, deviation and number of its scores, and the published band."""

    word: str
    frames: float
    mean: float
    std: float
    n: int
    kind: str
    band: Band


def exclusion_reason(runs: RunSet) -> str:
    """Why runs must not stand beside published curves; "" where they may."""
    how = nonstandard_render_mode(runs.config)
    return f"{runs.name} on {runs.task} is left out. {render_mode_warning(how)}" if how else ""


def published_curve(runs: RunSet, curves: list[PublishedCurve]) -> PublishedCurve:
    """The curve among `curves` of the same version, task and benchmark, with a band.

    Raises UserError if there is none.
    """
    if why := exclusion_reason(runs):
        raise UserError(why)
    for curve in curves:
        if (curve.algo, curve.benchmark) == (runs.algo, runs.benchmark) and curve.seeds > 1:
            return curve
    known = [f"{final.score:g} at {final.frames:,} frames" for final in finals(runs.task) if final.algo == runs.algo]
    hint = f" But single runs got {', '.join(known)}." if known else ""
    where = f" ({runs.benchmark})" if runs.benchmark else ""
    raise UserError(
        f"No curve of several runs of {runs.algo} is published on {runs.task}{where}.{hint} "
        "`python dreamer.py reference` lists what is; --file adds a score file."
    )


def compare_with_band(runs: RunSet, curve: PublishedCurve) -> Verdict:
    """Compares scores in the last interval of the published curve that all runs have completed.

    Raises UserError where they have not completed the first.
    """
    kind = runs.kind(curve.episodes)
    mean, std, n = runs.binned(kind, curve.x)
    done = np.flatnonzero((curve.x <= runs.frames(kind)) & (n == len(runs.runs)))
    if not len(done):
        raise UserError(
            f"{runs.name} on {runs.task} has scores up to frame {runs.frames(kind):,.0f}; the published curve of "
            f"{curve.method} begins at {curve.x[0]:,.0f}. Train on."
        )
    last = done[-1]
    limits = band(curve, curve.x[last])
    word = "below" if mean[last] < limits.low else "above" if mean[last] > limits.high else "inside"
    return Verdict(word, float(curve.x[last]), float(mean[last]), float(std[last]), int(n[last]), kind, limits)


def setting_differences(runs: RunSet, curve: PublishedCurve, load: Callable[..., dict]) -> list[str] | None:
    """Texts "key published -> own" for the settings in which the runs differ from the published ones; None if these are
    unknown. load(version, blocks, flags): makes a config."""
    if not curve.blocks:
        return None
    setting = load(runs.algo, curve.blocks, {"task": runs.config["task"]})
    pairs = {key: pair for key, pair in differences(setting, runs.config).items() if key not in IGNORED_KEYS}
    order = lambda key: (
        next((i for i, start in enumerate(LEADING_PREFIXES) if key.startswith(start)), len(LEADING_PREFIXES)),
        key,
    )
    text = lambda value: "(absent)" if value is None else value
    return [f"{key} {text(pairs[key][0])} -> {text(pairs[key][1])}" for key in sorted(pairs, key=order)]


def render(runs: RunSet, curve: PublishedCurve, verdict: Verdict, differing: list[str] | None) -> str:
    """A verdict as some lines of text."""
    low, high, n = verdict.band
    beyond = runs.frames(verdict.kind) > curve.x[-1]
    place = f"at {verdict.frames:,.0f} frames{', where the published curve ends' if beyond else ''}"
    acting = ACTIONS.get(flatten(runs.config).get("actor.eval", ""), "") if verdict.kind == "eval" else ""
    spread = f"{verdict.std:.3g}" if verdict.n > 1 else "–"
    lines = [
        f"{runs.name} on {runs.task} ({runs.benchmark}): {verdict.word.upper()} the published band {place}.",
        f"  own        {verdict.mean:.4g} ± {spread}, n = {verdict.n}; {EPISODES[verdict.kind]}{acting}",
        f"  published  {low:.4g} to {high:.4g}, n = {n}: mean ± standard deviation over runs; {curve.protocol}",
        f"  source     {curve.source}",
    ]
    if curve.episodes and curve.episodes != verdict.kind:
        lines.append(f"  beware     the published scores are of {EPISODES[curve.episodes]}; the runs have none.")
    if len({run.config["seed"] for run in runs.runs}) < verdict.n:
        lines.append("  beware     some of these runs have the same seed: they count twice.")
    if verdict.n < 3:
        lines.append(f"  beware     n = {verdict.n} says little: runs with other seeds can end elsewhere.")
    return "\n".join([*lines, f"  differs    {listing(differing)}"])


def listing(differing: list[str] | None) -> str:
    """The first of the differing settings in one line."""
    if differing is None:
        return "unknown: the score file has no setting"
    more = [f"... and {len(differing) - MAX_KEYS_SHOWN} more"] if len(differing) > MAX_KEYS_SHOWN else []
    return f"{', '.join([*differing[:MAX_KEYS_SHOWN], *more]) or 'nothing'} (published setting -> runs)"
