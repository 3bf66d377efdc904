"""The share of an actor in a run: its environments, its part of the replay, its seed."""

from typing import Any

import numpy as np

from common.config import python_objects
from common.distributed.shares import split
from common.errors import UserError

SEED_OF_ACTORS = 0xAC7  # separates the seeds of actors from those of ranks


def check_actors(config: dict[str, Any]) -> None:
    """Raise UserError for a run that actors cannot collect for."""
    run = config["run"]
    if run["offline"]:
        raise UserError("run.offline learns from stored records, without actors: give --run.actors none.")
    if run["actor_count"] > run["envs"]:
        raise UserError(
            f"run.envs is {run['envs']}, too few for {run['actor_count']} actors: add --run.envs {run['actor_count']} "
            f"or more, or --run.actor_count {run['envs']}."
        )
    if python_objects.is_local(config["task"]):
        raise UserError(f"Actors cannot import {config['task']}: write it in a module, or use --run.actors none.")


def shares_of_actors(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the config of each actor: on the CPU, with its part of environments and replay."""
    run, replay = config["run"], config["replay"]
    shares = []
    for envs in split(run["envs"], run["actor_count"]):
        own_replay = replay | {"capacity": replay["capacity"] * envs // run["envs"]}
        own_replay |= {"max_gib": replay["max_gib"] * envs / run["envs"]}
        shares.append(config | {"run": run | {"envs": envs, "device": "cpu"}, "replay": own_replay})
    return shares


def with_seed(config: dict[str, Any], actor: int, life: int) -> dict[str, Any]:
    """Return the config of an actor with its seed; that of the first actor of a new run is the seed of the run."""
    if not actor and not life:
        return config
    sequence = np.random.SeedSequence([config["seed"], SEED_OF_ACTORS, actor, life])
    return config | {"seed": int(sequence.generate_state(1)[0])}
