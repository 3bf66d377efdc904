"""How many threads torch computes with: as set, as before in a run that goes on, or chosen by timing a few updates.

Small networks are often faster with one thread, and on a busy machine several threads can be far slower than one. So
more of them are taken only where they are clearly faster here and now.
"""

import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from common.errors import NonFiniteError
from common.nn import rng
from common.nn.machine import resolve_device as device_of
from common.training.factory import record_spec

MIN_SPEEDUP = 1.15  # more threads must be faster by this factor
FIRST_BATCH_LENGTH = 4  # steps of the sequences in the first update, from which the length of the timed ones follows
TIMED_UPDATE_SECONDS = 0.1  # seconds that a timed update may take in any run
MAX_TIMING_SHARE, MAX_TIMING_SECONDS = (
    0.01,
    20.0,
)  # of the time of all updates, and in seconds: what comparing two numbers may take
HOPELESS_FACTOR = 2  # times as long
TIMING_ROUNDS = 3  # timed updates of each number of threads
MIN_TIMING_SECONDS = 1.5  # seconds after which no further round begins
TIMING_STREAM = 3  # separates the random numbers drawn here from those of evaluation and reports
CGROUP_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # microseconds of processor in so many microseconds, for a container
# What an agent may raise: the timing must not end a run, whose own first update says it in full.
AGENT_ERRORS = (ArithmeticError, AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError)
UNTIMED = (NonFiniteError, *AGENT_ERRORS)


class ThreadChoice(NamedTuple):
    """Number of threads, and where it comes from in a few words."""

    threads: int
    why: str

    def __str__(self) -> str:
        return f"{self.threads} CPU thread(s)" + (f" ({self.why})" if self.why else "")


def choose_threads(config: dict, before: int | None, factory: Any, envs: Any, updates: float = 0) -> ThreadChoice:
    """The number of threads for training with `config`.

    before: what the run used until now, None for a new one. updates: how many it will make; the more, the longer are
    the sequences that are timed. Random generators and number of threads are left alone.
    """
    kept, most = kept_threads(config["run"]["threads"], before), available_threads()
    if kept:
        return kept
    if most == 1 or device_of(config["run"]["device"]) != "cpu":
        return ThreadChoice(most, "")
    with rng.isolated_rng(config["seed"], TIMING_STREAM):
        choice = _measured(config, most, factory, envs, updates)
    gc.collect()  # the agent that was timed, now that nobody holds it
    return choice


def kept_threads(asked: int, before: int | None) -> ThreadChoice | None:
    """The number asked for, or else the one before, as far as there are cores for it; None without either."""
    if asked:
        return ThreadChoice(asked, "")
    most = available_threads()
    if isinstance(before, int) and before > 0:
        return ThreadChoice(min(before, most), "as before" if before <= most else f"of {before} before")
    return None


