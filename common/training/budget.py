"""Equal budgets: convert frames, updates, replayed steps or seconds to the config keys of a run."""

import bisect
import copy
import functools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.training.factory import Factory

UNLIMITED_FRAMES = 1_000_000_000  # of a run that ends by its time limit
MAX_ASSUMED_EPISODE_STEPS = 1000  # agent steps; episodes rarely reach a longer time limit
DEFAULT_EPISODE_STEPS = 200  # agent steps of an episode of unknown length
MAX_STEPS_TO_FIRST_UPDATE = 1_000_000  # agent steps, in addition to prefill
RELEVANT_KEYS = ("algo", "seed", "run", "env", "replay", "sampler", "batch_size", "batch_length")
BLANK_SPEC: dict[str, tuple[tuple, np.dtype]] = {
    **{key: ((), np.dtype(bool)) for key in ("is_first", "is_last", "is_terminal")},
    **{key: ((1,), np.dtype(np.float32)) for key in ("action", "deter", "stoch")},
    "reward": ((), np.dtype(np.float32)),
}


def match_frames(config: dict, amount: int) -> dict[str, int]:
    """Return the keys for `amount` environment frames."""
    return {"steps": amount}


def match_updates(config: dict, amount: int) -> dict[str, int]:
    """Return the keys for the fewest frames after which the schedule has requested `amount` gradient updates."""
    repeat = config["env"]["repeat"]
    first, count = update_counter(config)
    high = first + 1
    while count(high) < amount:
        high *= 2
        if high > UNLIMITED_FRAMES:
            raise UserError(
                f"{config['algo']} never makes {amount:,} updates with schedule {config['schedule']}. "
                "Change --schedule or --steps."
            )
    return {"steps": repeat * (first + bisect.bisect_left(range(first, high), amount, key=count))}


def match_replayed(config: dict, amount: int) -> dict[str, int]:
    """Return the keys for at least `amount` replayed steps; each update replays batch_size x batch_length steps."""
    return match_updates(config, -(-amount // (config["batch_size"] * config["batch_length"])))


def match_seconds(config: dict, amount: int) -> dict[str, int]:
    """Return the keys for `amount` seconds of training."""
    return {"steps": UNLIMITED_FRAMES, "run.max_seconds": amount}


#: Value of --match -> function (config, amount) -> config keys of a run, and the unit of the amount.
MATCH: dict[str, tuple[Callable[[dict, int], dict[str, int]], str]] = {
    "frames": (match_frames, "frames"),
    "updates": (match_updates, "updates"),
    "replayed": (match_replayed, "replayed steps"),
    "time": (match_seconds, "seconds"),
}


def count_updates(config: dict) -> int:
    """Return the number of updates in a run of `steps` frames."""
    first, count = update_counter(config)
    steps = -(-config["steps"] // config["env"]["repeat"])
    return count(steps) if steps >= first else 0


def update_counter(config: dict) -> tuple[int, Callable[[int], int]]:
    """Return the agent steps before the first update, and a function: agent steps, at least that many -> updates."""
    schedule = Factory().schedule(config)
    first = steps_until_ready(json.dumps({key: config[key] for key in RELEVANT_KEYS}))
    options = {"repeat": config["env"]["repeat"], "replayed_per_update": config["batch_size"] * config["batch_length"]}
    begin = config["run"]["pretrain"] + schedule.due(first, **options)
    return first, lambda steps: begin + copy.deepcopy(schedule).due(steps, **options)


@functools.cache
def steps_until_ready(relevant: str) -> int:
    """Return the agent steps after which prefill is over and the replay is ready for its sampler.

    Fills a replay with blank records. relevant: RELEVANT_KEYS of a config as JSON, which can be cached.
    """
    config = json.loads(relevant)
    run, size, length = config["run"], (config["batch_size"], config["batch_length"]), episode_length(config)
    blank = {key: np.zeros((run["envs"], *shape), dtype) for key, (shape, dtype) in BLANK_SPEC.items()}
    in_memory = config | {"replay": config["replay"] | {"disk": False}}
    replay = Factory().replay(in_memory, BLANK_SPEC, run["envs"], Path())
    steps = rounds = 0
    while steps < run["prefill"] or not replay.ready(*size):
        step = rounds % (length + 1)
        replay.add(blank | {key: blank[key] | (step == at) for key, at in (("is_first", 0), ("is_last", length))})
        steps += run["envs"] * (step < length)
        rounds += 1
        if steps > MAX_STEPS_TO_FIRST_UPDATE + run["prefill"]:
            raise UserError(f"{config['algo']} would never start to train: {replay.waiting_reason(*size)}.")
    return steps


def episode_length(config: dict) -> int:
    """Return the assumed agent steps of an episode: a short time limit, else what fits into prefill.

    It only matters if the replay is not ready when prefill is over.
    """
    run, limit = config["run"], -(-config["env"]["time_limit"] // config["env"]["repeat"])
    return limit if 0 < limit <= MAX_ASSUMED_EPISODE_STEPS else run["prefill"] // run["envs"] or DEFAULT_EPISODE_STEPS
