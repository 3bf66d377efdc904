"""Whether a checkpoint is one that the run could have written: a checksum says only that a file is whole.

All of it is looked at before anything is changed.
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

from common.nn import rng
from common.storage.checkpoint_schema import RUN, count, describe, first, first_mismatch, logged, matches
from common.storage.saved_agent import MalformedCheckpoint, later
from common.training.factory import Factory


def check_consistency(state: dict, config: dict, logdir: Path) -> None:
    """Raises Odd for a full checkpoint that no run with this config, in this folder, would have written."""
    found = first_mismatch(RUN, state) or first_mismatch(later(state), state)
    if found := found or first(contradictions(state, config, logdir)):
        raise MalformedCheckpoint(found)
    with rng.isolated_rng(0):
        rng.set_state(state["rng"])


def contradictions(state: dict, config: dict, logdir: Path) -> Iterator[str]:
    """Values that do not fit each other."""
    counters, replay, frames = state["counters"], state["replay"], state["frames"]
    repeat = 1 if config["run"]["offline"] else config["env"]["repeat"]
    if frames != counters["agent_steps"] * repeat or state["logger"]["frames"] != frames:
        yield f"frames is {frames} after {counters['agent_steps']} steps"
    late = [name for name, last in state["clocks"].items() if not (count(last) and last <= frames)]
    if late:
        yield f"clocks.{late[0]} is {describe(state['clocks'][late[0]])} at frame {frames}"
    if not replay["oldest"] <= replay["count"]:
        yield f"replay.oldest is {replay['oldest']} of {replay['count']}"
    made = [counters["updates"], state.get("skipped", 0), counters["pending"]]
    if sum(made) > (most := due(state["schedule"], config, counters["agent_steps"], repeat)):
        yield f"{sum(made)} updates were due, where the schedule allows {most}"
    rows = {len(state["collector"][key]) for key in ("scores", "lengths")}
    if rows != {replay["streams"]} or not matches(lambda x: all(map(logged, x)), state["collector"].get("numbers", [])):
        yield f"collector is not that of {replay['streams']} environments"
    if not begins(logdir / "metrics.jsonl", state["logger"]["offset"], frames):
        yield f"logger.offset is {state['logger']['offset']}, where metrics.jsonl has an earlier line"


def due(schedule: dict, config: dict, steps: int, repeat: int) -> int:
    """The most updates that can have come due after `steps` agent steps, less those that a saved schedule still owes.

    Raises Odd for a schedule that is none.
    """
    options = {"repeat": repeat, "replayed_per_update": config["batch_size"] * config["batch_length"]}
    fresh, saved, prefill = Factory().schedule(config), Factory().schedule(config), config["run"]["prefill"]
    try:
        saved.restore(copy.deepcopy(schedule))
        plain = json.loads(json.dumps(saved.state())) == json.loads(json.dumps(schedule))
        last = schedule["last"]
        if not plain or not (last is None or (count(last) and last <= steps * repeat)):
            raise ValueError(schedule)
        if steps < prefill:
            return 0
        owed = saved.due(steps, **options)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise MalformedCheckpoint(f"schedule is {str(schedule)[:80]}") from error
    return config["run"]["pretrain"] + fresh.due(prefill, **options) + fresh.due(steps, **options) - owed


def begins(path: Path, offset: int, frames: int) -> bool:
    """Whether lines of a checkpoint at `frames` can end at `offset`: nothing earlier would be cut off with the rest."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, offset - 1))
            whole = not offset or file.read(1) in (b"", b"\n")
            line = file.readline()
    except FileNotFoundError:
        return True
    try:
        return whole and json.loads(line)["frames"] >= frames
    except (ValueError, LookupError, TypeError):
        return whole  # nothing, or half a line
