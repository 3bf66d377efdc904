"""The form of a checkpoint of a run.

A pattern is a test of a value, a list with the pattern of every element, or a dict of patterns by key.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from common.envs.vector.episode_position import MAX_REPLAYED_STEPS
from common.training.health import CHECKS

MAX_COUNT = 2**53  # counts beyond it are none


def count(x: Any) -> bool:
    return type(x) is int and 0 <= x < MAX_COUNT


def number(x: Any) -> bool:
    return type(x) in (int, float) and math.isfinite(x)


def seconds(x: Any) -> bool:
    return number(x) and x >= 0


def flag(x: Any) -> bool:
    return type(x) is bool


def text(x: Any) -> bool:
    return type(x) is str


def block(x: Any) -> bool:
    return isinstance(x, dict) and all(map(text, x))


def vector(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.ndim == 1 and x.dtype.kind in "if" and bool(np.isfinite(x).all())


def tensors(x: Any) -> bool:
    return block(x) and all(isinstance(value, torch.Tensor) for value in x.values())


def points(x: Any) -> bool:
    """Frames and scores of one kind of episode."""
    return block(x) and set(x) == {"xs", "ys"} and len(x["xs"]) == len(x["ys"]) and all(map(number, x["xs"] + x["ys"]))


def curves(x: Any) -> bool:
    return x is None or (block(x) and set(x) == {"train", "eval"} and all(map(points, x.values())))


def actions(x: Any) -> bool:
    """Actions of an episode: numbers, or rows of them of one length."""
    return x is None or (
        isinstance(x, list) and len(x) <= MAX_REPLAYED_STEPS and bool(np.isfinite(np.array(x, float)).all())
    )


def logged(x: Any) -> bool:
    """Numbers for the logs of a running episode."""
    return block(x) and all(isinstance(v, list) and len(v) == 4 and all(map(number, v)) for v in x.values())


def means(x: Any) -> bool:
    """Sums of metrics; they may be anything, but as many as there are names."""
    return all(len(group["names"]) == len(group["sum"]) and count(group["count"]) for group in x)


def is_health_state(x: Any) -> bool:
    """What `Watch` of common/training/health.py keeps: lines that every check can look at, and names of flags."""
    if not all(block(row) and "updates" in row and all(map(number, row.values())) for row in x["rows"]):
        return False
    learning = [row for row in x["rows"] if "train/return" in row]
    for check in CHECKS.values() if learning else ():
        check.see(learning, {})
    return all(map(text, x["told"]))


SEATS = [{"episode": count, "actions": actions, "closed": flag, "digest": text}]
AGENT = {"agent": block, "frames": count}
REPLAY = {
    **{"ident": text, "kind": text, "rng": [block], "sampler": lambda x: block(x) and all(map(count, x.values()))},
    **dict.fromkeys(("generation", "streams", "slots", "count", "oldest"), count),
}
RUN = {
    **AGENT,
    "digest": text,
    "wall": seconds,
    "counters": {"agent_steps": count, "updates": count, "episodes": count, "pending": count, "pretrained": flag},
    "clocks": block,
    "collector": {"envs": SEATS, "state": tensors, "scores": vector, "lengths": vector},
    "schedule": block,
    "replay": REPLAY,
    "logger": {"offset": count, "frames": count, "means": means, "scores": curves},
    "rng": block,
}
#: What older runs, or the best agent, do not have.
OPTIONAL = {
    "wall": seconds,
    "skipped": count,
    "doubt": flag,
    "compiled": flag,
    "health": is_health_state,
    "config": block,
    "evaluator": lambda x: x is None or not first_mismatch(SEATS, x),
}


def first_mismatch(pattern: Any, value: Any, place: str = "") -> str:
    """The first place where `value` is not as the pattern says, and what is there; "" where it is."""
    if isinstance(pattern, list) and isinstance(value, list):
        return first(first_mismatch(pattern[0], each, f"{place}[{i}]") for i, each in enumerate(value))
    if isinstance(pattern, dict) and block(value):
        return first(
            first_mismatch(test, value.get(key), f"{place}.{key}".lstrip(".")) for key, test in pattern.items()
        )
    return "" if callable(pattern) and matches(pattern, value) else f"{place or 'it'} is {describe(value)}"


def first(found: Iterable[str]) -> str:
    """The first text that is not empty, or an empty one."""
    return next(filter(None, found), "")


def matches(test: Any, value: Any) -> bool:
    """Whether a value passes a test; one that the test cannot even look at does not."""
    try:
        return test(value)
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError):
        return False


def describe(value: Any) -> str:
    """A value in a few words."""
    plain = value is None or isinstance(value, bool | int | float | str)
    return repr(value)[:40] if plain else f"a {type(value).__name__}"
