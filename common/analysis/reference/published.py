"""Published scores of a task: curves, final scores, and constants for normalisation."""

import math
from typing import Any, NamedTuple

import numpy as np

from common.analysis.reference import data
from common.analysis.reference.task_names import find
from common.errors import UserError

EPISODES = {"train": "training episodes", "eval": "evaluation episodes", "": "kind of episodes not stated"}
ACTIONS = {"sample": ", sampled actions", "mode": ", mode of the policy", "": ""}


class PublishedCurve(NamedTuple):
    """Scores of a method on a task over environment frames.

    x, mean, std, n: (points,); a point covers the frames from the point before to x; mean and population standard
    deviation are over the n runs that reached it. seeds: different runs in the source. budget: planned frames. final:
    mean, deviation and number of the runs' averages over their last 5 %. Numbers of runs are 0, and the deviation is
    NaN, if the source does not state them. algo, blocks: the version here that is this method, or "", and the config
    blocks of its published setting. episodes: "train", "eval", or "" if not stated. source, protocol: sentences.
    """

    method: str
    benchmark: str
    x: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    n: np.ndarray
    seeds: int
    source: str
    protocol: str
    task: str
    budget: float
    final: tuple[float, float, int]
    algo: str = ""
    blocks: tuple[str, ...] = ()
    episodes: str = ""


class FinalScore(NamedTuple):
    """One published score.

    frames and seeds are 0, and the deviation over runs is None, if the source does not state them. metric: the quantity
    if it is not the return.
    """

    method: str
    benchmark: str
    score: float
    frames: int
    seeds: int
    source: str
    protocol: str
    task: str
    algo: str = ""
    std: float | None = None
    metric: str = ""


class Constants(NamedTuple):
    """Scores of a random policy, of a human, and of the human world record; None if unknown."""

    random: float | None
    human: float | None
    record: float | None


class Band(NamedTuple):
    """Mean minus and plus one standard deviation over n runs."""

    low: float
    high: float
    n: int


def curves(task: str, benchmark: str = "") -> list[PublishedCurve]:
    """Return the published curves of a task in any spelling, the versions of Dreamer first; [] if there are none."""
    pairs = [(entry, name) for place, name in find(task, benchmark) for entry in data.entries(place)]
    return [_curve(entry, name) for entry, name in pairs if name in data.rows(entry)]


def finals(task: str, benchmark: str = "") -> list[FinalScore]:
    """Return the published final scores of runs without a curve, including random play and humans."""
    found = []
    for place, name in find(task, benchmark):
        for table in data.final_tables(place):
            if name in table["tasks"]:
                about = {key: value for key, value in table.items() if key != "tasks"}
                value = table["tasks"][name]
                score, std = value if isinstance(value, list) else (value, None)
                found.append(FinalScore(**about, score=score, std=std, task=name))
        if data.benchmarks()[place]["prefixes"][0].startswith("atari"):
            source, protocol = data.load("constants")["source"]
            known = {who: score for who, score in constants(name)._asdict().items() if score is not None}
            found += [FinalScore(who, place, score, 0, 0, source, protocol, name) for who, score in known.items()]
    return found


def constants(task: str) -> Constants:
    """Return the random, human and record score of a task. Only Atari games have them."""
    table = data.load("constants")["tasks"]
    return Constants(*next((table[name] for _, name in find(task) if name in table), [None] * 3))


def normalise(task: str, score: Any, to: str = "human") -> Any:
    """Return a score, or an array of scores, on a scale shared by tasks; None if the task has no scale.

    Atari: 0 is random play, 1 the human's score or the `record`. DeepMind Control: 1 is the largest return, 1000.
    Meta-World: scores are success rates, which are returned as they are.
    """
    scale = next((data.benchmarks()[place].get("scale") for place, _ in find(task)), None)
    low, high = (0.0, scale) if scale else (constants(task).random, getattr(constants(task), to))
    return None if low is None or high is None else (score - low) / (high - low)


def possible_scores(benchmark: str, task: str) -> tuple[float, float]:
    """Return the lowest and the highest possible score of a task; infinite where no limit is known."""
    about = data.benchmarks().get(benchmark, {})
    low, high = about.get("limits", {}).get(task, about.get("range", (None, None)))
    return -math.inf if low is None else low, math.inf if high is None else high


def band(curve: PublishedCurve, frames: float) -> Band:
    """Return the published mean plus and minus one standard deviation over runs, in the interval that has `frames`.

    Raises UserError outside the range of the curve.
    """
    start = curve.x[0] - (curve.x[1] - curve.x[0] if len(curve.x) > 1 else curve.x[0])
    if not start < frames <= curve.x[-1]:
        known = f"from {curve.x[0]:,.0f} to {curve.x[-1]:,.0f} frames"
        raise UserError(f"The curve of {curve.method} on {curve.task} covers {known}, not {frames:,.0f}.")
    i = int(np.searchsorted(curve.x, frames))
    return Band(curve.mean[i] - curve.std[i], curve.mean[i] + curve.std[i], int(curve.n[i]))


def describe_protocol(protocol: dict) -> str:
    """Return a catalogue entry's protocol as a sentence."""
    parts = [EPISODES[protocol["episodes"]] + ACTIONS[protocol["action"]]]
    parts += [f"action repeat {protocol['repeat']}"] if "repeat" in protocol else []
    parts += [f"sticky actions {protocol['sticky']:g}"] if "sticky" in protocol else []
    return "; ".join([*parts, protocol["points"], *filter(None, [protocol.get("note")])])


def _curve(entry: dict, task: str) -> PublishedCurve:
    row = data.rows(entry)[task]
    mean = np.array(row["mean"], float)
    index = np.array(row.get("x_index", range(len(mean))))
    seeds, commit = row["seeds"] or 0, f" {entry['commit']}" if "commit" in entry else ""
    score, deviation, number = row["final"]
    runs = f"{seeds} runs of" if seeds else "number of runs not stated,"
    return PublishedCurve(
        method=entry["method"],
        benchmark=entry["benchmark"],
        x=(index + 1) * (entry["budget"] / entry["bins"]),
        mean=mean,
        std=np.array(row["std"], float),
        n=np.broadcast_to(row["n"] or 0, mean.shape),
        seeds=seeds,
        source=f"{entry['repository']}{commit}, {entry['scores']}; {entry['paper']}",
        protocol=f"{describe_protocol(entry['protocol'])}; {runs} up to {entry['budget']:,} frames",
        task=task,
        budget=entry["budget"],
        final=(score, math.nan if deviation is None else deviation, number or 0),
        algo=entry["algo"],
        blocks=tuple(entry["blocks"]),
        episodes=entry["protocol"]["episodes"],
    )