def available_threads() -> int:
    """The most threads that make sense: what torch would take by itself, within the limit of a container."""
    most = torch.get_num_threads()
    if os.access(CGROUP_CPU_QUOTA, os.R_OK):
        limit, period = CGROUP_CPU_QUOTA.read_text().split()
        most = most if limit == "max" else min(most, int(limit) // int(period))
    return max(1, most)


def _measured(config: dict, most: int, factory: Any, envs: Any, updates: float) -> ThreadChoice:
    """Times updates of an agent that is thrown away afterwards."""
    threads = torch.get_num_threads()
    try:
        update, length, patience = _short_update(config, factory, envs, updates)
        best, seconds = fastest_threads(update, most, patience)
    except UNTIMED as error:
        return ThreadChoice(threads, f"updates could not be timed: {type(error).__name__}")
    finally:
        torch.set_num_threads(threads)
    figures = ", ".join(f"{count}: {1000 * spent:.0f} ms" for count, spent in seconds.items())
    return ThreadChoice(best, f"{figures} for an update on {config['batch_size']} x {length} steps")


def _short_update(config: dict, factory: Any, envs: Any, updates: float) -> tuple[Callable[[], Any], int, float]:
    """An update on sequences that are as long as there is time for, their length, and the time to spend on it.

    Only the number of steps is cut: each of them then is the same work as in training. But imagination, heads and
    convolutions take all steps at once and gain more from threads the longer the sequences are.
    """
    agent = factory.agent(envs.obs_space, envs.act_space, config)
    spec, size, full = record_spec(envs.obs_space, agent), config["batch_size"], config["batch_length"]
    update = lambda batch: agent.update(batch, 0)  # eagerly: nothing is compiled for this
    short = min(FIRST_BATCH_LENGTH, full)
    batch = random_batch(spec, size, short)
    seconds = _timed(lambda: update(batch), 1)
    if seconds < MIN_TIMING_SECONDS:  # the first one is slower than the others
        seconds = _timed(lambda: update(batch), 1)
    patience = max(MIN_TIMING_SECONDS, min(MAX_TIMING_SHARE * updates * seconds * full / short, MAX_TIMING_SECONDS))
    target = patience / (2 + 2 * TIMING_ROUNDS) if patience > MIN_TIMING_SECONDS else TIMED_UPDATE_SECONDS
    length = int(np.clip(short * target / seconds, short, full))
    timed = random_batch(spec, size, length)
    return lambda: update(timed), length, patience


def random_batch(spec: dict, size: int, length: int) -> dict[str, np.ndarray]:
    """A batch as the replay draws it: random observations, actions and rewards, one episode, zeros for the rest."""
    draws = np.random.default_rng(0)
    batch: dict[str, Any] = {key: np.zeros((size, length, *shape), dtype) for key, (shape, dtype) in spec.items()}
    for key in batch.keys() - {"deter", "stoch"}:
        if batch[key].dtype == np.uint8:
            batch[key] = draws.integers(0, 256, batch[key].shape, np.uint8)
        elif batch[key].dtype == np.float32:
            batch[key] = draws.random(batch[key].shape, np.float32)
    batch |= {f"context_{key}": batch[key][:, 0].copy() for key in ("deter", "stoch") if key in batch}
    batch["is_first"][:, 0] = True
    return batch | {"prev_action": batch["action"], "index": np.zeros((size, length), np.int64)}


def fastest_threads(
    update: Callable[[], Any], most: int, patience: float = MIN_TIMING_SECONDS
) -> tuple[int, dict[int, float]]:
    """The number of threads up to `most` that `update` is clearly fastest with; number -> seconds of those tried."""
    best, seconds = 1, dict[int, float]()
    for count in thread_counts(most):
        seconds |= _duel(update, best, count, patience)
        if seconds[count] * MIN_SPEEDUP > seconds[best]:
            break
        best = count
    return best, seconds


def thread_counts(most: int) -> Iterator[int]:
    """2, 4, 8, ... and `most`."""
    count = 2
    while count < most:
        yield count
        count *= 2
    if most > 1:
        yield most


def _duel(update: Callable[[], Any], one: int, other: int, patience: float) -> dict[int, float]:
    """Median seconds of an update with each of two numbers of threads, timed in turns after one to get warm.

    Where the other is hopeless in that one, twice, that is all it gets: the cores are busy with something else.
    """
    begin = time.perf_counter()
    times: dict[int, list[float]] = {one: [], other: []}
    warm = {count: _timed(update, count) for count in times}
    if warm[other] > HOPELESS_FACTOR * warm[one]:
        warm[other] = _timed(update, other)
    while (
        warm[other] < HOPELESS_FACTOR * warm[one]
        and len(times[one]) < TIMING_ROUNDS
        and time.perf_counter() - begin < patience
    ):
        for count, spent in times.items():
            spent.append(_timed(update, count))
    return {count: statistics.median(spent or [warm[count]]) for count, spent in times.items()}


def _timed(update: Callable[[], Any], threads: int) -> float:
    torch.set_num_threads(threads)
    begin = time.perf_counter()
    update()
    return time.perf_counter() - begin
