"""What a run has learned, read from its checkpoints: whoever wants its agent comes here.

A checksum says only that a file is whole: what it holds is looked at as well, before anything is changed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from common.errors import UserError
from common.storage.checkpoint_file import DamagedCheckpoint, read
from common.storage.checkpoint_schema import AGENT, OPTIONAL, REPLAY, count, describe, first_mismatch
from common.storage.checkpoints import BEST_FILE, Checkpoints, describe_mismatch, load_agent_state, load_newest


class MalformedCheckpoint(ValueError):
    """A value that no run would have written; the text says where it is."""


def later(state: dict) -> dict:
    """Patterns of what a state need not have, and has."""
    return {key: test for key, test in OPTIONAL.items() if key in state}


def load_saved_agent(logdir: Path, best: bool = False) -> dict:
    """State of the newest readable checkpoint of a run, or the best by score: an agent, and the frames it has seen.

    Raises UserError where there is none, or one that no run would have written.
    """
    state = load_newest(logdir, best)
    if found := first_mismatch({**AGENT, **later(state)}, state):
        raise UserError(malformed_message(logdir / "checkpoints", found, best))
    return state


def load_replay_state(logdir: Path) -> dict:
    """What the newest readable checkpoint of a run says of its replay; raises as `trained` does."""
    state = load_saved_agent(logdir)
    if found := first_mismatch({"replay": REPLAY}, state):
        raise UserError(malformed_message(logdir / "checkpoints", found))
    return state["replay"]


def load_weights(agent: torch.nn.Module, weights: dict, place: Path) -> None:
    """Loads an agent's state, found at `place`. Raises UserError if it is another agent's, Odd if it is nobody's."""
    if not describe_mismatch(weights, here := agent.state_dict()):
        given, own = dict(value_types(weights)), dict(value_types(here))
        if wrong := [name for name in {**own, **given} if given.get(name) != own.get(name)]:
            raise MalformedCheckpoint(
                f"agent.{wrong[0]} is {given.get(wrong[0], 'absent')}, not {own.get(wrong[0], 'absent')}"
            )
    load_agent_state(agent, weights, place)


def value_types(tree: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names of all values in nested dicts and lists, and what each of them is."""
    if isinstance(tree, dict | list):
        for key, branch in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from value_types(branch, f"{name}.{key}".lstrip("."))
    elif isinstance(tree, torch.Tensor):
        yield name, f"{tree.dtype} {tuple(tree.shape)}"
    else:
        yield name, "a count" if count(tree) else describe(tree)


def source_file(folder: Path, best: bool = False) -> Path:
    """The file that a state was read from: the newest that is whole."""
    for path in [folder / BEST_FILE] if best else Checkpoints(folder).paths():
        try:
            read(path)
        except DamagedCheckpoint:
            continue
        return path
    return folder


def malformed_message(folder: Path, why: str, best: bool = False) -> str:
    """About a checkpoint that is whole, but not of a run."""
    return (
        f"{source_file(folder, best)} is not one of a training run ({why}). Put the right file back, "
        "move this one away to take the one before it, or start afresh in another --logdir."
    )
