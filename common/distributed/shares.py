"""The share of a rank in the config of a run: its environments, rows of the batch, replay, seed and device."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from common.config import notices
from common.errors import UserError
from common.nn.machine import resolve_device
from common.nn.ranks import Ranks

RANKS_FOLDER = "ranks"  # in a run directory: a folder for each rank but the first


def split(number: int, size: int) -> list[int]:
    """Return `size` whole numbers that differ by at most 1 and add up to `number`."""
    each, rest = divmod(number, size)
    return [each + (rank < rest) for rank in range(size)]


def rows_of_ranks(config: dict[str, Any], size: int) -> list[int]:
    """Return the rows of the batch on each rank. Raises UserError if the run cannot be divided among `size` ranks."""
    if size > 1 and config["run"]["offline"]:
        raise UserError("run.offline trains in one process: start it without torchrun.")
    if size > 1 and config["run"]["actors"] != "none":
        raise UserError("run.actors works with one learner: start it without torchrun, or with --run.actors none.")
    whole = config["run"]["batch"] == "global"
    least = {"run.envs": config["run"]["envs"]} | ({"batch_size": config["batch_size"]} if whole else {})
    for key, value in least.items():
        if value < size:
            raise UserError(
                f"{key} is {value}, too few for {size} processes: add --{key} {size} or more, or start fewer."
            )
    return split(config["batch_size"], size) if whole else [config["batch_size"]] * size


def share_of_config(config: dict[str, Any], group: Ranks, rows: Sequence[int], place: int) -> dict[str, Any]:
    """Return the config by which a rank builds its parts; the run keeps the whole one.

    place: number of the process on its machine, which is the number of its GPU.
    """
    if group.size == 1:
        return config
    run, replay, rank = config["run"], config["replay"], group.rank
    envs = split(run["envs"], group.size)
    device = resolve_device(run["device"])
    own_run = {**run, "envs": envs[rank], "device": f"cuda:{place}" if device == "cuda" else device}
    own_replay = {**replay, "capacity": replay["capacity"] * envs[rank] // run["envs"]}
    own_replay["max_gib"] = replay["max_gib"] * envs[rank] / run["envs"]
    own = {**config, "batch_size": rows[rank], "run": own_run, "replay": own_replay}
    if group.leads:
        return own
    return own | {"seed": seed_of_rank(config["seed"], rank), "run": {**own_run, "video_every": 0}}


def steps_of_rank(config: dict[str, Any], share: dict[str, Any]) -> dict[str, Any]:
    """Return a rank's share of a config with the frames that its own environments step, which limit its replay."""
    own, whole = share["run"]["envs"], config["run"]["envs"]
    return share | {"steps": -(-share["steps"] * own // whole)} if "steps" in share and own < whole else share


def seed_of_rank(seed: int, rank: int) -> int:
    """Return the seed of a rank's noise, environments and replay; that of rank 0 is the seed of the run."""
    return int(np.random.SeedSequence([seed, rank]).generate_state(1)[0]) if rank else seed


def add_notice(config: dict[str, Any], rows: Sequence[int]) -> None:
    """Say how large the batch is if each rank has a whole one."""
    if config["run"]["batch"] == "per_rank" and len(rows) > 1:
        notices.add(f"run.batch per_rank: {len(rows)} batches of {rows[0]} rows make one update on {sum(rows)} rows.")
