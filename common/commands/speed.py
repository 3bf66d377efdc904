"""`speed`: what an update costs by count, how fast it and everything around it runs here, and what the machine allows.

Writes `speed.json` into --logdir, or the file that --json names; without either it only prints.
"""

import contextlib
import json
import math
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from common.agent import cost
from common.errors import UserError
from common.files import write_text
from common.nn import machine, rng
from common.nn.compile import make_compiler
from common.profiling import measure
from common.profiling.speed_table import render
from common.safe_io import expand_path
from common.storage.runinfo import session_facts
from common.training.banner import expected_updates, updates_per_step
from common.training.factory import Factory, record_spec
from common.training.threads import ThreadChoice, choose_threads

WARMUP_UPDATES = 2  # updates after the first one, which may compile
OPTIONS: dict = {"updates": 10, "json": "", "profile": ""}
POLICY_ENVS = 1, 16  # environments that the policy acts in


def speed(config: dict, factory: Factory | None = None) -> dict:
    """Counts, measures, prints, writes and returns what `result` says.

    `config["speed"]`: updates (timed ones), json and profile (files to write; empty for none). Raises UserError where a
    file cannot be written, or a setting cannot work.
    """
    options = config["speed"]
    if options["updates"] < 1:
        raise UserError(f"--updates must be at least 1, got {options['updates']}.")
    if config["run"]["offline"]:
        raise UserError("speed acts in an environment, which offline runs do not: leave --run.offline away.")
    files = {"json": options["json"], "profile": options["profile"]}
    if config["logdir"] and not files["json"]:
        files["json"] = str(Path(config["logdir"]) / "speed.json")
    paths = {name: output_path(name, file) for name, file in files.items() if file}
    if len(set(paths.values())) < len(paths):
        raise UserError("--json and --profile name the same file. Give each its own.")
    rng.seed_all(config["seed"])
    with build_run(config, factory or Factory()) as made:
        if made[1].compiler:
            print("Compiling the update, which may take minutes the first time.", flush=True)
        found = measure_run(config, made, options["updates"], profile=paths.get("profile"))
    print(render(found), flush=True)
    if "json" in paths:
        write_text(paths["json"], json.dumps(found, indent=2) + "\n")
    for path in paths.values():
        print(f"Written: {path}")
    return found


def output_path(name: str, file: str) -> Path:
    """Path of a file to be written, in a folder that exists. Raises UserError where there cannot be one."""
    path = expand_path(file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        path.open("a").close()  # now rather than after minutes of measuring
        if new:
            path.unlink()
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}. Choose another file with --{name}.") from error
    return path


