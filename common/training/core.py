"""The parts of a run that exist before its run directory: environments, schedule, threads and agent."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from common.agent.agent import Agent
from common.agent.interfaces import Schedule
from common.nn import ranks, rng
from common.replay.capacity import free_memory
from common.training.actors.factory import ActorFactory
from common.training.banner import expected_updates
from common.training.collector import VectorEnvs
from common.training.factory import Factory
from common.training.offline import OfflineFactory
from common.training.threads import ThreadChoice, choose_threads


class Core(NamedTuple):
    """The parts of a run that need no run directory. free: bytes of memory that were free before they were built."""

    factory: Factory
    envs: VectorEnvs
    schedule: Schedule
    threads: ThreadChoice
    agent: Agent
    free: int


def choose_factory(config: dict[str, Any], state: dict[str, Any] | None) -> Factory:
    """Return what builds the run: with actors, from stored records, or with environments in this process."""
    if config["run"]["actors"] != "none":
        return ActorFactory(config, state)
    return OfflineFactory(config, state) if config["run"]["offline"] else Factory()


@contextlib.contextmanager
def build_core(config: dict[str, Any], state: dict[str, Any] | None, factory: Factory | None) -> Iterator[Core]:
    """Build environments, schedule and agent. Nothing is written. Closes the environments at the end.

    Raises UserError for a wrong task or setting.
    """
    factory, free = factory or choose_factory(config, state), free_memory()
    rng.seed_all(config["seed"])
    envs = factory.envs(config)
    with contextlib.closing(envs):
        schedule = factory.schedule(config)
        updates = expected_updates(config, envs.repeat, schedule)
        with ranks.joined(ranks.ALONE):  # the other ranks do not time their updates with this one
            threads = choose_threads(config, (state or {}).get("threads"), factory, envs, updates)
        torch.set_num_threads(threads.threads)
        agent = factory.agent(envs.obs_space, envs.act_space, config)
        yield Core(factory, envs, schedule, threads, agent, free)
