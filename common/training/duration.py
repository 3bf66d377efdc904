"""A warning before a run that takes long on a CPU: measured updates per second, hours, and what to type instead."""

from typing import Any

from common.nn.machine import resolve_device
from common.training.collector import VectorEnvs
from common.training.factory import Factory
from common.training.threads import ThreadChoice, update_seconds

LARGE_PARAMETERS = 2_000_000  # smaller networks are not timed
LONG_SECONDS = 1800  # shorter runs print no warning


def long_run_warning(
    config: dict[str, Any], factory: Factory, envs: VectorEnvs, choice: ThreadChoice, parameters: int, updates: float
) -> str:
    """Return the warning, or an empty string for a run that is short, has small networks or uses a GPU.

    updates: expected updates of the run. An update is timed on a temporary agent, unless choosing the threads did so.
    """
    if resolve_device(config["run"]["device"]) != "cpu" or parameters < LARGE_PARAMETERS:
        return ""
    seconds = choice.update_seconds or update_seconds(config, factory, envs, choice.threads, updates)
    total = seconds * updates
    if config["run"]["max_seconds"]:
        total = min(total, config["run"]["max_seconds"])
    if total < LONG_SECONDS:
        return ""
    return (
        f"WARNING: {parameters:,} parameters on a CPU: {1 / seconds:.3g} updates/s measured, so {updates:,.0f} updates "
        f"take about {total / 3600:,.0f} hours. For small networks and a short run type --configs cpu:\n"
        f"  python dreamer.py --algo {config['algo']} --configs cpu --task {config['task']}\n"
        "`python dreamer.py plan` with the same flags shows more ways to reduce the cost."
    )
