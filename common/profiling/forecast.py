"""How long a run takes, and how much memory and disk: counts of its config times what was measured here."""

import math
from typing import Any, NamedTuple

import torch

from common.replay.capacity import record_bytes
from common.replay.chunked_ring import CHUNK_BYTES
from common.replay.ring import LATENTS
from common.storage.checkpoints import CHECKPOINTS_KEPT
from common.storage.video import MAX_EPISODE_FRAMES
from common.training.budget import count_updates


class RunCounts(NamedTuple):
    """What a run does: agent steps, updates, records stored; agent steps of evaluation and pictures of episodes, both
    at most; times that films are made, and lines logged."""

    steps: int
    updates: int
    records: int
    evaluated: int
    pictures: int
    films: int
    lines: int


class UnitTimes(NamedTuple):
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


def count_run(config: dict, images: bool) -> RunCounts:
    """Counts of a run of `config['steps']` frames. images: whether there are any to be filmed."""
    repeat, films = config["env"]["repeat"], count_due(config, "video")
    steps, limit = -(-config["steps"] // repeat), -(-config["env"]["time_limit"] // repeat)
    return RunCounts(
        steps=steps,
        updates=count_updates(config),
        records=steps + (steps // limit if limit else 0),
        evaluated=count_due(config, "eval") * config["run"]["eval_episodes"] * limit,
        pictures=films * images * min(limit or MAX_EPISODE_FRAMES, MAX_EPISODE_FRAMES),
        films=films,
        lines=count_due(config, "log"),
    )


def count_due(config: dict, what: str) -> int:
    """How often `run.WHAT_every` is due in a run."""
    every = config["run"][f"{what}_every"]
    return config["steps"] // every if every else 0


def forecast_seconds(done: RunCounts, pace: UnitTimes) -> dict[str, float]:
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


def replay_bytes(done: RunCounts, replay: Any) -> int:
    """Bytes of the records in the replay when the run ends: all of them, or as many as it holds."""
    size = replay.forecast()
    return min(done.records, size.records) * size.record_bytes


def replay_file_bytes(kept: int, replay: Any, on_disk: bool) -> int:
    """Bytes, at most, of the files of a replay with `kept` bytes of records.

    Where the records are in memory, the last chunk of them and all latents are on disk twice: for two checkpoints.
    """
    if on_disk:
        return kept
    spec, size = replay.spec, replay.forecast()
    latents = record_bytes({key: spec[key] for key in LATENTS if key in spec})
    return kept + kept * latents // size.record_bytes + min(kept, CHUNK_BYTES)


def checkpoint_bytes(agent: torch.nn.Module) -> int:
    """Bytes of the checkpoints that are kept: the newest ones and the best agent."""
    return (CHECKPOINTS_KEPT + 1) * sum(map(_bytes, agent.state_dict().values()))


def _bytes(tree: Any) -> int:
    """Bytes of all tensors in nested dicts and lists."""
    if isinstance(tree, torch.Tensor):
        return tree.numel() * tree.element_size()
    if isinstance(tree, dict):
        return sum(map(_bytes, tree.values()))
    return sum(map(_bytes, tree)) if isinstance(tree, (list, tuple)) else 0


def format_span(time: float) -> str:
    """Seconds in words of three digits at most: 45 s, 12 min, 3.4 h, 2.1 days."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if time >= 1.5 * size:
            return f"{_short(time / size)} {unit}"
    return f"{_short(time)} s"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 or math.isclose(value, round(value)) else f"{value:.1f}"
