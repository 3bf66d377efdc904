"""Measure an agent on this machine: cost of an update by count, times of all parts of training, machine rates."""

import contextlib
import math
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from common.agent import cost
from common.agent.agent import Agent
from common.agent.interfaces import Schedule
from common.nn import machine
from common.nn.compile import make_compiler
from common.nn.launch import make_launcher
from common.profiling import measure
from common.replay.replay import Replay
from common.storage.runinfo import session_facts
from common.training.banner import expected_updates, updates_per_step
from common.training.factory import Factory, record_spec
from common.training.threads import ThreadChoice, choose_threads

WARMUP_UPDATES = 2  # after the first one, which may compile
POLICY_ENVS = 1, 16  # numbers of environments that the policy is timed with


class BuiltRun(NamedTuple):
    """Parts of a run that is measured."""

    envs: Any
    agent: Agent
    replay: Replay
    schedule: Schedule
    threads: ThreadChoice


@contextlib.contextmanager
def build_run(
    config: dict, factory: Factory, check: Callable[[dict, Any], None] = lambda config, envs: None
) -> Iterator[BuiltRun]:
    """Build the parts of a run in a temporary folder. check(config, envs) may raise before the agent is built."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        envs = factory.envs(config)
        stack.callback(envs.close)
        check(config, envs)
        schedule = factory.schedule(config)
        updates = expected_updates(config, envs.repeat, schedule)
        threads = choose_threads(config, None, factory, envs, updates)
        torch.set_num_threads(threads.threads)
        agent = factory.agent(envs.obs_space, envs.act_space, config)
        replay = factory.replay(config, record_spec(envs.obs_space, agent), envs.num, Path(folder))
        agent.compiler = make_compiler(config["run"]["compile"], agent.device, threads.training_seconds(updates))
        agent.launcher = make_launcher(config, agent.device)
        yield BuiltRun(envs, agent, replay, schedule, threads)


def measure_run(
    config: dict, run: BuiltRun, updates: int, *, seconds: float = math.inf, profile: Path | None = None
) -> dict[str, Any]:
    """Return the content of `speed.json`: plain numbers and texts, times in seconds.

    updates: number of timed updates; fewer, but at least one, if they take longer than `seconds`. profile: file for
    the trace of one update.
    """
    envs, agent, replay, schedule, _ = run
    batch, length = config["batch_size"], config["batch_length"]
    device, dtype = agent.device, torch.bfloat16 if agent.half else torch.float32
    counted = cost.update_cost(config, envs.obs_space, envs.act_space, agent.half)
    step = measure.time_collection(envs, agent, replay)
    measure.fill_replay(replay, agent, envs.obs_space, batch, length)
    drawn, drawn_bytes = measure.time_sampling(replay, batch, length)
    update = FixedBatchUpdate(agent, replay.sample(batch, length))
    timed = time_training(update, device, updates, seconds)
    lines = measure.time_logging(update.metrics, device)
    back = statistics.median(measure.time_calls(lambda: replay.write_back(*update.latents), device, 10, 1.0))
    rate = updates_per_step(schedule, repeat=envs.repeat, batch=batch * length)
    steps, log_every = 1 / rate if rate else 0.0, config["run"]["log_every"]
    lines_per_update = steps * envs.repeat / log_every if log_every else 0.0
    split = timed.pop("split") | around_update(step, steps, lines, lines_per_update, drawn + back)
    if profile:
        write_trace(update, device, profile)
    acting = {str(n): latency(measure.time_policy(agent, envs.obs_space, n)) for n in POLICY_ENVS}
    memory = machine.peak_memory(device)
    return {
        **describe_run(config, run, dtype),
        "parameters": agent.parameter_table(),
        "cost": {"flops": counted.flops, "bytes": counted.bytes, "passes": list(map(pass_row, counted.passes))},
        "updates": timed | {"replayed_per_second": timed["per_second"] * batch * length},
        "split": split,
        "step": step,
        "sampling": {"seconds": drawn, "bytes": drawn_bytes, "write_back": back},
        "line": lines._asdict(),
        "acting": acting,
        "peak_memory": memory,
        "replay_bytes": round(replay.gib * 2**30),
        "machine": machine_use(counted, timed["per_second"], dtype, device),
        "session": session_facts(),
    }


def around_update(
    step: dict[str, float], steps: float, lines: measure.LoggingCost, written: float, replay: float
) -> dict[str, float]:
    """Return the seconds around one update, by part.

    step: seconds of one step by part; steps, written: steps and lines of metrics per update; replay: seconds of
    sampling the batch and writing its latents back.
    """
    return {
        "replay": replay + steps * step["replay"],
        "policy": steps * step["policy"],
        "environment": steps * step["env"],
        "logging": lines.add + written * lines.write,
    }


def machine_use(
    counted: cost.UpdateCost, per_second: float, dtype: torch.dtype, device: torch.device
) -> dict[str, float]:
    """Return the rates of matrix products and copies that the machine reaches, and those of the updates."""
    return {
        "matmul_flops_per_second": machine.matmul_rate(dtype, device),
        "flops_per_second": counted.flops * per_second,
        "copy_bytes_per_second": machine.copy_rate(device),
        "bytes_per_second": counted.bytes * per_second,
    }


def describe_run(config: dict, run: BuiltRun, dtype: torch.dtype) -> dict[str, Any]:
    """Return the facts about what is measured, and where."""
    return {
        "algo": config["algo"],
        "task": config["task"],
        "observations": {key: [str(box.dtype), list(box.shape)] for key, box in run.envs.obs_space.items()},
        "actions": str(run.envs.act_space),
        "environments": run.envs.num,
        "batch": [config["batch_size"], config["batch_length"]],
        "horizon": config["imagination"]["horizon"],
        "precision": str(dtype).removeprefix("torch."),
        "compiled": run.agent.compiler is not None,
        "device": str(run.agent.device),
        "threads": run.threads.threads,
        "threads_chosen": run.threads.why,
        "where": machine.describe_device(run.agent.device),
    }


class FixedBatchUpdate:
    """Updates of an agent on one fixed batch; keeps metrics and latents of the last one."""

    def __init__(self, agent: Agent, batch: dict):
        self.agent, self.batch, self.step = agent, batch, 0
        self.metrics: dict = {}
        self.latents: tuple = ()

    def __call__(self) -> None:
        self.metrics, latents = self.agent.update(self.batch, self.step)
        self.latents, self.step = (self.batch["index"], latents), self.step + 1


def time_training(update: Callable[[], None], device: torch.device, calls: int, seconds: float = math.inf) -> dict:
    """Return seconds of the first and the following updates, their median and rate, and the mean of each section."""
    first = measure.time_calls(update, device, 1)[0]
    if first * (1 + WARMUP_UPDATES + calls) > seconds:  # a slow update needs no warm-up
        calls = max(1, min(calls, int(seconds / first) - 1))
    else:
        measure.time_calls(update, device, WARMUP_UPDATES)
    times, parts = measure.time_updates(update, device, calls, seconds)
    median = statistics.median(times)
    split = parts | {"rest of the update": max(0.0, statistics.mean(times) - sum(parts.values()))}
    return {"first": first, "seconds": times, "median": median, "per_second": 1 / median, "split": split}


def latency(times: list[float]) -> dict[str, float]:
    """Return median and 90th percentile."""
    ordered = sorted(times)
    return {"median": statistics.median(ordered), "p90": ordered[int(0.9 * (len(ordered) - 1) + 0.5)]}


def pass_row(work: cost.ModulePass) -> dict:
    """Return a pass of the update as plain values."""
    names = ("part", "name", "positions", "forward", "weight_grads", "input_grads", "flops")
    return {name: getattr(work, name) for name in names} | {"note": work.note()}


def write_trace(update: Callable[[], None], device: torch.device, path: Path) -> None:
    """Write a trace of one update for chrome://tracing or ui.perfetto.dev."""
    kinds = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[kinds.CPU] + [kinds.CUDA] * (device.type == "cuda")) as profiler:
        update()
        machine.synchronize(device)
    profiler.export_chrome_trace(str(path))
