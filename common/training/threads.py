"""The number of CPU threads of torch: as set, as before in a resumed run, or chosen by timing a few updates.

Small networks are often faster with one thread, and on a busy machine more threads can be far slower. So more threads
are used only if they are clearly faster at the start of the run.
"""

import gc
import math
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from common.errors import NonFiniteError
from common.nn import rng
from common.nn.machine import resolve_device
from common.training.collector import VectorEnvs
from common.training.factory import Factory, Spec, record_spec

MIN_SPEEDUP = 1.15  # factor by which more threads must be faster
FIRST_BATCH_LENGTH = 4  # steps; its time sets the length of the timed sequences
TIMED_UPDATE_SECONDS = 0.1  # always allowed for one timed update
MAX_TIMING_SHARE = 0.01  # of the time of all updates, to compare two numbers of threads
MAX_TIMING_SECONDS = 20.0
HOPELESS_FACTOR = 2  # stop timing more threads if they take this many times as long
TIMING_ROUNDS = 3  # timed updates of each number of threads
MIN_TIMING_SECONDS = 1.5  # always allowed to compare two numbers of threads
MIN_COMPILED_UPDATES = 100  # runs with fewer are not timed for the choice of `run.compile`
TIMING_STREAM = 3  # separates the random numbers drawn here from those of evaluation and reports
CGROUP_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: CPU microseconds per period
# Errors of an update do not end the timing: the first update of the run reports them in full.
AGENT_ERRORS = (ArithmeticError, AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError)
UNTIMED = (NonFiniteError, *AGENT_ERRORS)


class ThreadChoice(NamedTuple):
    """Number of threads and the reason for it. update_seconds: estimated time of an update, 0 if none was timed."""

    threads: int
    why: str
    update_seconds: float = 0.0

    def training_seconds(self, updates: float, limit: float = 0.0) -> float:
        """Return the estimated seconds of a run's updates without compilation. limit: of the run, 0 for none."""
        return min(updates * self.update_seconds, limit or math.inf)

    def __str__(self) -> str:
        return f"{self.threads} CPU thread(s)" + (f" ({self.why})" if self.why else "")


def choose_threads(
    config: dict[str, Any], before: int | None, factory: Factory, envs: VectorEnvs, updates: float = 0
) -> ThreadChoice:
    """Choose the number of threads for training with `config`; changes neither it nor random generators.

    A new run is timed if the choice of threads or of compilation depends on it.

    before: number of the run until now, None for a new run. updates: expected updates of the run; more of them allow
    longer sequences in the timing.
    """
    kept, most = kept_threads(config["run"]["threads"], before), available_threads()
    if resolve_device(config["run"]["device"]) != "cpu":
        return kept or ThreadChoice(most, "")
    if kept is None and most == 1:
        kept = ThreadChoice(1, "")
    if kept is None:
        with rng.isolated_rng(config["seed"], TIMING_STREAM):
            kept = _measured(config, most, factory, envs, updates)
    elif before is None and config["run"]["compile"] == "auto" and updates >= MIN_COMPILED_UPDATES:
        kept = kept._replace(update_seconds=update_seconds(config, factory, envs, kept.threads, updates))
    gc.collect()  # free the agent that was timed
    return kept


def kept_threads(asked: int, before: int | None) -> ThreadChoice | None:
    """Return the number asked for, or the one before if there are cores for it; None if neither is set."""
    if asked:
        return ThreadChoice(asked, "")
    most = available_threads()
    if isinstance(before, int) and before > 0:
        return ThreadChoice(min(before, most), "as before" if before <= most else f"of {before} before")
    return None


