"""The complete state of a training loop in a checkpoint: a resumed run equals an uninterrupted one."""

import copy
from typing import Any

from common.agent.update_guard import nonfinite_names
from common.nn import rng
from common.storage.saved_agent import load_weights, read_number
from common.training.collector import check_positions
from common.training.loop import Loop

COUNTERS = ("agent_steps", "updates", "episodes", "pending")


def capture(loop: Loop) -> dict[str, Any]:
    """Return the complete state as tensors, arrays and plain Python, and write the replay's records to files.

    A step in progress is received first: a checkpoint never holds half a step.
    """
    loop.receive()
    return {
        "counters": {name: getattr(loop, name) for name in (*COUNTERS, "pretrained")},
        "skipped": loop.skips.total,
        "broken": loop.broken,
        "doubt": loop.skips.unproven,
        "health": loop.health.state(),
        "wall": loop.wall,
        "clocks": {name: clock.last for name, clock in loop.clocks.items() if name != "save"},
        "agent": loop.agent.state_dict(),
        "collector": loop.collector.save(),
        "evaluator": loop.evaluator.state,
        "schedule": loop.schedule.state(),
        "replay": loop.replay.save(loop.folder),
        "logger": loop.logger.state(loop.frames),
        "rng": rng.get_state(),
    }


def restore(loop: Loop, state: dict[str, Any]) -> None:
    """Restore what `capture` returned; the logger restores itself. Call it inside `refuse_malformed`.

    Values that would raise an error later in training raise it here. The replay comes last: it may write to its files.
    """
    restore_learner(loop, state)
    loop.replay.restore(state["replay"])
    with loop.show_env_messages():
        loop.collector.load(state["collector"])
    rng.set_state(state["rng"])
    loop.replay.load(loop.folder, state["replay"])


def restore_learner(loop: Loop, state: dict[str, Any]) -> None:
    """Restore what does not depend on environments and replay: the agent, counters, schedule and evaluation."""
    load_weights(loop.agent, state["agent"], loop.folder.parent)
    if bad := nonfinite_names(loop.agent):
        raise ValueError(f"agent.{bad[0]} is not finite")
    _restore_counters(loop, state)
    loop.logger.means.peek()
    loop.health.restore(state.get("health", loop.health.state()))
    _restore_schedule(loop, state["schedule"])
    if state["evaluator"] is not None:
        check_positions(state["evaluator"])
    loop.evaluator.state = state["evaluator"]


def _restore_counters(loop: Loop, state: dict[str, Any]) -> None:
    for name in COUNTERS:
        setattr(loop, name, read_number(state["counters"], name, int))
    loop.pretrained = read_number(state["counters"], "pretrained", bool)
    if not loop.frames == state["frames"] == state["logger"]["frames"]:
        raise ValueError(f"frames is {state['frames']} after {loop.agent_steps} steps")
    loop.earlier_wall = read_number(state, "wall", float)
    loop.skips.total = read_number({"skipped": 0, **state}, "skipped", int)
    loop.broken = read_number({"broken": 0, **state}, "broken", int)
    loop.skips.unproven = read_number({"doubt": False, **state}, "doubt", bool)
    for name, clock in loop.clocks.items():
        clock.mark(min(loop.frames, read_number({name: loop.frames, **state["clocks"]}, name, int)))


def _restore_schedule(loop: Loop, state: dict[str, Any]) -> None:
    """Restore the schedule.

    Raises ValueError if its last updates were due later than now, since none would follow, or if it owes more updates
    than a run of this length can have asked for.
    """
    options = {"repeat": loop.repeat, "replayed_per_update": loop.replayed_per_update}
    steps, run, fresh = loop.agent_steps, loop.config["run"], copy.deepcopy(loop.schedule)
    loop.schedule.restore(state)
    resumed = copy.deepcopy(loop.schedule)
    owed = resumed.due(steps, **options)
    resumed.state()  # raises an error for an entry of the wrong type
    limit = run["pretrain"] + fresh.due(run["prefill"], **options) + fresh.due(steps, **options)
    if (last := state["last"]) is not None and last > loop.frames:
        raise ValueError(f"the last updates were due at {last}, after frame {loop.frames}")
    if type(owed) is not int or loop.pending + owed > limit:
        raise ValueError(f"{loop.pending} + {owed} updates are due, of at most {limit}")
