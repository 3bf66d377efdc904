"""Time, memory and disk of a run: counts from its config times measured times."""

from typing import Any, NamedTuple

import torch

from common.replay.capacity import record_bytes
from common.replay.chunked_ring import CHUNK_BYTES
from common.replay.ring import LATENTS
from common.storage.checkpoints import CHECKPOINTS_KEPT
from common.storage.video import MAX_EPISODE_FRAMES
from common.training.budget import count_updates


class RunCounts(NamedTuple):
    """Counts of a run.

    steps: agent steps. records: stored records. evaluated: agent steps of evaluation, at most. pictures: frames in
    videos of episodes, at most. films: times that the model's videos are made. lines: logged lines of metrics.
    """

    steps: int
    updates: int
    records: int
    evaluated: int
    pictures: int
    films: int
    lines: int


class UnitTimes(NamedTuple):
    """Seconds of one unit.

    update, draw, log: one update, its batch, its metrics. policy, environment, store: one agent step. line: one line of
    metrics. film: all videos of the model of one time. picture: one frame in the video of an episode.
    """

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
    """Return the counts of a run of `config['steps']` frames. images: whether there are images for videos."""
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
    """Return how often `run.WHAT_every` is due in a run."""
    every = config["run"][f"{what}_every"]
    return config["steps"] // every if every else 0


def forecast_seconds(counts: RunCounts, pace: UnitTimes) -> dict[str, float]:
    """Return part of training -> seconds, as if all parts ran one after the other."""
    return {
        "updates": counts.updates * pace.update,
        "replay": counts.updates * pace.draw + counts.steps * pace.store,
        "policy": counts.steps * pace.policy,
        "environment": counts.steps * pace.environment,
        "evaluation": counts.evaluated * (pace.policy + pace.environment),
        "logging": counts.updates * pace.log + counts.lines * pace.line,
        "videos": counts.films * pace.film + counts.pictures * pace.picture,
    }


def replay_bytes(counts: RunCounts, replay: Any) -> int:
    """Return the bytes of the records in the replay at the end of the run."""
    size = replay.forecast()
    return min(counts.records, size.records) * size.record_bytes


def replay_file_bytes(kept: int, replay: Any, on_disk: bool) -> int:
    """Return the bytes, at most, of the files of a replay with `kept` bytes of records.

    A replay in memory stores its last chunk and all latents twice, for two checkpoints.
    """
    if on_disk:
        return kept
    spec, size = replay.spec, replay.forecast()
    latents = record_bytes({key: spec[key] for key in LATENTS if key in spec})
    return kept + kept * latents // size.record_bytes + min(kept, CHUNK_BYTES)


def checkpoint_bytes(agent: torch.nn.Module) -> int:
    """Return the bytes of the stored checkpoints: the newest ones and the best agent."""
    return (CHECKPOINTS_KEPT + 1) * tensor_bytes(agent.state_dict())


def tensor_bytes(tree: Any) -> int:
    """Return the bytes of all tensors in nested dicts and lists."""
    if isinstance(tree, torch.Tensor):
        return tree.numel() * tree.element_size()
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, list | tuple):
        return 0
    return sum(map(tensor_bytes, tree))