@contextlib.contextmanager
def build_run(config: dict, factory: Factory) -> Iterator[tuple]:
    """Environments, agent, replay, schedule and threads of a run in a folder that vanishes."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        envs = factory.envs(config)
        stack.callback(envs.close)
        schedule = factory.schedule(config)
        updates = expected_updates(config, envs.repeat, schedule)
        threads = choose_threads(config, None, factory, envs, updates)
        torch.set_num_threads(threads.threads)
        agent = factory.agent(envs.obs_space, envs.act_space, config)
        replay = factory.replay(config, record_spec(envs.obs_space, agent), envs.num, Path(folder))
        agent.compiler = make_compiler(config["run"]["compile"], agent.device, updates)
        yield envs, agent, replay, schedule, threads


def measure_run(
    config: dict, made: tuple, updates: int, *, seconds: float = math.inf, profile: Path | None = None
) -> dict[str, Any]:
    """Everything that is printed and written, as plain numbers and texts; times in seconds.

    updates: how many are timed, fewer (but three) where they take longer than `seconds`.
    """
    envs, agent, replay, schedule, threads = made
    size = config["batch_size"], config["batch_length"]
    device, dtype = agent.device, torch.bfloat16 if agent.half else torch.float32
    counted = cost.update_cost(config, envs.obs_space, envs.act_space, agent.half)
    step = measure.time_collection(envs, agent, replay)
    measure.fill_replay(replay, agent, envs.obs_space, *size)
    drawn, drawn_bytes = measure.time_sampling(replay, *size)
    update = FixedBatchUpdate(agent, replay.sample(*size))
    timed = time_training(update, device, updates, seconds)
    lines = measure.time_logging(update.metrics, device)
    back = statistics.median(measure.time_calls(lambda: replay.write_back(*update.latents), device, 10, 1.0))
    split = timed.pop("split") | time_around_update(config, envs.repeat, schedule, step, drawn + back, lines)
    if profile:
        trace(update, device, profile)
    acts = {str(n): latency(measure.time_policy(agent, envs.obs_space, n)) for n in POLICY_ENVS}
    memory = machine.peak_memory(device)
    return {
        **describe_run(config, envs, agent, dtype, threads),
        "parameters": agent.parameter_table(),
        "cost": {"flops": counted.flops, "bytes": counted.bytes, "passes": list(map(pass_row, counted.passes))},
        "updates": timed | {"replayed_per_second": timed["per_second"] * size[0] * size[1]},
        "split": split,
        "step": step,
        "sampling": {"seconds": drawn, "bytes": drawn_bytes, "write_back": back},
        "line": lines._asdict(),
        "acting": acts,
        "peak_memory": memory,
        "replay_bytes": round(replay.gib * 2**30),
        "machine": machine_rates(counted, timed["per_second"], dtype, device),
        "session": session_facts(),
    }


class FixedBatchUpdate:
    """Updates on one fixed batch; keeps what the last one returned."""

    def __init__(self, agent: Any, batch: dict):
        self.agent, self.batch, self.step = agent, batch, 0
        self.metrics: dict = {}
        self.latents: tuple = ()

    def __call__(self) -> None:
        self.metrics, latents = self.agent.update(self.batch, self.step)
        self.latents, self.step = (self.batch["index"], latents), self.step + 1


def time_training(update: Callable[[], None], device: torch.device, calls: int, seconds: float = math.inf) -> dict:
    """Times of updates: the first, the median, their rate, and the split over the sections of a mean one."""
    first = measure.time_calls(update, device, 1)[0]
    measure.time_calls(update, device, WARMUP_UPDATES)
    times, parts = measure.time_updates(update, device, calls, seconds)
    median = statistics.median(times)
    split = parts | {"rest of the update": max(0.0, statistics.mean(times) - sum(parts.values()))}
    return {"first": first, "seconds": times, "median": median, "per_second": 1 / median, "split": split}


def time_around_update(
    config: dict, repeat: int, schedule: Any, step: dict, sampling: float, lines: measure.LoggingCost
) -> dict[str, float]:
    """Seconds that go with one update in training, when one thing is done after the other.

    step: part -> seconds of an agent step; sampling: seconds of drawing a batch and writing latents back.
    """
    batch = config["batch_size"] * config["batch_length"]
    rate = updates_per_step(schedule, repeat=repeat, batch=batch)
    steps, log_every = 1 / rate if rate else 0.0, config["run"]["log_every"]
    written = steps * repeat / log_every if log_every else 0.0
    return {
        "replay": sampling + steps * step["replay"],
        "policy": steps * step["policy"],
        "environment": steps * step["env"],
        "logging": lines.add + written * lines.write,
    }


def latency(times: list[float]) -> dict[str, float]:
    """Median and 90th percentile of the seconds of acting."""
    ordered = sorted(times)
    return {"median": statistics.median(ordered), "p90": ordered[int(0.9 * (len(ordered) - 1) + 0.5)]}


def machine_rates(counted: cost.UpdateCost, rate: float, dtype: torch.dtype, device: torch.device) -> dict[str, float]:
    """The machine's rates beside those that updates reach."""
    return {
        "matmul_flops_per_second": machine.matmul_rate(dtype, device),
        "flops_per_second": counted.flops * rate,
        "copy_bytes_per_second": machine.copy_rate(device),
        "bytes_per_second": counted.bytes * rate,
    }


def describe_run(config: dict, envs: Any, agent: Any, dtype: torch.dtype, threads: ThreadChoice) -> dict:
    """What was measured, where."""
    spaces = {key: [str(box.dtype), list(box.shape)] for key, box in envs.obs_space.items()}
    return {
        "algo": config["algo"],
        "task": config["task"],
        "observations": spaces,
        "actions": str(envs.act_space),
        "environments": envs.num,
        "batch": [config["batch_size"], config["batch_length"]],
        "horizon": config["imagination"]["horizon"],
        "precision": str(dtype).removeprefix("torch."),
        "compiled": agent.compiler is not None,
        "device": str(agent.device),
        "threads": threads.threads,
        "threads_chosen": threads.why,
        "where": machine.describe_device(agent.device),
    }


def pass_row(work: cost.ModulePass) -> dict:
    """A pass of the update as plain values."""
    plain = {name: getattr(work, name) for name in ("part", "name", "positions")}
    plain |= {name: getattr(work, name) for name in ("forward", "weight_grads", "input_grads", "flops")}
    return plain | {"note": work.note()}


def trace(update: Callable[[], None], device: torch.device, path: Path) -> None:
    """Writes a trace of one update, to be opened in chrome://tracing or ui.perfetto.dev."""
    kinds = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[kinds.CPU] + [kinds.CUDA] * (device.type == "cuda")) as profiler:
        update()
        machine.synchronize(device)
    profiler.export_chrome_trace(str(path))
