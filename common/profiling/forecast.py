"""How long a run takes, and how much memory and disk: counts of its config times what was measured here."""

import math
from typing import Any, NamedTuple

import torch

from common.replay.capacity import record_bytes
from common.replay.chunked_ring import TARGET
from common.replay.ring import LATENTS
from common.storage.checkpoints import KEPT
from common.storage.video import LIMIT
from common.training.budget import updates_in


class Counts(NamedTuple):
    """What a run does: agent steps, updates, records stored; agent steps of evaluation and pictures of episodes, both
    at most; times that films are made, and lines logged."""

    steps: int
    updates: int
    records: int
    evaluated: int
    pictures: int
    films: int
    lines: int


class Pace(NamedTuple):
    """Seconds: of an update, of drawing its batch, of logging it; of an agent step in policy, environment and replay;
    of a line of metrics; of the films of one time, and of a picture of an episode."""

    update: float
    draw: float
    log: float
    policy: float
    environment: float
    store: float
    line: float
    film: float
    picture: float


def counts(config: dict, images: bool) -> Counts:
    """Counts of a run of `config['steps']` frames. images: whether there are any to be filmed."""
    repeat, films = config["env"]["repeat"], times(config, "video")
    steps, limit = -(-config["steps"] // repeat), -(-config["env"]["time_limit"] // repeat)
    return Counts(
        steps=steps,
        updates=updates_in(config),
        records=steps + (steps // limit if limit else 0),
        evaluated=times(config, "eval") * config["run"]["eval_episodes"] * limit,
        pictures=films * images * min(limit or LIMIT, LIMIT),
        films=films,
        lines=times(config, "log"),
    )


def times(config: dict, what: str) -> int:
    """How often `run.WHAT_every` is due in a run."""
    every = config["run"][f"{what}_every"]
    return config["steps"] // every if every else 0


def seconds(done: Counts, pace: Pace) -> dict[str, float]:
    """Part of training -> seconds, one thing done after the other."""
    return {
        "updates": done.updates * pace.update,
        "replay": done.updates * pace.draw + done.steps * pace.store,
        "policy": done.steps * pace.policy,
        "environment": done.steps * pace.environment,
        "evaluation": done.evaluated * (pace.policy + pace.environment),
        "logging": done.updates * pace.log + done.lines * pace.line,
        "videos": done.films * pace.film + done.pictures * pace.picture,
    }


def stored(done: Counts, replay: Any) -> int:
    """Bytes of the records in the replay when the run ends: all of them, or as many as it holds."""
    size = replay.forecast()
    return min(done.records, size.records) * size.record_bytes


def filed(kept: int, replay: Any, on_disk: bool) -> int:
    """Bytes, at most, of the files of a replay with `kept` bytes of records.

    Where the records are in memory, the last chunk of them and all latents are on disk twice: for two checkpoints.
    """
    if on_disk:
        return kept
    spec, size = replay.spec, replay.forecast()
    latents = record_bytes({key: spec[key] for key in LATENTS if key in spec})
    return kept + kept * latents // size.record_bytes + min(kept, TARGET)


def checkpoints(agent: torch.nn.Module) -> int:
    """Bytes of the checkpoints that are kept: the newest ones and the best agent."""
    return (KEPT + 1) * sum(map(_bytes, agent.state_dict().values()))


def _bytes(tree: Any) -> int:
    """Bytes of all tensors in nested dicts and lists."""
    if isinstance(tree, torch.Tensor):
        return tree.numel() * tree.element_size()
    if isinstance(tree, dict):
        return sum(map(_bytes, tree.values()))
    return sum(map(_bytes, tree)) if isinstance(tree, (list, tuple)) else 0


def span(time: float) -> str:
    """Seconds in words of three digits at most: 45 s, 12 min, 3.4 h, 2.1 days."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if time >= 1.5 * size:
            return f"{_short(time / size)} {unit}"
    return f"{_short(time)} s"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 or math.isclose(value, round(value)) else f"{value:.1f}"
