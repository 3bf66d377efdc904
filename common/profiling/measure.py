"""Time each part of a run separately: updates, acting, collecting, sampling, logging. All times in seconds."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from common.errors import UserError
from common.nn.machine import synchronize
from common.nn.sections import section, time_sections
from common.storage import video
from common.storage.logger import Logger
from common.training.camera import predict_open_loop
from common.training.collector import Collector

EPISODE_RECORDS = 50  # records of the random episodes that fill the replay
FILLED = 2**28, 10_000  # bytes or records that the replay is filled to, so that it exceeds all caches
SPLIT_UPDATES = 3  # updates whose parts are timed on a GPU


def time_calls(work: Callable[[], object], device: torch.device, calls: int, seconds: float = np.inf) -> list[float]:
    """Return the seconds of `calls` calls of `work`; fewer, but at least three, if they exceed `seconds` in total."""
    times: list[float] = []
    while len(times) < calls and (len(times) < 3 or sum(times) < seconds):
        synchronize(device)
        begin = time.perf_counter()
        work()
        synchronize(device)
        times.append(time.perf_counter() - begin)
    return times


def time_updates(
    update: Callable[[], object], device: torch.device, calls: int, seconds: float = np.inf
) -> tuple[list[float], dict[str, float]]:
    """Return the seconds of updates, as `time_calls` does, and the mean seconds of each section in an update.

    Timing a section synchronizes the GPU, so there the sections are timed in separate updates.
    """
    times = time_calls(update, device, calls, seconds) if device.type == "cuda" else []
    with time_sections(device) as parts:
        split = time_calls(update, device, SPLIT_UPDATES if times else calls, seconds)
    return times or split, {name: spent / len(split) for name, spent in parts.items()}


def random_record(obs_space: Any, n: int, time: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return a random record of `n` environments (n, ...) at step `time` of episodes of EPISODE_RECORDS records."""
    draw = lambda box: (
        rng.integers(0, 256, (n, *box.shape), np.uint8)
        if box.dtype == np.uint8
        else rng.standard_normal((n, *box.shape), np.float32)
    )
    place, flag = time % EPISODE_RECORDS, lambda on: np.full(n, on)
    record = {key: draw(box) for key, box in obs_space.items()} | {"reward": rng.standard_normal(n, np.float32)}
    flags = {"is_first": flag(place == 0), "is_last": flag(place == EPISODE_RECORDS - 1), "is_terminal": flag(False)}
    return record | flags


def time_policy(agent: Any, obs_space: Any, n: int, seconds: float = 0.5) -> list[float]:
    """Return the seconds of 10 to 200 calls of the policy on `n` environments, in about `seconds`."""
    record, state = random_record(obs_space, n, 1, np.random.default_rng(0)), agent.initial(n)
    act = lambda: agent.act(record, state, mode="train")
    warm = sum(time_calls(act, agent.device, 3)[1:]) / 2
    return time_calls(act, agent.device, int(np.clip(seconds / warm, 10, 200)))


def time_collection(envs: Any, agent: Any, replay: Any, seconds: float = 0.5) -> dict[str, float]:
    """Act in the environments for about `seconds`. Return part -> seconds per agent step (policy, replay, env).

    Raises Broken if a run would stop.
    """
    watch: Any = section
    collector = Collector(envs, agent, replay, watch)
    collector.begin()
    step = lambda: (collector.send(random=False, step=0), collector.receive(), envs.check())
    time_calls(step, agent.device, 3)
    with time_sections(agent.device) as parts:
        rounds = time_calls(step, agent.device, 1000, seconds)
    return {part: spent / (len(rounds) * envs.num) for part, spent in parts.items()}


def fill_replay(replay: Any, agent: Any, obs_space: Any, batch: int, length: int) -> None:
    """Add random records until the replay can be sampled and exceeds all caches.

    Raises UserError with the reason if it never becomes ready.
    """
    streams, rng = replay.streams, np.random.default_rng(0)
    records = [random_record(obs_space, streams, t, rng) | agent.random(streams)[1] for t in range(EPISODE_RECORDS)]
    size = sum(value.nbytes for value in records[0].values())
    enough = min(FILLED[0] // size, FILLED[1] // streams)
    for t in range(max(enough, 20 * batch * length)):
        if t >= enough and t % EPISODE_RECORDS == 0 and replay.ready(batch, length):
            return
        replay.add(records[t % EPISODE_RECORDS])
    if not replay.ready(batch, length):
        raise UserError(f"The replay cannot be sampled: {replay.waiting_reason(batch, length)}.")


def time_sampling(replay: Any, batch: int, length: int, seconds: float = 0.5) -> tuple[float, int]:
    """Return the median seconds of sampling a batch, and its bytes."""
    draw = lambda: replay.sample(batch, length)
    times = time_calls(draw, torch.device("cpu"), 100, seconds)
    return statistics.median(times), sum(value.nbytes for value in draw().values())


class LoggingCost(NamedTuple):
    """Seconds of adding the metrics of an update and of writing a line; bytes of a line in all files together."""

    add: float
    write: float
    bytes: float


def time_logging(metrics: dict[str, torch.Tensor | float], device: torch.device, lines: int = 10) -> LoggingCost:
    """Return the median seconds and mean bytes of logging the metrics of updates."""
    with tempfile.TemporaryDirectory() as folder:
        logger = Logger(Path(folder), task="", method="", seed=0)
        add = statistics.median(time_calls(lambda: logger.add(metrics), device, 50))
        times = []
        for frames in range(lines):
            logger.add(metrics)
            write = lambda frames=frames: logger.write({"frames": frames}, logger.means.take())
            times += time_calls(write, device, 1)
        logger.close()
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    return LoggingCost(add, statistics.median(times), size / lines)


def time_model_videos(agent: Any, replay: Any, batch: int, length: int) -> tuple[float, int]:
    """Return the seconds and bytes of all open-loop videos of one time."""
    begin = time.perf_counter()
    films = [video.encode_gif(found.pictures) for found in predict_open_loop(agent, replay, batch, length).values()]
    return time.perf_counter() - begin, sum(map(len, films))


def time_episode_frame(obs_space: Any, pictures: int = 20) -> tuple[float, float]:
    """Return the seconds and bytes of a frame in an episode video, at most (random pixels); 0 without images."""
    key = video.first_image_key(dict(obs_space.items()))
    if key is None:
        return 0.0, 0.0
    shape, rng = obs_space[key].shape, np.random.default_rng(0)
    begin = time.perf_counter()
    film = video.encode_gif(video.to_rgb(rng.integers(0, 256, (pictures, *shape), np.uint8)))
    return (time.perf_counter() - begin) / pictures, len(film) / pictures
