"""The banner printed before training: task, sizes, schedule, memory and budget of the run."""

import copy
from typing import Any

from common.agent.agent import Agent
from common.agent.interfaces import Schedule
from common.config.render_mode import nonstandard_render_mode, render_mode_warning, renderer_description
from common.distributed.shares import rows_of_ranks, split
from common.nn import ranks
from common.replay import Replay
from common.storage.runinfo import tf32_settings
from common.training.collector import VectorEnvs

PRECISION: dict[Any, str] = {True: "bfloat16", False: "float32"}
STRIDE, WINDOW = 1000, 1_000_000  # agent steps between calls, and in all, to measure the schedule


def banner(
    config: dict[str, Any], *, envs: VectorEnvs, agent: Agent, replay: Replay, schedule: Schedule,
    threads: str, memory: str,
) -> str:  # fmt: skip
    """Return device, algorithm, task, spaces, parameters, schedule, replay, memory and budget of a run.

    threads: number of threads and how it was chosen. memory: forecast of the memory need.
    """
    run = config["run"]
    batch = config["batch_size"] * config["batch_length"]
    steps, updates = agent_steps(config, envs.repeat), expected_updates(config, envs.repeat, schedule)
    table, schedule_keys = agent.parameter_table(), config["schedule"]
    options = ", ".join(f"{key} {value}" for key, value in schedule_keys.items() if key != "use")
    limit = f"; at most {run['max_seconds']:,} s" if run["max_seconds"] else ""
    rate = updates_per_step(schedule, repeat=envs.repeat, batch=batch)
    rows = {
        "algorithm": f"{config['algo']}, seed {config['seed']}",
        "task": f"{config['task']}, {envs.num} environment(s)",
        **({"processes": describe_ranks(config)} if ranks.current().size > 1 else {}),
        "device": f"{agent.device}, {describe_precision(agent, run['precision'])}, "
        f"{describe_launch(agent, run['cuda_graphs'])}, {threads}",
        "observations": ", ".join(f"{key} {box.dtype} {box.shape}" for key, box in envs.obs_space.items()),
        **({"renderer": by} if (by := renderer_description(config)) else {}),
        **({"beware": render_mode_warning(how)} if (how := nonstandard_render_mode(config)) else {}),
        "actions": str(envs.act_space),
        "parameters": f"{sum(table.values()):,} = " + " + ".join(f"{name} {count:,}" for name, count in table.items()),
        "step unit": f"environment frames; 1 agent step = {envs.repeat} frame(s)",
        "schedule": f"{schedule_keys['use']} ({options}): {rate / envs.repeat:.4g} updates and "
        f"{rate * batch / envs.repeat:.4g} replayed steps per frame (batch {config['batch_size']} x "
        f"{config['batch_length']}), after {run['prefill'] * envs.repeat:,} random frames "
        f"and {run['pretrain']:,} updates",
        "replay": str(replay.forecast()).removeprefix("Replay: "),
        "memory": memory,
        "budget": f"{config['steps']:,} frames = {steps:,} agent steps, about {updates:,.0f} updates{limit}",
        "logdir": config["logdir"],
    }
    width = max(map(len, rows))
    return "\n".join(f"{name:>{width}}  {text}" for name, text in rows.items())


def describe_launch(agent: Agent, graphs: bool) -> str:
    """Return how an update runs: compiled or eager, and whether as CUDA graphs."""
    return ("compiled" if getattr(agent, "compiler", None) else "eager") + ", CUDA graphs" * graphs


def describe_precision(agent: Agent, asked: str) -> str:
    """Return the precision of matrix products, on a GPU also how it computes those of float32."""
    text = PRECISION.get(getattr(agent, "half", None), asked)
    if agent.device.type != "cuda":
        return text
    users = " and ".join(name for name, on in tf32_settings().items() if on)
    return f"{text}, {f'TF32 for float32 {users}' if users else 'no TF32'}"


def describe_ranks(config: dict[str, Any]) -> str:
    """Return how a run is divided among its ranks, of which this is the first."""
    size = ranks.current().size
    rows = rows_of_ranks(config, size)
    envs = " + ".join(map(str, split(config["run"]["envs"], size)))
    shares = f"{' + '.join(map(str, rows))} rows of the batch, {envs} environments"
    return f"{size} ranks with {shares}; figures of replay and memory are those of rank 0"


def updates_per_step(schedule: Schedule, *, repeat: int, batch: int) -> float:
    """Return the mean number of updates per agent step, measured on a copy of the schedule."""
    probe = copy.deepcopy(schedule)
    options = {"repeat": repeat, "replayed_per_update": batch}
    probe.due(STRIDE, **options)
    steps = range(2 * STRIDE, WINDOW + 2 * STRIDE, STRIDE)
    return sum(probe.due(step, **options) for step in steps) / (len(steps) * STRIDE)


def expected_updates(config: dict, repeat: int, schedule: Schedule) -> float:
    """Estimate the updates of a run that trains as soon as the prefill is over."""
    rate = updates_per_step(schedule, repeat=repeat, batch=config["batch_size"] * config["batch_length"])
    return rate * max(0, agent_steps(config, repeat) - config["run"]["prefill"]) + config["run"]["pretrain"]


def agent_steps(config: dict, repeat: int) -> int:
    """Return the agent steps of a training run."""
    return -(-config["steps"] // repeat)
