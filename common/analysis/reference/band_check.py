"""Own runs against a published band, by default of their own agent: inside, below or above, and differing settings."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from common.analysis.reference.own_runs import RunSet
from common.analysis.reference.published import ACTIONS, EPISODES, Band, FinalScore, PublishedCurve, band, finals
from common.config.config import differences, flatten
from common.config.render_mode import nonstandard_render_mode, render_mode_warning
from common.errors import UserError
from common.storage.logdir import MAY_CHANGE

IGNORED_KEYS = MAY_CHANGE | {"task", "seed", "algo", "logdir"}
LEADING_PREFIXES = ("env.", "schedule.", "batch", "rssm.", "latent.", "conv.", "mlp.")  # of the keys listed first
MAX_KEYS_SHOWN = 12
MIN_RUNS, MIN_PUBLISHED_RUNS = 3, 4  # fewer runs give a warning


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


def published_curve(runs: RunSet, curves: list[PublishedCurve], against: str = "") -> PublishedCurve:
    """Return the first of the curves with a band that is of the same agent, or of the version or method `against`.

    Raises UserError if there is none.
    """
    if reason := exclusion_reason(runs):
        raise UserError(reason)
    banded = [curve for curve in curves if curve.seeds != 1]
    for curve in banded:
        if against in (curve.method, curve.algo) if against else curve.algo == runs.algo:
            return curve
    known = "; ".join(describe_final(final) for final in finals(runs.task) if final.algo == runs.algo)
    hint = f" Final scores: {known}." if known and not against else ""
    other = f" There are bands of other agents: add {list_agents(banded)}." if banded else ""
    where = f" ({runs.benchmark})" if runs.benchmark else ""
    raise UserError(
        f"There is no published curve over several runs of {against or runs.algo} on {runs.task}{where}.{hint}{other} "
        "`python dreamer.py reference` lists the published curves; --file adds a score file."
    )


def list_agents(curves: list[PublishedCurve]) -> str:
    """Return the values of --against that choose the bands of curves."""
    *names, last = dict.fromkeys(curve.algo or curve.method for curve in curves)
    return f"--against {', '.join(names)} or {last}" if names else f"--against {last}"


def describe_final(final: FinalScore) -> str:
    """Return a final score in a few words."""
    spread = "" if final.std is None else f" ± {final.std:g}"
    metric = f" ({final.metric})" if final.metric else ""
    runs = f", n = {final.seeds}" if final.seeds else ""
    return f"{final.method} {final.score:g}{spread}{metric} at {final.frames:,} frames{runs}"


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

    The setting is that of the runs' version on the curve's benchmark. load(version, blocks, flags): makes a config.
    """
    if not curve.blocks:
        return None
    setting = load(runs.algo, curve.blocks, {"task": runs.config["task"]})
    pairs = {key: pair for key, pair in differences(setting, runs.config).items() if key not in IGNORED_KEYS}
    leading = lambda key: next((i for i, prefix in enumerate(LEADING_PREFIXES) if key.startswith(prefix)), 99)
    text = lambda value: "(absent)" if value is None else value
    ordered = sorted(pairs, key=lambda key: (leading(key), key))
    return [f"{key} {text(pairs[key][0])} -> {text(pairs[key][1])}" for key in ordered]


def render(
    runs: RunSet, curve: PublishedCurve, verdict: Verdict, differing: list[str] | None, others: list[PublishedCurve]
) -> str:
    """Return a verdict as lines of text. others: more curves of the task, offered for comparison."""
    low, high, n = verdict.band
    end = ", where the published curve ends" if runs.frames(verdict.kind) > curve.x[-1] else ""
    acting = ACTIONS.get(flatten(runs.config).get("actor.eval", ""), "") if verdict.kind == "eval" else ""
    spread = f"{verdict.std:.3g}" if verdict.n > 1 else "–"
    agent = f"{curve.method} ({curve.algo})" if curve.algo else f"{curve.method}, not an agent of this repository"
    lines = [
        f"{runs.name} on {runs.task} ({curve.benchmark}): {verdict.word.upper()} the published band of "
        f"{curve.algo or curve.method} at {verdict.frames:,.0f} frames{end}.",
        f"  own        {verdict.mean:.4g} ± {spread}, n = {verdict.n}; {EPISODES[verdict.kind]}{acting}",
        f"  published  {low:.4g} to {high:.4g}, n = {n or 'not stated'}: mean ± standard deviation over runs",
        f"  agent      {agent}",
        f"  protocol   {curve.protocol}",
        f"  source     {curve.source}",
        *(f"  warning    {text}" for text in find_warnings(runs, curve, verdict)),
        f"  differs    {list_differences(differing, runs.algo, curve.algo)}",
    ]
    if known := [final for final in finals(runs.task) if final.algo == runs.algo != curve.algo and not final.metric]:
        lines += [f"  see also   {describe_final(final)}" for final in known]
    other = [one for one in others if one.seeds != 1 and one.method != curve.method]
    return "\n".join([*lines, *([f"  others     {list_agents(other)}"] if other else [])])


def find_warnings(runs: RunSet, curve: PublishedCurve, verdict: Verdict) -> list[str]:
    """Return what limits a verdict: another agent, another kind of episodes, equal seeds, too few runs."""
    found = []
    if curve.algo != runs.algo:
        found.append(f"The band is of another agent: a run of {runs.algo} outside of it does not indicate an error.")
    if curve.episodes and curve.episodes != verdict.kind:
        found.append(f"The published scores are of {EPISODES[curve.episodes]}; these runs have none.")
    if len({run.config["seed"] for run in runs.runs}) < verdict.n:
        found.append("Some of these runs have the same seed and count twice.")
    if verdict.n < MIN_RUNS:
        found.append(f"n = {verdict.n} is too few: other seeds may give another verdict.")
    if curve.seeds and verdict.band.n < MIN_PUBLISHED_RUNS:
        found.append(f"The band is of {verdict.band.n} runs: it is only a hint.")
    return found


def list_differences(differing: list[str] | None, algo: str, other: str) -> str:
    """Return the first of the differing settings in one line. algo, other: the runs' version and that of the band."""
    if differing is None:
        return "unknown: no setting is known for these scores"
    origin = "published setting" if algo == other else f"setting of {algo} for this benchmark"
    more = [f"... and {len(differing) - MAX_KEYS_SHOWN} more"] if len(differing) > MAX_KEYS_SHOWN else []
    return f"{', '.join([*differing[:MAX_KEYS_SHOWN], *more]) or 'nothing'} ({origin} -> runs)"
