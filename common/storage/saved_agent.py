"""The boundary through which checkpoints enter a process: malformed content ends in one message and changes nothing.

A checksum proves only that a file is complete. Convert the values of a checkpoint inside `refuse_malformed`, before
anything is written.
"""

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch

from common.errors import UserError
from common.storage.checkpoint_file import DamagedCheckpoint, read
from common.storage.checkpoints import BEST_FILE, Checkpoints, describe_mismatch, load_agent_state, load_newest
from common.storage.publication import WEIGHTS_FILE, is_published, with_training_state

#: Errors that code raises on values of another type, shape or range than it was written for.
MALFORMED_ERRORS = (TypeError, ValueError, LookupError, AttributeError, RuntimeError, ArithmeticError, AssertionError)

Number = TypeVar("Number", bool, int, float)


@contextlib.contextmanager
def refuse_malformed(logdir: Path, best: bool = False) -> Iterator[None]:
    """Turn an error that malformed content raises in the block into a UserError that names the checkpoint file.

    best: the content is that of the checkpoint with the best score. Running out of memory is not such an error.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except MALFORMED_ERRORS as error:
        why = f"{type(error).__name__}: {str(error)[:500]}"
        raise UserError(
            f"{_source_file(logdir / 'checkpoints', best)} is not a checkpoint of this run ({why}). Nothing was "
            "changed. Restore the file, move it away to use an older one, or start again in a new --logdir."
        ) from error


def read_number(state: dict, key: str, kind: type[Number]) -> Number:
    """Return `state[key]`, a finite number >= 0 of the type `kind`; an int also counts as a float.

    Raises KeyError, TypeError or ValueError for anything else.
    """
    value, kinds = state[key], (float, int) if kind is float else (kind,)
    if type(value) not in kinds:
        raise TypeError(f"{key} is {value!r:.40}")
    if not 0 <= value < math.inf:
        raise ValueError(f"{key} is {value}")
    return value


def load_saved_agent(logdir: Path, best: bool = False) -> dict:
    """Return the newest readable checkpoint of a run, or the one with the best score: `agent`, `frames` and more.

    Raises UserError if there is no checkpoint, or a malformed one.
    """
    state = load_newest(logdir, best)
    with refuse_malformed(logdir, best):
        check_progress(state)
    return state


def check_progress(state: dict) -> None:
    """Raise KeyError, TypeError or ValueError unless frames and seconds of a checkpoint are numbers."""
    read_number(state, "frames", int)
    if "wall" in state:  # not in the best checkpoint
        read_number(state, "wall", float)


def load_replay_state(logdir: Path) -> dict:
    """Return the replay's state in the newest readable checkpoint. Raises UserError as `load_saved_agent` does."""
    state = load_saved_agent(logdir)
    with refuse_malformed(logdir):
        check_replay(state["replay"])
    return state["replay"]


def check_replay(state: dict) -> None:
    """Raise KeyError, TypeError or ValueError for a replay's state that would harm the files of a replay."""
    counts = {key: read_number(state, key, int) for key in ("generation", "streams", "slots", "count", "oldest")}
    for key, value in state["sampler"].items():
        if isinstance(value, torch.Tensor):
            shape = counts["streams"], counts["count"] - counts["oldest"]
            if (
                (*value.shape,) != shape
                or value.dtype != torch.float32
                or state["sampler"]["oldest"] != counts["oldest"]
            ):
                raise ValueError(f"replay.sampler.{key} has shape {tuple(value.shape)} and {value.dtype}, not {shape}")
        else:
            read_number(state["sampler"], key, int)
    if state["kind"] not in ("ring", "chunks") or counts["oldest"] > counts["count"]:
        raise ValueError(f"replay of kind {state['kind']!r:.40}, records {counts['oldest']} to {counts['count']}")


def check_log_offset(path: Path, offset: int, frames: int) -> None:
    """Raise ValueError if a log, cut off after `offset` bytes, loses lines older than `frames` or half a line.

    path: a file of JSON lines with `frames`; a missing file loses nothing.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(max(0, offset - 1))
        at_line_end = not offset or file.read(1) in (b"", b"\n")
        line = file.readline()
    try:
        older = json.loads(line)["frames"] < frames
    except (ValueError, LookupError, TypeError):
        older = False  # no line, or half a line that an interrupted process wrote
    if older or not at_line_end:
        raise ValueError(f"logger.offset {offset} is before a line of {path.name} that is older than the checkpoint")


def load_weights(agent: torch.nn.Module, weights: dict, source: Path) -> None:
    """Load an agent's state, found at `source`.

    The training state of a new agent stays if that of `source` was not published.

    Raises UserError if names or shapes are those of another agent, ValueError if types are.
    """
    weights = with_training_state(weights, agent.state_dict(), source)
    if not describe_mismatch(weights, own := agent.state_dict()):
        here, there = dict(_value_types(own)), dict(_value_types(weights))
        if wrong := [name for name in {**here, **there} if here.get(name) != there.get(name)]:
            raise ValueError(f"agent.{wrong[0]} is {there.get(wrong[0], 'absent')}, not {here.get(wrong[0], 'absent')}")
    load_agent_state(agent, weights, source)


def _value_types(tree: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted name and the kind of every value in nested dicts and lists; for tensors type and shape."""
    if isinstance(tree, dict | list):
        for key, branch in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _value_types(branch, f"{name}.{key}".lstrip("."))
    elif isinstance(tree, torch.Tensor):
        yield name, f"{tree.dtype} {tuple(tree.shape)}"
    else:
        yield name, "a count" if type(tree) is int and tree >= 0 else f"{tree!r:.40}"


def _source_file(folder: Path, best: bool) -> Path:
    """Return the file that was read: that of a published agent, or the newest checkpoint that is complete."""
    if is_published(folder.parent):
        return folder.parent / WEIGHTS_FILE
    for path in [folder / BEST_FILE] if best else Checkpoints(folder).paths():
        with contextlib.suppress(DamagedCheckpoint):
            read(path)
            return path
    return folder