def available_threads() -> int:
    """Return the default number of torch's threads, at most the CPU limit of a container."""
    most = torch.get_num_threads()
    if os.access(CGROUP_CPU_QUOTA, os.R_OK):
        limit, period = CGROUP_CPU_QUOTA.read_text().split()
        most = most if limit == "max" else min(most, int(limit) // int(period))
    return max(1, most)


def _measured(config: dict[str, Any], most: int, factory: Factory, envs: VectorEnvs, updates: float) -> ThreadChoice:
    """Time updates of a temporary agent."""
    threads = torch.get_num_threads()
    try:
        update, length, patience = short_update(config, factory, envs, updates)
        best, seconds = fastest_threads(update, most, patience)
    except UNTIMED as error:
        return ThreadChoice(threads, f"updates could not be timed: {type(error).__name__}")
    finally:
        torch.set_num_threads(threads)
    figures = ", ".join(f"{count}: {1000 * spent:.0f} ms" for count, spent in seconds.items())
    why = f"{figures} for an update on {config['batch_size']} x {length} steps"
    return ThreadChoice(best, why, seconds[best] * config["batch_length"] / length)


def short_update(
    config: dict[str, Any], factory: Factory, envs: VectorEnvs, updates: float
) -> tuple[Callable[[], Any], int, float]:
    """Return an update on sequences as long as time allows, their length, and the seconds for its timing.

    Each step is the same work as in training. Longer sequences are better: imagination, heads and convolutions take
    all steps at once, and gain more from threads if there are more steps.
    """
    agent = factory.agent(envs.obs_space, envs.act_space, config)
    spec, size, full = record_spec(envs.obs_space, agent), config["batch_size"], config["batch_length"]
    update = lambda batch: agent.update(batch, 0)  # not compiled
    short = min(FIRST_BATCH_LENGTH, full)
    batch = random_batch(spec, size, short)
    seconds = timed(lambda: update(batch), 1)
    if seconds < MIN_TIMING_SECONDS:  # the first one is slower than the others
        seconds = timed(lambda: update(batch), 1)
    patience = max(MIN_TIMING_SECONDS, min(MAX_TIMING_SHARE * updates * seconds * full / short, MAX_TIMING_SECONDS))
    target = patience / (2 + 2 * TIMING_ROUNDS) if patience > MIN_TIMING_SECONDS else TIMED_UPDATE_SECONDS
    length = int(np.clip(short * target / seconds, short, full))
    long = random_batch(spec, size, length)
    return lambda: update(long), length, patience


def update_seconds(config: dict[str, Any], factory: Factory, envs: VectorEnvs, threads: int, updates: float) -> float:
    """Return the estimated seconds of an update with a number of threads, timed on shorter sequences.

    Changes neither torch's number of threads nor its random generators. Returns 0 if no update can be timed.
    """
    before = torch.get_num_threads()
    try:
        with rng.isolated_rng(config["seed"], TIMING_STREAM):
            update, length, _ = short_update(config, factory, envs, updates)
            return timed(update, threads) * config["batch_length"] / length
    except UNTIMED:
        return 0.0
    finally:
        torch.set_num_threads(before)


def random_batch(spec: Spec, size: int, length: int) -> dict[str, np.ndarray]:
    """Return a batch like the replay's: random observations, actions and rewards of one episode, zeros for the rest."""
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
    """Return the number of threads up to `most` with which `update` is clearly fastest, and seconds by number."""
    best, seconds = 1, dict[int, float]()
    for count in thread_counts(most):
        seconds |= _duel(update, best, count, patience)
        if seconds[count] * MIN_SPEEDUP > seconds[best]:
            break
        best = count
    return best, seconds


def thread_counts(most: int) -> list[int]:
    """Return 2, 4, 8, ... and `most`; [] for 1."""
    powers = [2**k for k in range(1, most.bit_length())]
    return [count for count in powers if count < most] + [most] * (most > 1)


def _duel(update: Callable[[], Any], one: int, other: int, patience: float) -> dict[int, float]:
    """Return the median seconds of an update with each of two numbers of threads, timed in turns after a warm-up.

    If the warm-ups of `other` are hopeless twice, it is not timed further: the cores are busy with other programs.
    """
    begin = time.perf_counter()
    times: dict[int, list[float]] = {one: [], other: []}
    warm = {count: timed(update, count) for count in times}
    if warm[other] > HOPELESS_FACTOR * warm[one]:
        warm[other] = timed(update, other)
    rounds = TIMING_ROUNDS if warm[other] < HOPELESS_FACTOR * warm[one] else 0
    while len(times[one]) < rounds and time.perf_counter() - begin < patience:
        for count, spent in times.items():
            spent.append(timed(update, count))
    return {count: statistics.median(spent or [warm[count]]) for count, spent in times.items()}


def timed(update: Callable[[], Any], threads: int) -> float:
    """Return the seconds of one update with a number of threads, which stays set."""
    torch.set_num_threads(threads)
    begin = time.perf_counter()
    update()
    return time.perf_counter() - begin
