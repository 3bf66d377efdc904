"""What is published about a task: curves, final scores, constants."""

from typing import Any, NamedTuple

import numpy as np

from common.analysis.reference import data
from common.analysis.reference.task_names import find
from common.errors import UserError

EPISODES = {"train": "training episodes", "eval": "evaluation episodes", "": "kind of episodes not stated"}
ACTIONS = {"sample": ", sampled actions", "mode": ", mode of the policy", "": ""}


class PublishedCurve(NamedTuple):
    """Scores of a method on a task over environment frames.

    x, mean, std, n: (points,), a point stands for the frames from the point before to x; mean and population standard
    deviation are over the n runs that got there. seeds: runs in the source. budget: frames planned. final: mean,
    deviation and number of runs of each run's last 5 %. algo, blocks: our version that is this method, or "", and its
    published setting. episodes: "train", "eval", or "" where the source does not say. source, protocol: sentences.
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
    """One published score; frames and seeds are 0 where the source does not say."""

    method: str
    benchmark: str
    score: float
    frames: int
    seeds: int
    source: str
    protocol: str
    task: str
    algo: str = ""


class Constants(NamedTuple):
    """Scores of a random policy, of a human and of the best human known; None where there is no figure."""

    random: float | None
    human: float | None
    record: float | None


class Band(NamedTuple):
    """Mean minus and plus one standard deviation over n runs."""

    low: float
    high: float
    n: int


def curves(task: str, benchmark: str = "") -> list[PublishedCurve]:
    """Published curves of a task in any spelling, our versions first; [] if there are none."""
    pairs = [(entry, name) for place, name in find(task, benchmark) for entry in data.entries(place)]
    return [_curve(entry, name) for entry, name in pairs if name in data.rows(entry)]


def finals(task: str, benchmark: str = "") -> list[FinalScore]:
    """Published final scores of methods that have no curve, random play and humans among them."""
    found = []
    for place, name in find(task, benchmark):
        for table in data.final_tables(place):
            if name in table["tasks"]:
                about = {key: value for key, value in table.items() if key != "tasks"}
                found.append(FinalScore(**about, score=table["tasks"][name], task=name))
        for who, score in constants(name)._asdict().items() if _games(place) else ():
            if score is not None:
                source, protocol = data.load("constants")["source"]
                found.append(FinalScore(who, place, score, 0, 0, source, protocol, name))
    return found


def constants(task: str) -> Constants:
    """Random, human and record score of a task; of Atari games only."""
    table = data.load("constants")["tasks"]
    return Constants(*next((table[name] for _, name in find(task) if name in table), [None] * 3))


def normalise(task: str, score: Any, to: str = "human") -> Any:
    """A score, or an array of them, on a scale that tasks share; None where there is none.

    Atari: 0 is random play and 1 the human's score, or the `record`. DeepMind Control: 1 is the largest return, 1000.
    """
    scale = next((data.benchmarks()[place].get("scale") for place, _ in find(task)), None)
    low, high = (0.0, scale) if scale else (constants(task).random, getattr(constants(task), to))
    return None if low is None or high is None else (score - low) / (high - low)


def band(curve: PublishedCurve, frames: float) -> Band:
    """Published mean plus and minus one standard deviation over runs, in the interval that holds `frames`.

    Raises UserError where the curve has not begun or has ended.
    """
    start = curve.x[0] - (curve.x[1] - curve.x[0] if len(curve.x) > 1 else curve.x[0])
    if not start < frames <= curve.x[-1]:
        known = f"from {curve.x[0]:,.0f} to {curve.x[-1]:,.0f} frames"
        raise UserError(f"The curve of {curve.method} on {curve.task} goes {known}; {frames:,.0f} is outside.")
    i = int(np.searchsorted(curve.x, frames))
    return Band(curve.mean[i] - curve.std[i], curve.mean[i] + curve.std[i], int(curve.n[i]))


def describe_protocol(protocol: dict) -> str:
    """A catalogue entry's protocol as a sentence."""
    parts = [EPISODES[protocol["episodes"]] + ACTIONS[protocol["action"]]]
    parts += [f"action repeat {protocol['repeat']}"] if "repeat" in protocol else []
    parts += [f"sticky actions {protocol['sticky']:g}"] if "sticky" in protocol else []
    return "; ".join([*parts, protocol["points"], *filter(None, [protocol.get("note")])])


def _curve(entry: dict, task: str) -> PublishedCurve:
    row = data.rows(entry)[task]
    x = np.arange(1, entry["bins"] + 1) * (entry["budget"] / entry["bins"])
    mean = np.array(row["mean"])
    return PublishedCurve(
        method=entry["method"],
        benchmark=entry["benchmark"],
        x=x[row["x_index"]] if "x_index" in row else x,
        mean=mean,
        std=np.array(row["std"]),
        n=np.broadcast_to(row["n"], mean.shape),
        seeds=row["seeds"],
        source=f"{entry['repository']}, {entry['scores']}; {entry['paper']}",
        protocol=f"{describe_protocol(entry['protocol'])}; {row['seeds']} runs of up to {entry['budget']:,} frames",
        task=task,
        budget=entry["budget"],
        final=tuple(row["final"]),
        algo=entry["algo"],
        blocks=tuple(entry["blocks"]),
        episodes=entry["protocol"]["episodes"],
    )


def _games(benchmark: str) -> bool:
    return data.benchmarks()[benchmark]["prefixes"][0].startswith("atari")
