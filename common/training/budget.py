"""Equal budgets: frames, updates, replayed steps or seconds as config keys of a run with its own schedule."""

import bisect
import copy
import functools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.training.factory import Factory

UNLIMITED_FRAMES = 1_000_000_000  # of a run that ends by time
MAX_ASSUMED_EPISODE_STEPS = 1000  # a longer time limit is hardly ever reached
DEFAULT_EPISODE_STEPS = 200  # of an episode of unknown length
MAX_STEPS_TO_FIRST_UPDATE = 1_000_000  # after the prefill
RELEVANT_KEYS = ("algo", "seed", "run", "env", "replay", "sampler", "batch_size", "batch_length")
BLANK_SPEC: dict[str, tuple[tuple, np.dtype]] = {
    **{key: ((), np.dtype(bool)) for key in ("is_first", "is_last", "is_terminal")},
    **{key: ((1,), np.dtype(np.float32)) for key in ("action", "deter", "stoch")},
    "reward": ((), np.dtype(np.float32)),
}


def match_updates(config: dict, amount: int) -> dict[str, int]:
    """Return the smallest number of frames after which the schedule has asked for `amount` updates."""
    repeat = config["env"]["repeat"]
    first, count = update_counter(config)
    high = first + 1
    while count(high) < amount:
        high *= 2
        if high > UNLIMITED_FRAMES:
            raise UserError(f"{config['algo']} never makes {amount:,} updates with schedule {config['schedule']}.")
    return {"steps": repeat * (first + bisect.bisect_left(range(first, high), amount, key=count))}


def match_replayed(config: dict, amount: int) -> dict[str, int]:
    """Return the config keys for updates that replay at least `amount` steps, batch_size x batch_length each."""
    return match_updates(config, -(-amount // (config["batch_size"] * config["batch_length"])))


#: Value of --match -> function from an amount to config keys, unit.
MATCH: dict[str, tuple[Callable[[dict, int], dict[str, int]], str]] = {
    "frames": (lambda config, amount: {"steps": amount}, "frames"),
    "updates": (match_updates, "updates"),
    "replayed": (match_replayed, "replayed steps"),
    "time": (lambda config, amount: {"steps": UNLIMITED_FRAMES, "run.max_seconds": amount}, "seconds"),
}


def count_updates(config: dict) -> int:
    """Return the number of updates of a run of `steps` frames."""
    first, count = update_counter(config)
    steps = -(-config["steps"] // config["env"]["repeat"])
    return count(steps) if steps >= first else 0


def update_counter(config: dict) -> tuple[int, Callable[[int], int]]:
    """Return the agent steps before the first update, and a function from that many or more steps to updates made."""
    schedule, first = Factory().schedule(config), first_update(config)
    options = {"repeat": config["env"]["repeat"], "replayed_per_update": config["batch_size"] * config["batch_length"]}
    begin = config["run"]["pretrain"] + schedule.due(first, **options)
    return first, lambda steps: begin + copy.deepcopy(schedule).due(steps, **options)


def first_update(config: dict) -> int:
    """Return the agent steps after which updates begin: the prefill is over and the sampler has enough records."""
    return steps_until_ready(json.dumps({key: config[key] for key in RELEVANT_KEYS}))


@functools.cache
def steps_until_ready(text: str) -> int:
    """Return what `first_update` does, found by filling a replay with blank records. text: RELEVANT_KEYS as JSON."""
    config = json.loads(text)
    run, size, length = config["run"], (config["batch_size"], config["batch_length"]), episode_length(config)
    blank = {key: np.zeros((run["envs"], *shape), dtype) for key, (shape, dtype) in BLANK_SPEC.items()}
    in_memory = config | {"replay": config["replay"] | {"disk": False}}
    replay = Factory().replay(in_memory, BLANK_SPEC, run["envs"], Path())
    steps = rounds = 0
    while steps < run["prefill"] or not replay.ready(*size):
        place = rounds % (length + 1)
        replay.add(blank | {key: blank[key] | (place == at) for key, at in (("is_first", 0), ("is_last", length))})
        steps += run["envs"] * (place < length)
        rounds += 1
        if steps > MAX_STEPS_TO_FIRST_UPDATE + run["prefill"]:
            raise UserError(f"{config['algo']} would not begin to train: {replay.waiting_reason(*size)}.")
    return steps


def episode_length(config: dict) -> int:
    """Return the agent steps of an episode: a short time limit, or else a guess that fits into the prefill.

    It matters only if the replay is not ready when the prefill is over.
    """
    run, limit = config["run"], -(-config["env"]["time_limit"] // config["env"]["repeat"])
    return limit if 0 < limit <= MAX_ASSUMED_EPISODE_STEPS else run["prefill"] // run["envs"] or DEFAULT_EPISODE_STEPS
